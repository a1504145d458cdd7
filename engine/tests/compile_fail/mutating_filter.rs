//~ this closure does not select records of `Vec<i32>`
//~ so it changes nothing that it captures
use headwater::prelude::*;

fn main() {
    let job = Job::new("counting");
    let mut seen = 0;
    let job = job.source(Topic::json::<i32>("numbers"));
    job.filter(move |_: &i32| std::mem::replace(&mut seen, 1) == 0).sink(Topic::json("out"));
}
