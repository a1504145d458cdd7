//~ `f64` is no key of a Kafka record
//~ a key is text, bytes, or an `Option` of them
use headwater::prelude::*;

fn main() {
    let job = Job::new("numbers");
    job.source(Topic::json::<f64>("numbers")).sink(Topic::json::<f64>("out").key(|number| *number));
}
