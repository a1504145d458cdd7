//~ a closure of a pipeline runs on all worker threads
//~ capture an `Arc` for an `Rc`
use std::rc::Rc;

use headwater::prelude::*;

fn main() {
    let job = Job::new("shared");
    let factor = Rc::new(10);
    job.source(Topic::json::<u64>("numbers"))
        .event_time(|number| Timestamp::from_seconds(*number as i64), Lateness::NONE)
        .key_by(|number| number % 3)
        .window(Tumbling::days(1))
        .sum(move |number: &u64| number * *factor)
        .on_close()
        .map(|pane| pane.value)
        .sink(Topic::json("out"));
}
