//! Services say how they are; when one is not well, whoever is on call is told, and told again when it is over.
//!
//!     cargo run --features alertmanager,webhook --example service_monitor -- --output -
//!     cargo run --features alertmanager,webhook --example service_monitor -- --input metrics.jsonl --output alerts.jsonl \
//!         --alertmanager http://localhost:9093 --webhook http://localhost:8080/alerts
//!
//! Without `--input` the metrics come from a generator with four services, of which one has a bad minute now and then and
//! one falls silent.
//!
//! Three kinds of rules. A *threshold* with hysteresis: it fires where a value is too high for a while, and resolves where
//! it is well below. A *z-score*: it fires where a value is unusual for this service, whatever is usual. *Silence*: it
//! fires where nothing comes any more. Each alert is a record with the same identity when it fires and when it resolves;
//! both are committed with the state that decided them, so that none is sent twice or lost when the monitor is restarted.

use headwater::connectors::{Alertmanager, Webhook};
use headwater::prelude::*;
use serde::{Deserialize, Serialize};

/// One value, as JSON: `{"service":"cart","metric":"cpu","at":"2026-03-01T12:00:00Z","value":0.93}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Metric {
    service: Text,
    /// `cpu` and `memory` as shares of what there is, `errors` as the share of requests that fail, `latency` in ms.
    metric: Text,
    at: Timestamp,
    value: f64,
}

#[derive(Clone, Default, clap::Args)]
struct Flags {
    /// Tell Prometheus Alertmanager
    #[arg(long, value_name = "URL")]
    alertmanager: Option<String>,

    /// Tell this address, by a POST of each alert as JSON
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,

    /// A service that says nothing for so many seconds is silent
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    silent_after: u64,
}

type Metrics = Stream<Vec<Metric>>;

/// Too much of something for two minutes, until it is well below.
fn too_high(
    metrics: &Metrics,
    name: &'static str,
    metric: &'static str,
    (fires, resolves): (f64, f64),
) -> Stream<Vec<Alert>> {
    let rule = AlertRule::new(name)
        .when(move |m: &Metric| m.value > fires)
        .until(move |m| m.value < resolves)
        .for_at_least(Duration::from_secs(120))
        .stale_after(Duration::from_secs(600))
        .severity(Severity::Critical)
        .key_label("service")
        .summary(move |service, m| format!("{metric} of {service} is {:.0} %", m.value * 100.0));
    metrics.clone().filter(move |m: &Metric| m.metric == metric).key_by_ref(|m| &m.service).alert(rule)
}

/// A latency that is far from what this service usually has; one that answers in no time does not do its work.
fn unusual(metrics: &Metrics) -> Stream<Vec<Alert>> {
    let rule = AlertRule::new("UnusualLatency")
        .when_unusual(
            ZScore::of(|m: &Metric| m.value, 5.0)
                .half_life(Duration::from_secs(12 * 3600))
                .min_samples(100)
                .until_within(2.0),
        )
        .keep_firing_for(Duration::from_secs(1800))
        .stale_after(Duration::from_secs(7200))
        .severity(Severity::Warning)
        .key_label("service")
        .summary(|service, m: &Metric| format!("{service} answers in {:.0} ms", m.value));
    metrics.clone().filter(|m: &Metric| m.metric == "latency").key_by_ref(|m| &m.service).alert(rule)
}

fn job(flags: &Flags) -> Job {
    let job = Job::new("service-monitor");
    let metrics = job
        .source(Topic::json::<Metric>("metrics"))
        .on_bad_record(BadRecords::Skip)
        .event_time(|m| m.at, Lateness::seconds(5));
    let silence = Silence::new("NoData")
        .after(Duration::from_secs(flags.silent_after))
        .forget_after(Duration::from_secs(86_400))
        .key_label("service")
        .summary(|service, last| format!("{service} has said nothing since {last}"));
    let alerts = too_high(&metrics, "HighCpu", "cpu", (0.9, 0.8))
        .union(too_high(&metrics, "HighMemory", "memory", (0.95, 0.9)))
        .union(too_high(&metrics, "HighErrorRate", "errors", (0.05, 0.02)))
        .union(unusual(&metrics))
        .union(metrics.key_by_ref(|m| &m.service).alert_on_silence(silence));
    if let Some(url) = &flags.alertmanager {
        alerts.clone().deliver(Outbox::new("alertmanager", Alertmanager::at(url)));
    }
    if let Some(url) = &flags.webhook {
        // What happened to one alert arrives in its order: nothing resolves before it has fired.
        alerts.clone().deliver(Outbox::new("webhook", Webhook::to(url)).in_order_by(Alert::identity));
    }
    alerts.sink(Topic::json("alerts"));
    job
}

/// Four services, each of which says something every second. The generator's second is a minute of theirs.
fn made_up(number: u64, random: &mut Random) -> Metric {
    const SERVICES: [&str; 4] = ["cart", "search", "mail", "login"];
    const METRICS: [&str; 4] = ["cpu", "memory", "errors", "latency"];
    let (service, metric) = ((number / 4 % 4) as usize, (number % 4) as usize);
    let second = number / 16;
    let is_bad = service == 0 && second % 900 > 600;
    let noise = random.below(100) as f64 / 1000.0;
    let value = match (metric, is_bad) {
        (3, bad) => 40.0 + 200.0 * noise + if bad { 400.0 } else { 0.0 },
        (2, true) => 0.2 + noise,
        (2, false) => noise / 10.0,
        (_, true) => 0.9 + noise / 2.0,
        (_, false) => 0.3 + noise,
    };
    // The last one is silent for five minutes in every half an hour.
    let service = if service == 3 && second % 1800 > 1500 { 2 } else { service };
    let at = Timestamp::from_seconds(1_772_366_400 + second as i64);
    Metric { service: Text::from(SERVICES[service]), metric: Text::from(METRICS[metric]), at, value }
}

fn main() -> ExitCode {
    Job::main_with(|flags: Flags| {
        let job = job(&flags);
        job.bind_input("metrics", Input::of(Generator::new(1, made_up).rate(960.0)));
        job.bind_output("alerts", Output::Stdout);
        job
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alerts(metrics: Vec<Metric>) -> Vec<Alert> {
        let (job, alerts) = (job(&Flags { silent_after: 120, ..Flags::default() }), Captured::new());
        job.bind_input("metrics", Input::of(Rows::new(metrics)));
        job.bind_output("alerts", Output::of(alerts.clone()));
        job.run(&RunOptions::default(), &Control::default()).unwrap();
        alerts.take()
    }

    #[test]
    fn a_service_that_is_unwell_fires_and_resolves() {
        let value = |second: i64| if (200..500).contains(&second) { 0.95 } else { 0.5 };
        let metric = |second| Metric {
            service: Text::from("cart"),
            metric: Text::from("cpu"),
            at: Timestamp::from_seconds(second),
            value: value(second),
        };
        let alerts = alerts((0..900).step_by(10).map(metric).collect());
        let what: Vec<(String, AlertStatus)> = alerts.iter().map(|alert| (alert.identity(), alert.status)).collect();
        let identity = || r#"HighCpu{service="cart"}"#.to_owned();
        assert_eq!(what, [(identity(), AlertStatus::Firing), (identity(), AlertStatus::Resolved)]);
        assert_eq!(alerts[0].summary, "cpu of cart is 95 %");
        assert_eq!(alerts[1].ends_at, Some(Timestamp::from_seconds(500)));
    }

    /// Numenta's benchmark has a series of a service that failed, and says when.
    #[test]
    fn the_failures_of_a_real_service_are_noticed() {
        let lines = include_str!("tests/data/nab/ec2_request_latency_system_failure.jsonl");
        let alerts = alerts(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
        let at = |time: &str| time.parse::<Timestamp>().unwrap();
        let windows = [
            ("2014-03-14T03:31:00Z", "2014-03-14T14:41:00Z"),
            ("2014-03-18T17:06:00Z", "2014-03-19T04:16:00Z"),
            ("2014-03-20T21:26:00Z", "2014-03-21T03:41:00Z"),
        ];
        let fired: Vec<Timestamp> = alerts
            .iter()
            .filter(|alert| alert.name == "UnusualLatency" && alert.status == AlertStatus::Firing)
            .map(|alert| alert.starts_at)
            .collect();
        for (from, to) in windows {
            assert!(fired.iter().any(|time| (at(from)..at(to)).contains(time)), "nothing from {from}: {fired:?}");
        }
        let within = |time: &&Timestamp| windows.iter().any(|(from, to)| (at(from)..at(to)).contains(*time));
        let outside = fired.iter().filter(|time| !within(time)).count();
        assert!(outside <= 3, "{outside} false alarms: {fired:?}");
    }
}
