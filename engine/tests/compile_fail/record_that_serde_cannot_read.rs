//~ the trait bound `Order: serde::Deserialize
//~ consider adding `#[derive(serde::Deserialize)]` to your `Order` type
use headwater::prelude::*;

struct Order {
    id: u64,
}

fn main() {
    let job = Job::new("orders");
    job.source(Topic::json::<Order>("orders")).map(|order| order.id).sink(Topic::json("ids"));
}
