//~ a record of type `Order` cannot be written as `Json`
//~ for `Topic::json` it derives `serde::Serialize`
use headwater::prelude::*;

struct Order {
    id: u64,
}

fn main() {
    let job = Job::new("orders");
    job.source(Topic::json::<u64>("ids")).map(|id| Order { id }).sink(Topic::json("orders"));
}
