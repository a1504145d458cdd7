//~ longer: the compiler quotes the chain from its first step, as it stands
//~ `Order` cannot be kept in a dead letter
//~ derive `serde::Serialize` for it
use headwater::prelude::*;

struct Order(String);

impl From<String> for Order {
    fn from(line: String) -> Self {
        Self(line)
    }
}

fn main() {
    let job = Job::new("orders");
    job.source(Topic::lines::<Order>("orders"))
        .event_time(|order| Timestamp::from_seconds(order.0.len() as i64), Lateness::NONE)
        .key_by_ref(|order| &order.0)
        .window(Tumbling::days(1))
        .late_dead_letters(Topic::json("late"))
        .count()
        .on_close()
        .map(|pane| pane.value)
        .sink(Topic::json("counts"));
}
