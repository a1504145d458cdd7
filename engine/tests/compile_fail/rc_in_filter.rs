//~ a closure of a pipeline runs on all worker threads
//~ capture an `Arc` for an `Rc`
use std::rc::Rc;

use headwater::prelude::*;

fn main() {
    let job = Job::new("shared");
    let limit = Rc::new(10);
    job.source(Topic::json::<i32>("numbers")).filter(move |number: &i32| *number > *limit).sink(Topic::json("out"));
}
