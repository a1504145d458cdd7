//! Rules against a model that looks at each second, however steps are batched, committed and cut by crashes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_operators::harness::{Harness, HarnessOptions};
use headwater_operators::{Alert, AlertRule, Chain, Counter, KeyBy};
use proptest::prelude::*;

use crate::alert_steps::at;

/// Key, second, value: above 5 is bad, below 3 is good.
type Row = (u8, i64, i64);

#[derive(Clone, Copy, Debug)]
struct Durations {
    for_at_least: i64,
    keep_firing_for: i64,
    stale_after: Option<i64>,
    flap_limit: Option<(usize, i64)>,
    remind_every: Option<u64>,
    hysteresis: bool,
}

fn durations() -> impl Strategy<Value = Durations> {
    let hold = (prop_oneof![Just(0i64), 1..12i64], prop_oneof![Just(0i64), 1..8i64]);
    let more = (prop::option::of(1..25i64), prop::option::of((3..6usize, 5..60i64)), prop::option::of(1..9u64));
    (hold, more, any::<bool>()).prop_map(|(hold, more, hysteresis)| Durations {
        for_at_least: hold.0,
        keep_firing_for: hold.1,
        stale_after: more.0,
        flap_limit: more.1,
        remind_every: more.2,
        hysteresis,
    })
}

impl Durations {
    fn rule(self) -> AlertRule<u8, Row> {
        let span = |seconds: i64| Duration::from_secs(seconds as u64);
        let mut rule =
            AlertRule::new("rule").when(|row: &Row| row.2 > 5).key_label("key").summary(|_, _| String::new());
        if self.hysteresis {
            rule = rule.until(|row| row.2 < 3);
        }
        if self.for_at_least > 0 {
            rule = rule.for_at_least(span(self.for_at_least));
        }
        if self.keep_firing_for > 0 {
            rule = rule.keep_firing_for(span(self.keep_firing_for));
        }
        if let Some(stale) = self.stale_after {
            rule = rule.stale_after(span(stale));
        }
        if let Some((most, per)) = self.flap_limit {
            rule = rule.flap_limit(most, span(per));
        }
        match self.remind_every {
            Some(every) => rule.remind_every(Duration::from_secs(every)),
            None => rule,
        }
    }
}

/// Key, start, end, whether it flaps.
type Said = (u8, i64, Option<i64>, bool);

/// A key as the rules of the documentation have it, without timers: every second is looked at.
#[derive(Default)]
struct Model {
    pending: Option<i64>,
    firing: Option<i64>,
    flapping: bool,
    gone: Option<i64>,
    seen: i64,
    sent: Vec<i64>,
}

impl Model {
    fn measure(&mut self, second: i64, value: i64, rule: &Durations) {
        let (bad, good) = (value > 5, if rule.hysteresis { value < 3 } else { value <= 5 });
        self.seen = second;
        if bad {
            self.gone = None;
            if self.firing.is_none() {
                self.pending = self.pending.or(Some(second));
            }
        } else {
            self.pending = None;
            if good && self.firing.is_some() {
                self.gone = self.gone.or(Some(second));
            }
        }
    }

    fn look(&mut self, key: u8, second: i64, rule: &Durations, said: &mut Vec<Said>) {
        if rule.stale_after.is_some_and(|after| second >= self.seen + after) {
            self.pending = None;
            if self.firing.is_some() {
                self.gone = self.gone.or(Some(second));
            }
        }
        if self.pending.is_some_and(|since| second >= since + rule.for_at_least) {
            (self.pending, self.firing, self.gone, self.flapping) = (None, Some(second), None, false);
            said.push((key, second, None, false));
            self.sent.push(second);
        }
        let Some((start, gone)) = self.firing.zip(self.gone) else { return };
        let per = rule.flap_limit.map_or(0, |(_, per)| per);
        if second >= gone + rule.keep_firing_for && !self.flapping {
            let recent = self.sent.iter().filter(|sent| **sent + per > second).count();
            if rule.flap_limit.is_some_and(|(most, _)| recent + 1 >= most) {
                self.flapping = true;
                said.push((key, start, None, true));
            }
        }
        let keep = if self.flapping { rule.keep_firing_for.max(per) } else { rule.keep_firing_for };
        if second >= gone + keep {
            said.push((key, start, Some(second), self.flapping));
            self.sent.push(second);
            (self.firing, self.gone) = (None, None);
        }
    }
}

/// What is said of the rows of one key, with the watermark at `watermark` in the end.
fn expected(key: u8, rows: &[Row], watermark: i64, rule: &Durations) -> Vec<Said> {
    let mut newest = i64::MIN;
    let kept = |row: &&Row| {
        let is_kept = row.1 >= newest;
        newest = newest.max(row.1);
        is_kept
    };
    let kept: Vec<_> = rows.iter().filter(kept).collect();
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else { return Vec::new() };
    let (mut model, mut said) = (Model::default(), Vec::new());
    for second in first.1..=last.1.max(watermark - 1) {
        for row in kept.iter().filter(|row| row.1 == second) {
            model.measure(second, row.2, rule);
            model.look(key, second, rule, &mut said);
        }
        // Another record of this second may come while the watermark has not passed it.
        if second < last.1.max(watermark) {
            model.look(key, second, rule, &mut said);
        }
    }
    said
}

#[derive(Clone, Debug)]
enum Action {
    /// Key, by how much time goes on, by how much the row is behind, value.
    Row(u8, i64, i64, i64),
    Watermark,
    Commit,
    Crash,
}

const LATENESS: i64 = 4;

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let step = prop_oneof![8 => 0..4i64, 1 => 10..80i64];
    let action = prop_oneof![
        12 => (0..3u8, step, 0..=LATENESS, 0..9i64).prop_map(|(key, step, back, value)| Action::Row(key, step, back, value)),
        4 => Just(Action::Watermark),
        2 => Just(Action::Commit),
        1 => Just(Action::Crash),
    ];
    prop::collection::vec(action, 1..150)
}

struct Run {
    harness: Harness<Vec<Row>, Vec<Alert>>,
    said: Vec<Alert>,
    /// What is not committed yet, to be done again.
    open: Vec<(Option<Row>, i64)>,
    now: i64,
    rows: Vec<Row>,
}

impl Run {
    fn new(rule: Durations, memory_bytes: usize) -> Self {
        let rule = Arc::new(rule.rule());
        assert_eq!(rule.mistakes(), [""; 0]);
        let process = rule.process(Arc::new(KeyBy::new(|row: &Row| row.0)), Counter::new());
        let options = HarnessOptions { memory_bytes, ..HarnessOptions::default() };
        let build = move |local: &_, next| Ok(Box::new(Chain::new(process.open(local)?, next)) as _);
        let harness = Harness::with(options, build).unwrap();
        Self { harness, said: Vec::new(), open: Vec::new(), now: 0, rows: Vec::new() }
    }

    fn push(&mut self, row: Option<Row>, watermark: i64) {
        match row {
            Some(row) => self.harness.timed([(at(row.1), row)]).unwrap(),
            None => self.harness.watermark(at(watermark)).unwrap(),
        }
        self.open.push((row, watermark));
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Row(key, step, back, value) => {
                self.now += step;
                let row = (key, self.now - back, value);
                self.rows.push(row);
                self.push(Some(row), 0);
            }
            Action::Watermark => self.push(None, self.now - LATENESS),
            Action::Commit => {
                self.harness.commit().unwrap();
                self.harness.write_back().unwrap();
                self.said.extend(self.harness.take());
                self.open.clear();
            }
            Action::Crash => {
                self.harness.crash().unwrap();
                for (row, watermark) in std::mem::take(&mut self.open) {
                    self.push(row, watermark);
                }
            }
        }
    }
}

fn said_of(alerts: Vec<Alert>) -> BTreeMap<u8, Vec<Said>> {
    let mut said: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for alert in alerts.into_iter().filter(|alert| !alert.annotations.contains_key("reminder")) {
        let key = alert.labels["key"].parse().unwrap();
        let flapping = alert.annotations.contains_key("flapping");
        let end = alert.ends_at.map(|end| end.as_seconds());
        said.entry(key).or_default().push((key, alert.starts_at.as_seconds(), end, flapping));
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_says_what_looking_at_each_second_says(
        rule in durations(),
        actions in actions(),
        memory in prop_oneof![Just(0usize), Just(1 << 20)],
    ) {
        let mut run = Run::new(rule, memory);
        actions.iter().for_each(|action| run.act(action));
        run.act(&Action::Watermark);
        run.act(&Action::Commit);
        let watermark = run.now - LATENESS;
        let mut found = said_of(run.said);
        for key in 0..3 {
            let rows: Vec<Row> = run.rows.iter().copied().filter(|row| row.0 == key).collect();
            let expected = expected(key, &rows, watermark, &rule);
            prop_assert_eq!(found.remove(&key).unwrap_or_default(), expected, "key {}, watermark {}, {:?}", key, watermark, rows);
        }
    }

    /// No rule keeps anything of keys that are well once their time is over.
    #[test]
    fn what_is_well_is_forgotten(rule in durations(), actions in actions()) {
        let mut run = Run::new(rule, 0);
        actions.iter().for_each(|action| run.act(action));
        for key in 0..3 {
            run.act(&Action::Row(key, 1, 0, 0));
        }
        for _ in 0..4 {
            run.now += 200;
            run.act(&Action::Watermark);
        }
        run.act(&Action::Commit);
        for table in ["rule/states", "rule/event-timers", "rule/wall-timers"] {
            let mut kept = 0;
            let store = run.harness.store();
            headwater_state::Store::scan(store, table, &[], &[u8::MAX; 8], &mut |_, _| {
                kept += 1;
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
            prop_assert_eq!(kept, 0, "values left in {}", table);
        }
    }
}
