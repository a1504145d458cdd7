//~ longer: the compiler quotes the chain from its first step, as it stands
//~ no method named `sink` found for struct `Aggregated
use headwater::prelude::*;

fn main() {
    let job = Job::new("no-trigger");
    job.source(Topic::json::<u64>("numbers"))
        .event_time(|number| Timestamp::from_seconds(*number as i64), Lateness::NONE)
        .key_by(|number| number % 3)
        .window(Tumbling::days(1))
        .count()
        .sink(Topic::json("out"));
}
