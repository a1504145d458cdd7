//~ cannot assign to `seen`, as it is a captured variable in a `Fn` closure
use headwater::prelude::*;

fn main() {
    let job = Job::new("counting");
    let mut seen = 0;
    job.source(Topic::json::<i32>("numbers"))
        .map(move |number| {
            seen += 1;
            number + seen
        })
        .sink(Topic::json("out"));
}
