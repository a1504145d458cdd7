//~ a record of type `u64` cannot be read as `headwater::format::Lines`
//~ for `Topic::lines` it is `From<String>`
use headwater::prelude::*;

fn main() {
    let job = Job::new("numbers");
    job.source(Topic::lines::<u64>("numbers")).sink(Topic::json("out"));
}
