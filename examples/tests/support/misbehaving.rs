//! A job whose closure does what it should not: for the tests of what its process does then.
//!
//! It reads numbers from a generator and prints none.

use headwater::prelude::*;

#[derive(clap::Args)]
struct Flags {
    /// What the closure does after some records
    #[arg(long)]
    then: Then,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Then {
    /// It never returns
    Block,
    /// It panics
    Panic,
}

const LAST_GOOD: u64 = 500;

fn main() -> ExitCode {
    Job::main_with(|flags: Flags| {
        let job = Job::new("misbehaving");
        job.source(Topic::json::<u64>("numbers"))
            .filter(move |number: &u64| {
                if *number > LAST_GOOD {
                    misbehave(flags.then);
                }
                false
            })
            .sink(Topic::json("none"));
        job.bind_input("numbers", Input::of(Generator::new(1, |number, _| number).rate(1_000.0)));
        job.bind_output("none", Output::Stdout);
        job
    })
}

fn misbehave(then: Then) {
    match then {
        Then::Block => {
            eprintln!("the closure blocks");
            loop {
                std::thread::park();
            }
        }
        Then::Panic => panic!("the closure panics"),
    }
}
