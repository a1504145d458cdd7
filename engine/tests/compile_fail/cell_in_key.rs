//~ a closure of a pipeline runs on all worker threads
//~ longer: the compiler quotes the closure as it stands, here in four lines
//~ an atomic or a `Mutex` for a `Cell` or `RefCell`
use std::cell::Cell;

use headwater::prelude::*;

fn main() {
    let job = Job::new("turns");
    let turn = Cell::new(0);
    job.source(Topic::json::<u64>("numbers"))
        .event_time(|number| Timestamp::from_seconds(*number as i64), Lateness::NONE)
        .key_by(move |number| {
            turn.set(turn.get() + 1);
            number % turn.get()
        })
        .window(Tumbling::days(1))
        .count()
        .on_close()
        .map(|pane| pane.value)
        .sink(Topic::json("out"));
}
