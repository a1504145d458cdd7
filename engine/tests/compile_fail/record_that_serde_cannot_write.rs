//~ the trait bound `Order: serde::Serialize` is not satisfied
//~ consider adding `#[derive(serde::Serialize)]` to your `Order` type
use headwater::prelude::*;

struct Order {
    id: u64,
}

fn main() {
    let job = Job::new("orders");
    job.source(Topic::json::<u64>("ids")).map(|id| Order { id }).sink(Topic::json("orders"));
}
