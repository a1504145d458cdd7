//~ compiles
use headwater::prelude::*;
use headwater::state::Text as User;

struct Transaction {
    user: User,
    at: Timestamp,
}

fn main() {
    let job = Job::new("flagship");
    job.source(Topic::lines::<String>("transactions"))
        .map(|line| Transaction { user: line.as_str().into(), at: Timestamp::from_seconds(line.len() as i64) })
        .event_time(|tx| tx.at, Lateness::minutes(5))
        .key_by_ref(|tx| &tx.user)
        .window(Tumbling::days(1))
        .count()
        .once(|n| *n > 10)
        .map(|pane| format!("{} {} {}", pane.key, pane.window.start, pane.value))
        .sink(Topic::lines("alerts"));
}
