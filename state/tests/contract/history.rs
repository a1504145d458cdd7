//! Random histories of commits, flushes, cut bulks and reopenings, compared with a model.

use std::sync::Arc;

use headwater_state::faulty::{Call, Done, Fault, Faulty};
use headwater_state::{WriteBehind, WriteBehindOptions, recover_in_slices};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::Site;
use crate::support::*;

/// What a history is made of.
#[derive(Clone, Debug)]
enum Step {
    /// So many changes, drawn with this seed.
    Commit(usize, u64),
    Flush,
    RequestFlush,
    Reopen,
    /// The next write to the tables gets this far and no further; then everything is opened again.
    Cut(Done),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let done = prop_oneof![Just(Done::Nothing), Just(Done::Half), Just(Done::All)];
    let step = prop_oneof![
        8 => (0..40usize, any::<u64>()).prop_map(|(rows, seed)| Step::Commit(rows, seed)),
        2 => Just(Step::Flush),
        1 => Just(Step::RequestFlush),
        2 => Just(Step::Reopen),
        1 => done.prop_map(Step::Cut),
    ];
    prop::collection::vec(step, 1..40)
}

pub fn random_histories_equal_the_model<S: Site>() {
    let on_disk = std::any::type_name::<S>().contains("Disk");
    let seed: Vec<u8> = [seed(); 4].iter().flat_map(|part| part.to_le_bytes()).collect();
    let config = Config { cases: if on_disk { 12 } else { 200 }, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    runner.run(&steps(), |steps| history::<S>(&steps).map_err(TestCaseError::fail)).unwrap();
}

fn history<S: Site>(steps: &[Step]) -> Result<(), String> {
    let site = S::new();
    let mut model = Tables::new();
    let mut epoch = 0;
    let mut at = 0;
    while at < steps.len() {
        let store = Arc::new(Faulty::new(site.open()));
        let last = recover_in_slices(&*store, &*store, 500).map_err(|error| error.to_string())?;
        if last.map_or(0, |(epoch, _)| epoch.0) != epoch {
            return Err(format!("the log does not end at commit {epoch}"));
        }
        same(&*store, &model)?;
        let options = WriteBehindOptions { lag_bytes: 2000 };
        let behind = WriteBehind::start(store.clone(), store.clone(), options).map_err(|error| error.to_string())?;
        while let Some(step) = steps.get(at) {
            at += 1;
            match step {
                Step::Commit(rows, seed) => {
                    let mut random = Random(*seed);
                    let rows: Vec<Row> = (0..*rows).map(|_| random_row(&mut random)).collect();
                    // A write that was cut shows at the next commit, which then is not made.
                    if behind.commit(commit(epoch + 1, &rows)).is_err() {
                        break;
                    }
                    epoch += 1;
                    change_model(&mut model, &rows);
                }
                Step::Flush if behind.flush_and_wait().is_ok() => same(&*store, &model)?,
                Step::RequestFlush => behind.request_flush(),
                Step::Flush | Step::Reopen => break,
                Step::Cut(done) => store.fail(Fault { call: Call::Apply, nth: 1, done: *done }),
            }
        }
    }
    Ok(())
}
