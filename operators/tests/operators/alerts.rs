//! Rules on what records say: every transition, each cut by crashes.

use std::time::Duration;

use headwater_operators::{Alert, AlertRule, Clock, Severity, ZScore};

use crate::alert_steps::Step::{End, Row as Of, Tick, Watermark};
use crate::alert_steps::{Row, Step, all_ways, followed, high, line, row};

type Rule = AlertRule<String, Row>;

const TABLES: &[&str] = &["High/states", "High/event-timers", "High/wall-timers"];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn said(rule: fn() -> Rule, steps: &[Step]) -> Vec<String> {
    all_ways(|| followed(rule()), steps, |alert| line(&alert))
}

#[test]
fn a_condition_fires_and_resolves_at_once() {
    let steps = [row(0, 1.0), row(1, 6.0), row(2, 7.0), row(3, 5.0), row(4, 4.0), row(5, 9.0)];
    assert_eq!(said(high, &steps), ["firing a 1", "resolved a 1..3", "firing a 5"]);
}

#[test]
fn keys_are_watched_apart() {
    let steps = [Of(1, "a", 6.0), Of(2, "b", 6.0), Of(3, "a", 1.0), Of(4, "b", 6.0)];
    assert_eq!(said(high, &steps), ["firing a 1", "firing b 2", "resolved a 1..3"]);
}

#[test]
fn a_condition_that_has_to_last_fires_when_it_has() {
    let rule = || high().for_at_least(seconds(60));
    // By a record, by the watermark, and by neither yet.
    assert_eq!(said(rule, &[row(0, 6.0), row(30, 6.0), row(75, 6.0)]), ["firing a 60"]);
    assert_eq!(said(rule, &[row(0, 6.0), Watermark(61)]), ["firing a 60"]);
    // A record of the very moment may still come, and say otherwise.
    assert_eq!(said(rule, &[row(0, 6.0), Watermark(60)]), [""; 0]);
    assert_eq!(said(rule, &[row(0, 6.0), Watermark(60), row(60, 1.0)]), [""; 0]);
    assert_eq!(said(rule, &[row(0, 6.0), Watermark(60), row(60, 6.0)]), ["firing a 60"]);
    assert_eq!(said(rule, &[row(0, 6.0), row(61, 1.0)]), ["firing a 60", "resolved a 60..61"]);
}

#[test]
fn a_condition_that_is_interrupted_begins_anew() {
    let rule = || high().for_at_least(seconds(60)).until(|row| row.1 < 3.0);
    // A value that would not resolve interrupts, too: the condition did not hold.
    let steps = [row(0, 6.0), row(50, 4.0), row(55, 6.0), Watermark(110), row(114, 6.0), row(120, 6.0)];
    assert_eq!(said(rule, &steps), ["firing a 115"]);
}

#[test]
fn what_fires_resolves_only_beyond_the_second_threshold() {
    let rule = || high().until(|row| row.1 < 3.0);
    let steps = [row(1, 6.0), row(2, 4.0), row(3, 6.0), row(4, 3.0), row(5, 2.0), row(6, 4.0)];
    assert_eq!(said(rule, &steps), ["firing a 1", "resolved a 1..5"]);
}

#[test]
fn a_record_for_which_both_hold_keeps_it_firing() {
    let rule = || high().until(|row| row.1 < 8.0);
    assert_eq!(said(rule, &[row(1, 6.0), row(2, 7.0), row(3, 4.0)]), ["firing a 1", "resolved a 1..3"]);
}

#[test]
fn what_comes_back_soon_was_never_gone() {
    let rule = || high().keep_firing_for(seconds(10));
    let steps = [row(1, 6.0), row(2, 1.0), row(9, 6.0), row(10, 1.0), row(15, 2.0), Watermark(21)];
    assert_eq!(said(rule, &steps), ["firing a 1", "resolved a 1..20"]);
    assert_eq!(said(rule, &[row(1, 6.0), row(2, 1.0), row(12, 6.0)]), ["firing a 1"], "in the very moment");
    let steps = [row(1, 6.0), row(2, 1.0), row(13, 6.0)];
    assert_eq!(said(rule, &steps), ["firing a 1", "resolved a 1..12", "firing a 13"]);
}

#[test]
fn a_key_that_flaps_stays_on_until_it_is_quiet() {
    let rule = || high().flap_limit(4, seconds(100));
    let flaps: Vec<Step> = (0..20).map(|second| row(second, if second % 2 == 0 { 6.0 } else { 1.0 })).collect();
    let expected = ["firing a 0", "resolved a 0..1", "firing a 2", "firing a 2 flapping"];
    assert_eq!(said(rule, &flaps), expected);
    let quiet = [&flaps[..], &[Watermark(119), row(119, 1.0), Watermark(120)]].concat();
    let expected = [&expected[..], &["resolved a 2..119 flapping"]].concat();
    assert_eq!(said(rule, &quiet), expected);
    // And from there on it is a key like any other.
    let anew = [&quiet[..], &[row(130, 6.0), row(131, 1.0)]].concat();
    assert_eq!(said(rule, &anew), [&expected[..], &["firing a 130", "resolved a 130..131"]].concat());
}

#[test]
fn slow_changes_are_no_flapping() {
    let rule = || high().flap_limit(3, seconds(10));
    let steps: Vec<Step> = (0..6).map(|n| row(n * 10, if n % 2 == 0 { 6.0 } else { 1.0 })).collect();
    assert_eq!(said(rule, &steps).len(), 6);
}

#[test]
fn a_firing_alert_is_said_again_with_its_start_and_its_newest_text() {
    let steps = [row(0, 6.0), row(10, 7.0), Watermark(31), row(31, 7.0), Watermark(61), row(70, 1.0), Watermark(200)];
    let rule = || high().remind_every(seconds(30));
    let expected = ["firing a 0", "firing a 0 reminder 1", "firing a 0 reminder 2", "resolved a 0..70"];
    assert_eq!(said(rule, &steps), expected);
    let summaries = all_ways(|| followed(rule()), &steps, |alert| alert.summary);
    assert_eq!(summaries, ["a is 6", "a is 7", "a is 7", "a is 7"]);
}

#[test]
fn a_leap_of_time_sends_one_reminder() {
    let rule = || high().remind_every(seconds(30));
    assert_eq!(
        said(rule, &[row(0, 6.0), Watermark(1_000), Watermark(1_021)]),
        ["firing a 0", "firing a 0 reminder 1", "firing a 0 reminder 2"]
    );
}

#[test]
fn a_key_that_says_nothing_more_is_over_where_that_is_said() {
    let rule = || high().stale_after(seconds(100));
    assert_eq!(said(rule, &[row(0, 6.0), Watermark(101)]), ["firing a 0", "resolved a 0..100 stale"]);
    // One that speaks again before it has resolved is heard.
    let rule = || high().stale_after(seconds(100)).keep_firing_for(seconds(50));
    assert_eq!(
        said(rule, &[row(0, 6.0), row(120, 6.0), row(130, 1.0), Watermark(181)]),
        ["firing a 0", "resolved a 0..180"]
    );
    assert_eq!(said(rule, &[row(0, 6.0), row(120, 1.0), Watermark(181)]), ["firing a 0", "resolved a 0..150"]);
    let rule = || high().stale_after(seconds(100)).for_at_least(seconds(100));
    assert_eq!(said(rule, &[row(0, 6.0), Watermark(500)]), [""; 0], "it did not last");
    assert_eq!(said(rule, &[row(0, 6.0), row(50, 6.0), Watermark(120)]), ["firing a 100"]);
}

#[test]
fn records_older_than_the_newest_change_nothing() {
    // The second would resolve, the third is of an equal time and does.
    assert_eq!(said(high, &[row(10, 6.0), row(9, 1.0)]), ["firing a 10"]);
    assert_eq!(said(high, &[row(10, 6.0), row(9, 1.0), row(10, 1.0)]), ["firing a 10", "resolved a 10..10"]);
    // A key that is well says nothing, and is known all the same.
    assert_eq!(said(high, &[row(10, 1.0), row(9, 6.0)]), [""; 0]);
    assert_eq!(said(high, &[row(10, 1.0), row(10, 6.0)]), ["firing a 10"]);
    // Known no more, and late.
    assert_eq!(said(high, &[row(10, 1.0), Watermark(100), Watermark(200), row(9, 6.0), row(199, 6.0)]), [""; 0]);
    assert_eq!(said(high, &[row(10, 1.0), Watermark(100), Watermark(200), row(200, 6.0)]), ["firing a 200"]);
    // What the watermark has concluded stays.
    let rule = || high().for_at_least(seconds(60));
    assert_eq!(said(rule, &[row(0, 6.0), Watermark(70), row(50, 1.0)]), ["firing a 60"]);
}

#[test]
fn the_end_of_the_input_is_not_the_passing_of_time() {
    let rule = || high().for_at_least(seconds(60)).keep_firing_for(seconds(60)).remind_every(seconds(10));
    assert_eq!(said(rule, &[row(0, 6.0), Watermark(10), End]), [""; 0]);
    let steps = [row(0, 6.0), Watermark(61), row(62, 1.0), Watermark(62), Watermark(i64::MAX), End];
    assert_eq!(said(rule, &steps), ["firing a 60"]);
}

#[test]
fn by_the_wall_clock_times_are_those_of_arrival() {
    let rule =
        || high().by(Clock::Wall).for_at_least(seconds(60)).keep_firing_for(seconds(5)).remind_every(seconds(100));
    let steps =
        [Tick(1_000), row(5, 6.0), Watermark(500), Tick(1_060), Tick(1_061), Tick(1_170), row(600, 1.0), Tick(1_180)];
    let expected = ["firing a 1060", "firing a 1060 reminder 1", "resolved a 1060..1175"];
    assert_eq!(said(rule, &steps), expected);
    // Without event time there is no order but that of arrival.
    let untimed = |value| Of(i64::MIN / 1_000_000, "a", value);
    assert_eq!(
        said(rule, &[Tick(7), untimed(6.0), Tick(68), untimed(1.0), Tick(100)]),
        ["firing a 67", "resolved a 67..73"]
    );
}

#[test]
fn the_worst_severity_stays_and_a_rise_is_said_at_once() {
    let severity = |row: &Row| if row.1 > 8.0 { Severity::Critical } else { Severity::Warning };
    let steps = [row(0, 6.0), row(1, 9.0), row(2, 6.0), row(3, 9.0), row(4, 1.0)];
    let open = || followed(high().severity_of(severity));
    let said = all_ways(open, &steps, |alert| format!("{} {}", alert.status.as_str(), alert.severity.as_str()));
    assert_eq!(said, ["firing warning", "firing critical", "resolved critical"]);
}

#[test]
fn labels_stay_while_an_alert_lasts_and_annotations_follow() {
    let rule = || {
        high()
            .label("team", "cart")
            .labels(|_, row| [("digit", row.1.to_string())])
            .annotation("runbook", "a page")
            .annotations(|_, row| [("value", row.1.to_string())])
            .for_at_least(seconds(2))
    };
    let steps = [row(0, 6.0), row(1, 7.0), row(2, 8.0), row(3, 9.0), row(4, 1.0)];
    let say = |alert: Alert| {
        assert_eq!(alert.identity(), r#"High{digit="6",key="a",team="cart"}"#);
        assert_eq!(alert.annotations["runbook"], "a page");
        alert.annotations["value"].clone()
    };
    assert_eq!(all_ways(|| followed(rule()), &steps, say), ["8", "9"]);
}

#[test]
fn a_value_is_unusual_by_its_own_past() {
    let rule = || {
        let score =
            ZScore::of(|row: &Row| row.1, 3.0).until_within(1.0).min_samples(10).half_life(seconds(3_600)).above();
        AlertRule::new("High").when_unusual(score).key_label("key").summary(|_, row| format!("{}", row.1))
    };
    let usual = |second: i64| row(second, 10.0 + (second % 3) as f64);
    let mut steps: Vec<Step> = (0..30).map(usual).collect();
    steps.extend([row(30, -50.0), row(31, 60.0), row(32, 11.0)]);
    let said = all_ways(|| followed(rule()), &steps, |alert| format!("{} {:?}", line(&alert), alert.summary));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("firing a 31 usual 9.0267 ± 10.8227") && said[0].contains("z_score 4.7"), "{said:?}");
}

#[test]
fn what_is_resolved_and_quiet_leaves_nothing_behind() {
    let rule = || high().for_at_least(seconds(10)).flap_limit(5, seconds(100)).remind_every(seconds(7));
    let mut followed = followed(rule());
    for step in [row(0, 6.0), row(1, 1.0), row(5, 6.0), row(20, 6.0), row(30, 2.0), Of(2, "b", 1.0)] {
        followed.step(&step);
    }
    followed.commit();
    assert!(followed.kept(TABLES) > 0);
    for second in [31, 91, 120, 140, 150] {
        followed.step(&Watermark(second));
    }
    followed.commit();
    assert_eq!(followed.kept(TABLES), 0);
}
