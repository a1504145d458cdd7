//~ cannot assign to `*total`, as `Fn` closures cannot mutate their captured variables
use headwater::prelude::*;

fn main() {
    let job = Job::new("counting");
    let mut sum = 0;
    let total = &mut sum;
    job.source(Topic::json::<i32>("numbers"))
        .map(move |number| {
            *total += number;
            *total
        })
        .sink(Topic::json("out"));
}
