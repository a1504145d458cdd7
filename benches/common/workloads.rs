//! Workloads of a benchmark, by the names that the command line has.

use std::process::{Command, ExitCode};

use super::bars::Bars;

/// A workload's name, and what runs it.
pub type Workload = (&'static str, fn(&mut Bars));

/// Runs those that are named, or all.
pub fn run(workloads: &[Workload], named: &[&str]) -> ExitCode {
    let names: Vec<&str> = workloads.iter().map(|(name, _)| *name).collect();
    match named {
        [] => each_alone(&names),
        [name] => {
            let Some((_, workload)) = workloads.iter().find(|(other, _)| other == name) else {
                println!("there is no workload {name}; there are {}", names.join(", "));
                return ExitCode::FAILURE;
            };
            let mut bars = Bars::default();
            workload(&mut bars);
            bars.verdict()
        }
        several => each_alone(several),
    }
}

/// Runs workloads in processes of their own, so that none has what another one left, and the peak of memory is that of one.
fn each_alone(names: &[&str]) -> ExitCode {
    Bars::head();
    let run = |name: &&str| Command::new(std::env::current_exe().unwrap()).arg(name).status().unwrap().success();
    // All of them run, whether or not one misses a bar.
    let missed = names.iter().filter(|name| !run(name)).count();
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
