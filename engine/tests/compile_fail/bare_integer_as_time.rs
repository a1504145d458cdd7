//~ expected `Timestamp`, found `i64`
use headwater::prelude::*;

fn main() {
    let job = Job::new("which-unit");
    job.source(Topic::json::<i64>("numbers")).event_time(|number| *number, Lateness::NONE).sink(Topic::json("out"));
}
