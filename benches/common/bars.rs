//! What a run cost, the figures of several runs, and whether they are within their bars.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

/// What a run took.
#[derive(Clone, Copy)]
pub struct Run {
    pub records: u64,
    pub wall: Duration,
    pub cpu: Duration,
}

impl Run {
    pub fn cpu_ns(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.records as f64
    }

    pub fn per_second(&self) -> f64 {
        self.records as f64 / self.wall.as_secs_f64()
    }
}

/// Runs of one workload, in the order of the rounds.
pub struct Rounds {
    name: String,
    runs: Vec<Run>,
}

impl Rounds {
    pub fn of(name: impl Into<String>) -> Self {
        Self { name: name.into(), runs: Vec::new() }
    }

    pub fn push(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub fn cpu_ns(&self) -> Vec<f64> {
        self.runs.iter().map(Run::cpu_ns).collect()
    }

    pub fn per_second(&self) -> Vec<f64> {
        self.runs.iter().map(Run::per_second).collect()
    }

    /// Prints the medians, and the least and the greatest.
    pub fn print(&self) {
        let (rates, ns) = (self.per_second(), self.cpu_ns());
        println!(
            "{:<52} {:>11} {:>12.0} {:>8.0} ({:.0}-{:.0})",
            self.name,
            self.runs[0].records,
            median(&rates),
            median(&ns),
            least(&ns),
            greatest(&ns)
        );
    }
}

/// The figures that have a limit, and which of them exceed it.
#[derive(Default)]
pub struct Bars {
    missed: Vec<String>,
}

impl Bars {
    pub fn head() {
        println!("{:<52} {:>11} {:>12} {:>8}", "workload, one worker", "records", "records/s", "CPU ns (min-max)");
    }

    /// Prints a figure beside its greatest value.
    pub fn at_most(&mut self, what: impl Display, figure: f64, limit: f64, unit: &str) {
        self.judge(what, figure <= limit, format_args!("{figure:.1} {unit}, at most {limit} {unit}"));
    }

    /// Prints a figure beside its least value.
    pub fn at_least(&mut self, what: impl Display, figure: f64, limit: f64, unit: &str) {
        self.judge(what, figure >= limit, format_args!("{figure:.1} {unit}, at least {limit} {unit}"));
    }

    fn judge(&mut self, what: impl Display, met: bool, figure: impl Display) {
        let verdict = if met { "met" } else { "MISSED" };
        println!("  bar: {what}: {figure}: {verdict}");
        if !met {
            self.missed.push(what.to_string());
        }
    }

    /// Fails where a bar was missed.
    pub fn verdict(&self) -> ExitCode {
        if self.missed.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("missed: {}", self.missed.join("; "));
        ExitCode::FAILURE
    }
}

/// The time that a share of them, which are sorted, stay below, in milliseconds.
pub fn millis_at(sorted: &[Duration], share: f64) -> f64 {
    sorted[(sorted.len() as f64 * share) as usize].as_secs_f64() * 1e3
}

pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

fn greatest(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(0.0, f64::max)
}
