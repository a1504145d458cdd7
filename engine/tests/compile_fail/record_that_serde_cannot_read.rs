//~ a record of type `Order` cannot be read as `Json`
//~ for `Topic::json` it derives `serde::Deserialize`
use headwater::prelude::*;

struct Order {
    id: u64,
}

fn main() {
    let job = Job::new("orders");
    job.source(Topic::json::<Order>("orders")).map(|order| order.id).sink(Topic::json("ids"));
}
