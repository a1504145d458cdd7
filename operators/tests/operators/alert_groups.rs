//! Alerts in groups: one message per group and interval.

use std::sync::Arc;
use std::time::Duration;

use headwater_operators::{Alert, AlertGroup, AlertGroups, AlertStatus, Clock, KeyBy, Severity};

use crate::alert_steps::Step::{End, Row as Of, Tick, Watermark};
use crate::alert_steps::{Step, Stepped, all_ways, at};

/// The key is `group/name`; a value above zero fires since then, and below zero resolves.
fn alert(key: &'static str, value: f64) -> Alert {
    let (group, name) = key.split_once('/').unwrap();
    let alert = Alert::firing(name, "…", at(value.abs() as i64)).label("group", group);
    if value < 0.0 { alert.resolved(at(0)) } else { alert.severity(Severity::Critical) }
}

fn gathered(clock: Clock) -> Stepped<Alert, AlertGroup<String>> {
    let (wait, every) = (Duration::from_secs(10), Duration::from_secs(60));
    let groups = AlertGroups { id: "groups".to_owned(), wait, every, clock };
    assert_eq!(groups.mistakes(), [""; 0]);
    let process = groups.process(Arc::new(KeyBy::new(|alert: &Alert| alert.labels["group"].clone())));
    Stepped::new(alert, move |local| process.open(local))
}

fn line(group: AlertGroup<String>) -> String {
    let names = |alerts: &[Alert]| alerts.iter().map(|alert| alert.name.clone()).collect::<String>();
    let seconds = group.at.as_seconds();
    format!("{} {seconds} +{} -{}", group.key, names(&group.firing), names(&group.resolved))
}

fn said(clock: Clock, steps: &[Step]) -> Vec<String> {
    all_ways(|| gathered(clock), steps, line)
}

#[test]
fn the_first_alert_of_a_group_waits_for_others() {
    let steps = [Of(0, "g/A", 1.0), Of(5, "g/B", 1.0), Of(7, "h/C", 1.0), Watermark(10), Watermark(11), Watermark(18)];
    assert_eq!(said(Clock::Event, &steps), ["g 10 +AB -", "h 17 +C -"]);
}

#[test]
fn the_next_message_comes_an_interval_later_and_only_when_something_changed() {
    let steps = [Of(0, "g/A", 1.0), Of(20, "g/B", 1.0), Of(30, "g/A", -1.0), Watermark(71), Watermark(200)];
    assert_eq!(said(Clock::Event, &steps), ["g 10 +A -", "g 70 +B -A"]);
    let steps = [&steps[..], &[Of(200, "g/B", -1.0), Watermark(300)]].concat();
    assert_eq!(said(Clock::Event, &steps), ["g 10 +A -", "g 70 +B -A", "g 210 + -B"], "it waits for others again");
}

#[test]
fn an_alert_that_comes_and_goes_between_messages_is_told_of() {
    assert_eq!(said(Clock::Event, &[Of(0, "g/A", 1.0), Of(5, "g/A", -1.0), Watermark(11)]), ["g 10 + -A"]);
    // One that comes back is in both.
    let steps = [Of(0, "g/A", 1.0), Of(5, "g/A", -1.0), Of(6, "g/A", 6.0), Watermark(11)];
    assert_eq!(said(Clock::Event, &steps), ["g 10 +A -A"]);
}

#[test]
fn a_reminder_is_a_reason_for_a_message() {
    let steps = [Of(0, "g/A", 1.0), Watermark(100), Of(100, "g/A", 1.0), Watermark(111)];
    assert_eq!(said(Clock::Event, &steps), ["g 10 +A -", "g 110 +A -"]);
}

#[test]
fn by_the_wall_clock_messages_keep_their_distance_when_time_leaps() {
    let steps = [Tick(1_000), Of(0, "g/A", 1.0), Tick(1_010), Tick(1_050), Of(0, "g/B", 1.0), Tick(1_100), Tick(1_111)];
    let messages = all_ways(
        || gathered(Clock::Wall),
        &steps,
        |group| {
            let distance = (group.at.as_micros() + 1) / 1_000_000;
            format!("{distance} {}", group.firing.len())
        },
    );
    assert_eq!(messages, ["1050 1", "1111 2"]);
}

#[test]
fn messages_do_not_wait_beyond_the_end_of_the_input() {
    let steps = [Tick(1_000), Of(0, "g/A", 1.0), Of(0, "h/B", 1.0), End, Tick(2_000)];
    let mut messages = said(Clock::Wall, &steps);
    messages.sort();
    assert_eq!(messages, ["g 1010 +A -", "h 1010 +B -"]);
    assert_eq!(said(Clock::Event, &[Of(0, "g/A", 1.0), Watermark(5), End]), ["g 10 +A -"]);
}

#[test]
fn a_group_in_which_nothing_fires_leaves_nothing_behind() {
    for clock in [Clock::Event, Clock::Wall] {
        let mut gathered = gathered(clock);
        let pass = |second| if clock == Clock::Wall { Tick(second) } else { Watermark(second) };
        for step in [pass(0), Of(0, "g/A", 1.0), pass(11), Of(11, "g/A", -1.0), pass(80)] {
            gathered.step(&step);
        }
        assert_eq!(gathered.commit().len(), 2);
        assert!(gathered.kept(&["groups/states"]) > 0, "the interval is not over");
        gathered.step(&pass(150));
        gathered.commit();
        assert_eq!(gathered.kept(&["groups/states", "groups/event-timers", "groups/wall-timers"]), 0, "{clock:?}");
    }
}

#[test]
fn a_group_names_a_thousand_alerts_and_counts_the_rest() {
    let groups = AlertGroups {
        id: "groups".to_owned(),
        wait: Duration::ZERO,
        every: Duration::from_secs(60),
        clock: Clock::Event,
    };
    let process = groups.process(Arc::new(KeyBy::new(|_: &Alert| 0u8)));
    let mut harness = headwater_operators::harness::Harness::of(move |local| process.open(local)).unwrap();
    let alert = |n: usize| Alert::firing(format!("alert {n}"), "…", at(0));
    // Each twice: a reminder does not make two of it.
    harness.timed((0..2_600).map(|n| (at(0), alert(n % 1_300)))).unwrap();
    harness.watermark(at(1)).unwrap();
    let message = harness.take().remove(0);
    assert_eq!((message.firing.len(), message.more_firing), (1_000, 300));
    harness.timed((0..1_300).map(|n| (at(10), alert(n).resolved(at(10))))).unwrap();
    harness.watermark(at(61)).unwrap();
    let message = harness.take().remove(0);
    assert_eq!((message.firing.len(), message.more_firing), (0, 0));
    assert_eq!((message.resolved.len(), message.more_resolved), (1_000, 300));
    assert_eq!(message.status(), AlertStatus::Resolved);
}
