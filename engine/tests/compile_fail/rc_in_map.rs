//~ a closure of a pipeline runs on all worker threads
//~ capture an `Arc` for an `Rc`
use std::rc::Rc;

use headwater::prelude::*;

fn main() {
    let job = Job::new("shared");
    let offset = Rc::new(10);
    job.source(Topic::json::<i32>("numbers")).map(move |number| number + *offset).sink(Topic::json("out"));
}
