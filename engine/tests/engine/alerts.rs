//! Alerts as streams, in a whole job: workers, failures, restarts, and what authors are told.

use std::path::Path;

use headwater::operators::AlertWhen;
use headwater::prelude::*;
use proptest::prelude::*;

use crate::flaky::{Flaky, Row, Way, way};

const PATIENCE: Duration = Duration::from_secs(30);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// `firing High a 60..`
fn line(alert: &Alert) -> String {
    let end = alert.ends_at.map(|end| end.as_seconds().to_string()).unwrap_or_default();
    let key = alert.labels.get("key").map_or("", String::as_str);
    format!("{key} {} {}..{end} {}", alert.name, alert.starts_at.as_seconds(), alert.status.as_str())
}

fn high<T: 'static>(value: fn(&T) -> i64) -> headwater::operators::Rule<u8, T, AlertWhen<T>> {
    AlertRule::new("High")
        .when(move |record| value(record) > 5)
        .key_label("key")
        .summary(|key, _| format!("{key} is high"))
}

/// What three rules say of rows, read in whichever way.
fn alerts_of(way: &Way, rows: &[Row]) -> Vec<String> {
    let job = Job::new("alerts");
    let alerts = Captured::<Alert>::new();
    let keyed = job
        .source(Topic::json::<Row>("rows"))
        .event_time(|row| Timestamp::from_seconds(row.2), Lateness::NONE)
        .key_by(|row| row.0);
    let rule =
        high(|row: &Row| row.1).for_at_least(seconds(20)).keep_firing_for(seconds(5)).flap_limit(5, seconds(300));
    let high_alerts = keyed.clone().alert(rule);
    let silence =
        Silence::new("NoData").after(seconds(60)).key_label("key").summary(|key, _| format!("{key} is silent"));
    let silent = keyed.clone().alert_on_silence(silence);
    let panes = keyed.window(Tumbling::seconds(30)).id("maxima").max(|row| row.1).on_close();
    let peak = AlertRule::new("Peak").when(|pane: &Pane<u8, i64>| pane.value > 7).stale_after(seconds(90));
    let peaks = panes.alert(peak.key_label("key").summary(|key, pane| format!("{key} came to {}", pane.value)));
    high_alerts.union(silent).union(peaks).sink(Topic::json("alerts"));
    job.bind_input("rows", Input::of(Flaky::new(rows, way)));
    job.bind_output("alerts", Output::of(alerts.clone()));
    job.run(&way.options(), &Control::default()).unwrap();
    // Rules and keys come in no order that matters, the alerts of each do.
    let mut lines: Vec<String> = alerts.take().iter().map(line).collect();
    lines.sort_by_key(|line| line.split(' ').take(2).collect::<String>());
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn alerts_are_the_same_whatever_fails(
        way in way(),
        steps in prop::collection::vec((0u8..4, 0i64..9, 0i64..15), 1..300),
    ) {
        let mut now = 0;
        let rows: Vec<Row> = steps
            .into_iter()
            .map(|(key, value, step)| {
                now += step;
                (key, value, now)
            })
            .collect();
        let plain = Way { batch_rows: 7, workers: 1, memory_bytes: 1 << 30, commit_ms: 1, fail_at: Vec::new() };
        prop_assert_eq!(alerts_of(&way, &rows), alerts_of(&plain, &rows));
    }
}

/// Runs until there are so many alerts, and returns them.
fn run_until(directory: &Path, rows: &[Row], count: usize) -> Vec<String> {
    let job = Job::new("restarted");
    let alerts = Captured::<Alert>::new();
    let (feed, source) = headwater::prelude::channel::<Row>();
    job.source(Topic::json::<Row>("rows"))
        .event_time(|row| Timestamp::from_seconds(row.2), Lateness::NONE)
        .key_by(|row| row.0)
        .alert(high(|row: &Row| row.1).for_at_least(seconds(60)))
        .sink(Topic::json("alerts"));
    job.bind_input("rows", Input::of(source));
    job.bind_output("alerts", Output::of(alerts.clone()));
    feed.send(rows.to_vec());
    let options = RunOptions {
        state: Some(directory.to_owned()),
        commit_interval: Duration::from_millis(5),
        ..RunOptions::default()
    };
    let control = Control::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let came = alerts.wait_for(count, PATIENCE);
            control.stop();
            assert!(came, "{} alerts of {count}", alerts.len());
        });
        job.run(&options, &control).unwrap();
    });
    alerts.take().iter().map(line).collect()
}

#[test]
fn what_fires_before_a_restart_resolves_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let rows = [(1, 9, 0), (1, 9, 30), (1, 9, 61), (1, 1, 70), (1, 9, 80), (1, 9, 200)];
    assert_eq!(run_until(directory.path(), &rows[..3], 1), ["1 High 60.. firing"]);
    assert_eq!(run_until(directory.path(), &rows[..4], 1), ["1 High 60..70 resolved"]);
    // What was pending at the stop has lasted since then.
    assert_eq!(run_until(directory.path(), &rows[..5], 0), [""; 0]);
    assert_eq!(run_until(directory.path(), &rows, 1), ["1 High 140.. firing"]);
}

/// A silence by the clock fires while nothing comes, resolves with the next record, and makes one message of each.
#[test]
fn a_silence_by_the_clock_reaches_people_while_nothing_comes() {
    let job = Job::new("beats");
    let (feed, beats) = headwater::prelude::channel::<u8>();
    let messages = Captured::<AlertGroup<String>>::new();
    let short = Duration::from_millis(50);
    job.source(Topic::json::<u8>("beats"))
        .key_by(|service| *service)
        .alert_on_silence(
            Silence::new("NoData")
                .after(short)
                .by(Clock::Wall)
                .label("team", "cart")
                .key_label("key")
                .summary(|service, last| format!("{service} is silent since {last}")),
        )
        .group_by(|alert| alert.labels["team"].clone())
        .wait(short)
        .every(short)
        .sink(Topic::json("messages"));
    job.bind_input("beats", Input::of(beats));
    job.bind_output("messages", Output::of(messages.clone()));
    feed.send([1, 2]);
    let options = RunOptions { commit_interval: Duration::from_millis(10), ..RunOptions::default() };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let fired = messages.wait_for(1, PATIENCE);
            feed.send([1]);
            let resolved = messages.wait_for(2, PATIENCE);
            feed.close();
            assert!(fired && resolved, "{:?}", messages.records());
        });
        job.run(&options, &Control::default()).unwrap();
    });
    let messages = messages.take();
    assert!(messages.iter().all(|message| message.key == "cart"));
    let named = |message: &AlertGroup<String>| message.firing.len() + message.resolved.len();
    assert!(messages.iter().all(|message| named(message) > 0), "{messages:?}");
    assert!(
        messages.iter().any(|message| message.resolved.iter().any(|alert| alert.labels["key"] == "1")),
        "{messages:?}"
    );
}

fn mistakes(rule: AlertRule<u8, Row>) -> String {
    let job = Job::new("mistaken");
    job.source(Topic::json::<Row>("rows"))
        .event_time(|row| Timestamp::from_seconds(row.2), Lateness::NONE)
        .key_by(|row| row.0)
        .alert(rule)
        .sink(Topic::json("alerts"));
    job.check().map(|()| String::new()).unwrap_or_else(|error| error.to_string())
}

#[test]
fn mistakes_of_a_rule_are_told_before_anything_runs() {
    let zero = Duration::ZERO;
    let rule = || high(|row: &Row| row.1);
    assert_eq!(mistakes(rule()), "");
    assert!(mistakes(AlertRule::new("").when(|_| true).summary(|_, _| String::new())).contains("an alert has no name"));
    assert_eq!(
        mistakes(AlertRule::new("High").summary(|_, _| String::new())),
        "the alert `High`: it has no condition: say when it fires with `.when(|record| …)`"
    );
    assert!(mistakes(AlertRule::new("High").when(|_| true)).contains("give it a line for people with `.summary("));
    assert!(mistakes(rule().when(|_| true)).contains("several conditions"));
    for (verb, rule) in [
        ("for_at_least", rule().for_at_least(zero)),
        ("keep_firing_for", rule().keep_firing_for(zero)),
        ("stale_after", rule().stale_after(zero)),
        ("remind_every", rule().remind_every(zero)),
        ("flap_limit", rule().flap_limit(5, zero)),
        (
            "half_life",
            AlertRule::new("High")
                .when_unusual(ZScore::of(|_: &Row| 1.0, 3.0).half_life(zero))
                .summary(|_, _| String::new()),
        ),
    ] {
        let text = mistakes(rule);
        assert_eq!(text, format!("the alert `High`: `.{verb}(…)` of no duration: give it one, or leave it out"));
    }
    assert!(mistakes(rule().flap_limit(2, seconds(1))).contains("three is the least"));
    assert!(mistakes(rule().label("alertname", "Low")).contains("is taken"));
    assert!(mistakes(rule().key_label(" ")).contains("give it a name"));
    let unusual =
        |score: ZScore<Row>| mistakes(AlertRule::new("High").when_unusual(score).summary(|_, _| String::new()));
    assert!(unusual(ZScore::of(|_: &Row| 1.0, 0.0)).contains("a number above 0"));
    assert!(unusual(ZScore::of(|_: &Row| 1.0, f64::NAN)).contains("a number above 0"));
    assert!(unusual(ZScore::of(|_: &Row| 1.0, 3.0).until_within(4.0)).contains("is not within 3"));
    assert!(unusual(ZScore::of(|_: &Row| 1.0, 3.0).min_samples(1)).contains("two are the least"));
    assert!(unusual(ZScore::of(|_: &Row| 1.0, 3.0).spread_at_least(-1.0)).contains("is no spread"));
}

#[test]
fn rules_by_event_time_and_groups_without_interval_are_told_too() {
    let job = Job::new("timeless");
    let keyed = job.source(Topic::json::<Row>("rows")).key_by(|row| row.0);
    let alerts = keyed.clone().alert(high(|row: &Row| row.1));
    let silence = Silence::<u8>::new("NoData").after(seconds(5)).summary(|_, _| String::new());
    let alerts = alerts.union(keyed.clone().alert_on_silence(silence));
    let by_the_wall = high(|row: &Row| row.1).id("wall").by(Clock::Wall);
    let alerts = alerts.union(keyed.alert(by_the_wall));
    alerts.group_by(|alert| alert.name.clone()).every(Duration::ZERO).sink(Topic::json("messages"));
    let text = job.check().unwrap_err().to_string();
    assert!(text.starts_with("the pipeline has 3 mistakes:"), "{text}");
    assert!(text.contains("the alert `High` goes by event time, which its records do not have"), "{text}");
    assert!(text.contains("the alert_on_silence `NoData` goes by event time"), "{text}");
    assert!(text.contains("have no interval"), "{text}");
}

#[test]
fn two_rules_of_one_name_are_told_apart_by_their_ids() {
    let job = |second: &str| {
        let job = Job::new("twins");
        let keyed = job.source(Topic::json::<Row>("rows")).key_by(|row| row.0);
        let rule = || high(|row: &Row| row.1).by(Clock::Wall);
        let alerts = keyed.clone().alert(rule()).union(keyed.alert(rule().severity(Severity::Critical).id(second)));
        alerts.sink(Topic::json("alerts"));
        job.check()
    };
    assert!(job("High").unwrap_err().to_string().contains("two operators with state have the id `High`"));
    job("High/critical").unwrap();
}
