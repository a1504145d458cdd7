//! Attempts that are under way when a run is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater::prelude::*;

use crate::outbox::{Receiver, kept, options};

/// Never answers, and has the run stopped. Counts the attempts that are under way.
struct Silent {
    under_way: Arc<AtomicUsize>,
    control: Control,
}

struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Connector<String> for Silent {
    fn describe(&self) -> String {
        "one that never answers".to_owned()
    }

    async fn deliver(&self, _: &Attempt<String>) -> Result<(), Failure> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        self.control.stop();
        let _under_way = UnderWay(Arc::clone(&self.under_way));
        std::future::pending().await
    }
}

#[test]
fn an_attempt_that_outlasts_the_stop_is_broken_off_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("items.txt"), "one\n").unwrap();
    let (under_way, control) = (Arc::<AtomicUsize>::default(), Control::default());
    let silent = Silent { under_way: Arc::clone(&under_way), control: control.clone() };
    let job = Job::new("letters");
    job.source(Topic::lines::<String>("items")).deliver(Outbox::new("post", silent).timeout(Duration::from_secs(3600)));
    job.bind_input("items", Input::Files(dir.path().join("items.txt").display().to_string()));
    let options = RunOptions { state: Some(dir.path().join("state")), ..options() };
    job.run(&options, &control).unwrap();
    assert_eq!(under_way.load(Ordering::SeqCst), 0, "it goes on after the run");
    // The job is still there; another one takes its state.
    let open = Receiver::new(|_, _| Ok(()));
    let (next, options) = kept(dir.path(), &open, |outbox| outbox);
    next.run(&options, &Control::default()).unwrap();
    let attempts = open.attempts();
    assert_eq!((attempts.len(), attempts[0].number), (1, 2));
}
