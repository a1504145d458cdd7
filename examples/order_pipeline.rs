//! The shop answers at once; what an order sets in motion follows: stock, payment, loyalty points.
//!
//!     cargo run --features webhook --example order_pipeline -- --input orders.jsonl --statistics orders-per-minute.jsonl \
//!         --stock http://localhost:8081/reserve --payment http://localhost:8082/charge \
//!         --loyalty http://localhost:8083/points --page http://localhost:8084/page --per-second 20
//!
//! Each step has an outbox of its own, so that where the payment service is away, stock is reserved all the same, and the
//! charges wait (until 100,000 of them do: then the input pauses). A step that fails is tried ten times; then a person is told, and the order is in the dead letters with
//! all that is known. However many orders come at once, a service gets no more than `--per-second` of them. What became
//! of an order before is no concern of the statistics: they are one more use of the same stream, and whoever places
//! orders knows nothing of any of this.
//!
//! Services get the order as JSON with the header `Idempotency-Key`, by which they know one that they had already.

use headwater::connectors::Webhook;
use headwater::prelude::*;
use serde::{Deserialize, Serialize};

/// An order, as JSON: `{"order":"o-1","user":"ann","at":"2026-03-01T12:00:00Z","total":59.9}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    order: Text,
    user: Text,
    at: Timestamp,
    total: f64,
}

/// How many orders a minute had, and what they were worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Minute {
    minute: Timestamp,
    orders: u64,
    total: f64,
}

#[derive(Clone, clap::Args)]
struct Flags {
    /// Reserves the goods of an order
    #[arg(long, value_name = "URL")]
    stock: String,

    /// Charges the user
    #[arg(long, value_name = "URL")]
    payment: String,

    /// Adds loyalty points
    #[arg(long, value_name = "URL")]
    loyalty: String,

    /// Tells a person of a step that failed for good
    #[arg(long, value_name = "URL")]
    page: String,

    /// Orders a second that each service gets at most
    #[arg(long, default_value_t = 50.0, value_name = "N")]
    per_second: f64,

    /// The file of the statistics
    #[arg(long, default_value = "orders-per-minute.jsonl", value_name = "FILE")]
    statistics: std::path::PathBuf,

    /// The wait after the first failure; each further one is twice as long
    #[arg(long, default_value_t = 1_000, value_name = "MILLISECONDS")]
    first_wait: u64,
}

fn job(flags: &Flags) -> Job {
    let job = Job::new("order-pipeline");
    let orders = job.source(Topic::json::<Order>("orders"));
    let step = |name: &str, url: &str| {
        Outbox::new(name, Webhook::to(url))
            .retry(Retry::exponential(Duration::from_millis(flags.first_wait), 10).at_most(Duration::from_secs(60)))
            .throttle(Throttle::per_second(flags.per_second))
            // Of one user one after the other: a second order is not charged before the first.
            .in_order_by(|order: &Order| order.user.clone())
            .idempotency_key({
                let name = name.to_owned();
                move |order: &Order| format!("{name}/{}", order.order)
            })
    };
    let failed = orders.clone().deliver_or_else(step("stock", &flags.stock));
    let failed = failed.union(orders.clone().deliver_or_else(step("payment", &flags.payment)));
    let failed = failed.union(orders.clone().deliver_or_else(step("loyalty", &flags.loyalty)));
    failed.clone().dead_letters(Topic::json("failed-orders"));
    failed.map(page).deliver(Outbox::new("page", Webhook::to(&flags.page)));

    orders
        .event_time(|order| order.at, Lateness::seconds(30))
        .key_by(|_| Text::from("all"))
        .window(Tumbling::minutes(1))
        .aggregate((Count, Sum::of(|order: &Order| order.total)))
        .on_close()
        .map(|pane| Minute { minute: pane.window.start, orders: pane.value.0, total: pane.value.1 })
        .sink(Topic::json("statistics"));
    job.bind_output("statistics", Output::File(flags.statistics.clone()));
    job
}

/// What a person is told.
fn page(letter: DeadLetter) -> Alert {
    Alert::firing("OrderStepFailed", format!("{} gave an order up: {}", letter.topic, letter.error), Timestamp::MIN)
        .severity(Severity::Error)
        .label("step", letter.topic)
        .annotation("order", letter.payload.unwrap_or_default())
}

fn main() -> ExitCode {
    Job::main_with(|flags: Flags| {
        let job = job(&flags);
        job.bind_output("failed-orders", Output::File("failed-orders.jsonl".into()));
        job
    })
}
