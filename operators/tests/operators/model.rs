//! What the answer is, found one row at a time with nothing shared with the operators.

use std::collections::BTreeMap;

use headwater_operators::PaneKind;

use crate::cluster::{Plan, Row};

/// Key and the start of the window, in seconds.
pub type PaneId = (u32, i64);

/// What a window aggregate is to say about one stream of rows in this order.
#[derive(Debug, Default)]
pub struct Model {
    /// All that counted, per pane, in order.
    pub rows: BTreeMap<PaneId, Vec<Row>>,
    /// What a pane says of its close and after: how many of its rows it knew then.
    pub results: BTreeMap<PaneId, Vec<(PaneKind, usize)>>,
    /// How many of a pane's rows came after its window had closed.
    pub after_close: BTreeMap<PaneId, usize>,
    pub late: Vec<Row>,
}

impl Model {
    pub fn of(plan: &Plan, rows: &[Row]) -> Self {
        let mut model = Self::default();
        let mut newest = None;
        for row in rows {
            let start = row.at.div_euclid(plan.window as i64) * plan.window as i64;
            let end = start + plan.window as i64;
            let watermark = newest.map(|newest: i64| newest - plan.lateness as i64);
            let passed = |time: i64| watermark.is_some_and(|watermark| time <= watermark);
            if passed(end + plan.allowed as i64) {
                model.late.push(row.clone());
                continue;
            }
            let pane = model.rows.entry((row.key, start)).or_default();
            pane.push(row.clone());
            if passed(end) {
                *model.after_close.entry((row.key, start)).or_default() += 1;
                // After the close. If nothing was there at the close, this is the result.
                let results = model.results.entry((row.key, start)).or_default();
                if results.is_empty() && pane.len() > 1 {
                    results.push((PaneKind::OnTime, pane.len() - 1));
                }
                let kind = if results.is_empty() { PaneKind::OnTime } else { PaneKind::Correction };
                results.push((kind, pane.len()));
            }
            newest = newest.max(Some(row.at));
        }
        for (id, pane) in &model.rows {
            let results = model.results.entry(*id).or_default();
            if results.is_empty() {
                results.push((PaneKind::OnTime, pane.len()));
            }
        }
        model
    }
}
