//! The picture of a run, drawn.

use std::time::Duration;

use headwater_operators::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use crate::figures;
use crate::progress::Committed;

use super::history::History;

const ACCENT: Color = Color::Cyan;
const LABEL_WIDTH: u16 = 12;

/// What is shown in one frame.
pub(super) struct Picture<'a> {
    pub job: &'a str,
    pub running: Duration,
    pub stopping: bool,
    /// Read in this run, committed or not.
    pub records: u64,
    pub history: &'a History,
    pub committed: &'a Committed,
    /// The last lines of the log.
    pub log: &'a [String],
}

/// Draws it, from 80 × 24 up; what does not fit into less is left out from below.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture<'_>) {
    let log_rows = u16::try_from(picture.log.len()).unwrap_or(0);
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Length(4),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(log_rows),
    ])
    .horizontal_margin(1)
    .split(frame.area());
    draw_title(frame, rows[0], picture);
    draw_records(frame, rows[2], picture);
    frame.render_widget(Paragraph::new(facts(picture)), rows[4]);
    draw_outputs(frame, rows[6], picture.committed);
    let log = picture.log.iter().map(|line| Line::from(printable(line)).dim());
    frame.render_widget(Paragraph::new(log.collect::<Vec<_>>()), rows[7]);
}

fn draw_title(frame: &mut Frame<'_>, row: Rect, picture: &Picture<'_>) {
    let state = if picture.stopping {
        Line::from("stopping after this epoch · q again to exit at once").yellow()
    } else if picture.committed.ended {
        Line::from("all inputs have ended").dim()
    } else {
        Line::from(format!("running for {} · q to quit", clock_face(picture.running))).dim()
    };
    let state_width = u16::try_from(state.width()).unwrap_or(u16::MAX);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(state_width)]).areas(row);
    let name = Line::from(printable(picture.job)).style(Style::new().fg(ACCENT).add_modifier(Modifier::BOLD));
    frame.render_widget(name, left);
    frame.render_widget(state, right);
}

/// `1:23`, `2:01:23`
fn clock_face(span: Duration) -> String {
    let (hours, minutes, seconds) = (span.as_secs() / 3600, span.as_secs() / 60 % 60, span.as_secs() % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

fn draw_records(frame: &mut Frame<'_>, rows: Rect, picture: &Picture<'_>) {
    let [figures_side, bars_side] =
        Layout::horizontal([Constraint::Length(LABEL_WIDTH + 16), Constraint::Min(0)]).areas(rows);
    let lines = vec![
        fact("records", figures::count(picture.records)),
        fact("a second", figures::count(picture.history.per_second().round() as u64)),
    ];
    frame.render_widget(Paragraph::new(lines), figures_side);
    let mut bars = picture.history.newest(usize::from(bars_side.width));
    // Grows from the right, as time does.
    let missing = usize::from(bars_side.width).saturating_sub(bars.len());
    bars.splice(0..0, std::iter::repeat_n(0, missing));
    // Some air above, so that a steady rate is not a wall.
    let highest = bars.iter().max().map_or(1, |most| most + most / 4);
    frame.render_widget(Sparkline::default().data(bars).max(highest.max(1)).style(Style::new().fg(ACCENT)), bars_side);
}

/// The facts below the records.
fn facts<'a>(picture: &'a Picture<'a>) -> Vec<Line<'a>> {
    let committed = picture.committed;
    let mut watermark = fact("watermark", watermark_of(committed));
    if let Some(partition) = &committed.held_back_by {
        watermark.push_span(Span::from(format!("  held by {}", printable(partition))).dim());
    }
    let mut windows = fact("windows", format!("{} open", figures::count(committed.open_windows)));
    windows.push_span(Span::from(format!("  state {}", figures::bytes(committed.state_bytes))).dim());
    let mut epoch = fact("epoch", figures::count(committed.epoch));
    epoch.push_span(Span::from(format!("  committed in {}", figures::duration(committed.commit_time))).dim());
    let mut set_aside = fact("set aside", String::new());
    set_aside.push_span(warned_count(committed.late, "late"));
    set_aside.push_span(Span::from(" · ").dim());
    set_aside.push_span(warned_count(committed.bad, "bad"));
    vec![watermark, windows, epoch, set_aside]
}

fn watermark_of(committed: &Committed) -> String {
    match committed.watermark {
        None | Some(Timestamp::MIN) => "none yet".into(),
        Some(Timestamp::MAX) => "the end".into(),
        Some(watermark) => figures::time(watermark),
    }
}

/// A label and its value.
fn fact<'a>(label: &str, value: String) -> Line<'a> {
    let width = usize::from(LABEL_WIDTH);
    Line::from(vec![Span::from(format!("{label:<width$}")).dim(), Span::from(value)])
}

fn warned_count<'a>(number: u64, what: &str) -> Span<'a> {
    let text = format!("{} {what}", figures::count(number));
    if number > 0 { Span::from(text).yellow() } else { Span::from(text).dim() }
}

/// How many records each topic has, and the last ones, newest on top.
fn draw_outputs(frame: &mut Frame<'_>, area: Rect, committed: &Committed) {
    let mut heading = Line::default();
    for (topic, written) in &committed.records_out {
        heading.push_span(Span::from(printable(topic)).bold());
        heading.push_span(Span::from(format!(" {}   ", figures::count(*written))));
    }
    let rule = usize::from(area.width).saturating_sub(heading.width());
    heading.push_span(Span::from("─".repeat(rule)).dim());
    let mut lines = vec![heading];
    let has_several = committed.records_out.len() > 1;
    let rows = usize::from(area.height).saturating_sub(1);
    for (at, (topic, record)) in committed.recent.iter().rev().take(rows).enumerate() {
        let mut line = Line::default();
        if has_several {
            line.push_span(
                Span::from(format!("{:<LABEL$} ", printable(topic), LABEL = usize::from(LABEL_WIDTH) - 1)).dim(),
            );
        }
        let room = usize::from(area.width).saturating_sub(line.width());
        let record = Span::from(shortened(&printable(record), room));
        line.push_span(if at == 0 { record.fg(ACCENT) } else { record });
        lines.push(line);
    }
    if committed.recent.is_empty() {
        lines.push(Line::from("nothing written yet").dim());
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// Records are strangers' text: nothing in them may move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '·' } else { letter }).collect()
}

fn shortened(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn committed() -> Committed {
        let alert = |count| ("alerts".to_owned(), format!(r#"{{"user":"u-{count}","day":"2026-03-01","count":11}}"#));
        Committed {
            epoch: 412,
            records_out: vec![("alerts".into(), 1_204), ("late".into(), 3)],
            late: 3,
            watermark: Some(Timestamp::from_millis(1_772_373_792_500)),
            held_back_by: Some("transactions/0".into()),
            open_windows: 2,
            state_bytes: 12_345_678,
            commit_time: Duration::from_micros(3_100),
            recent: (1..=40).map(alert).collect(),
            ..Committed::default()
        }
    }

    fn drawn(width: u16, height: u16, committed: &Committed, stopping: bool) -> Vec<String> {
        let start = crate::clock::now();
        let mut history = History::new(start, 0);
        for half in 1..=200 {
            history.add(start + Duration::from_millis(500 * half), half * 24_000 + half % 7 * 1_000);
        }
        let log = ["WARN the disk is nearly full".to_owned()];
        let picture = Picture {
            job: "transaction-alerts",
            running: Duration::from_secs(83),
            stopping,
            records: 4_800_000,
            history: &history,
            committed,
            log: &log,
        };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &picture)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    #[test]
    fn everything_fits_into_80_by_24() {
        let rows = drawn(80, 24, &committed(), false);
        let expected = [
            (0, " transaction-alerts                                running for 1:23 · q to quit"),
            (2, " records     4,800,000"),
            (3, " a second    50,000"),
            (6, " watermark   2026-03-01T14:03:12Z  held by transactions/0"),
            (7, " windows     2 open  state 12.3 MB"),
            (8, " epoch       412  committed in 3.1 ms"),
            (9, " set aside   3 late · 0 bad"),
            (11, " alerts 1,204   late 3   ──────"),
            (12, r#" alerts      {"user":"u-40","day":"2026-03-01","count":11}"#),
            (22, r#" alerts      {"user":"u-30","day":"2026-03-01","count":11}"#),
            (23, " WARN the disk is nearly full"),
        ];
        for (row, text) in expected {
            assert!(rows[row].starts_with(text), "row {row} is not {text:?}:\n{}", rows.join("\n"));
        }
    }

    #[test]
    fn any_size_can_be_drawn() {
        for (width, height) in [(1, 1), (5, 40), (200, 3), (13, 13), (300, 100)] {
            drawn(width, height, &committed(), true);
        }
    }

    #[test]
    fn a_run_that_has_written_nothing_says_so() {
        let text = drawn(80, 24, &Committed::default(), true).join("\n");
        for expected in ["stopping after this epoch", "none yet", "nothing written yet", "0 late · 0 bad"] {
            assert!(text.contains(expected), "{expected} is missing:\n{text}");
        }
    }

    #[test]
    fn records_cannot_move_the_cursor() {
        let mut committed = committed();
        committed.recent = vec![("alerts".into(), "\x1b[2J\r\nx".into())];
        let text = drawn(80, 24, &committed, false).join("\n");
        assert!(text.contains("·[2J··x"), "{text}");
    }
}
