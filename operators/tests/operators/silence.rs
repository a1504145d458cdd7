//! Keys that fall silent, by either clock.

use std::time::Duration;

use headwater_operators::{Clock, Silence};

use crate::alert_steps::Step::{End, Row as Of, Tick, Watermark};
use crate::alert_steps::{Step, all_ways, line, listened, row};

fn silence() -> Silence<String> {
    let silence = Silence::new("NoData").after(Duration::from_secs(120)).key_label("key");
    silence.summary(|key, last| format!("nothing of {key} since {}", last.as_seconds()))
}

fn said(rule: fn() -> Silence<String>, steps: &[Step]) -> Vec<String> {
    all_ways(|| listened(rule()), steps, |alert| line(&alert))
}

#[test]
fn by_event_time_a_key_is_silent_when_others_go_on() {
    let steps =
        [Of(0, "a", 0.0), Of(0, "b", 0.0), Of(100, "b", 0.0), Watermark(121), Of(150, "a", 0.0), Watermark(200)];
    assert_eq!(said(silence, &steps), ["firing a 120", "resolved a 120..150"]);
    let steps = [Of(0, "a", 0.0), Watermark(120), Of(120, "a", 0.0), Watermark(240)];
    assert_eq!(said(silence, &steps), [""; 0], "in the very moment is in time");
}

#[test]
fn a_gap_that_a_record_ends_was_a_silence() {
    assert_eq!(said(silence, &[row(0, 0.0), row(500, 0.0)]), ["firing a 120", "resolved a 120..500"]);
}

#[test]
fn by_the_wall_clock_a_key_is_silent_when_nothing_arrives() {
    let rule = || silence().by(Clock::Wall);
    let steps =
        [Tick(1_000), row(0, 0.0), Watermark(900), Tick(1_120), Tick(1_121), Tick(1_150), row(1, 0.0), Tick(1_200)];
    assert_eq!(said(rule, &steps), ["firing a 1120", "resolved a 1120..1150"]);
}

#[test]
fn a_record_from_before_the_silence_is_no_sign_of_life_now() {
    let steps = [row(0, 0.0), Watermark(300), row(100, 0.0), Watermark(310)];
    assert_eq!(said(silence, &steps), ["firing a 120"]);
    // This one is: within the last two minutes.
    let steps = [row(0, 0.0), Watermark(130), row(100, 0.0), Watermark(140)];
    assert_eq!(said(silence, &steps), ["firing a 120", "resolved a 120..120"]);
    // Of a key that is not known, too.
    assert_eq!(said(silence, &[Watermark(300), row(100, 0.0), Watermark(310)]), [""; 0]);
}

#[test]
fn a_key_that_stays_silent_is_reminded_of_and_then_forgotten() {
    let rule = || silence().remind_every(Duration::from_secs(100)).forget_after(Duration::from_secs(350));
    let steps = [row(0, 0.0), Watermark(121), Watermark(221), Watermark(321), Watermark(351), Watermark(900)];
    assert_eq!(
        said(rule, &steps),
        ["firing a 120", "firing a 120 reminder 1", "firing a 120 reminder 2", "resolved a 120..350 forgotten"]
    );
    let mut listened = listened(rule());
    steps.iter().for_each(|step| listened.step(step));
    listened.commit();
    assert_eq!(listened.kept(&["NoData/states", "NoData/event-timers", "NoData/wall-timers"]), 0);
}

#[test]
fn nobody_falls_silent_by_the_end_of_the_input() {
    assert_eq!(said(silence, &[row(0, 0.0), row(60, 0.0), Watermark(60), End]), [""; 0]);
}

#[test]
fn what_is_wrong_with_a_silence_is_told() {
    let wrong = Silence::<String>::new("NoData").forget_after(Duration::from_secs(1)).mistakes();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    let wrong = silence().forget_after(Duration::from_secs(120)).mistakes();
    assert!(wrong[0].contains("is forgotten before it is missed"), "{wrong:?}");
    assert!(silence().after(Duration::ZERO).mistakes()[0].contains("`.after(…)` of no duration"));
}
