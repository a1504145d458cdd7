//! The Kafka protocol as a model that is executed: every order of steps, with faults between any two of them.
//!
//! Written before the protocol's code, and read beside it: a rule that the code must keep is a [`Rule`] here, and leaving
//! it out breaks a promise in a trace that this test finds and measures.
//!
//! **What is modelled.** Up to three instances with an id each, a group that assigns them two shards, and a broker.
//! * The broker: one transaction per id with the outputs, changelog entries and offsets in it; producer epochs and fencing
//!   by id; EndTxn, which decides, and markers, which reach each log and the offsets later; last stable offsets; timeouts of
//!   transactions and sessions; generations, which offsets carry or do not; DeleteRecords, which asks nobody.
//! * An instance: opening (look, fence, stable offsets, end, replay, claim), epochs over several shards, an unknown outcome
//!   that is read, a recycled producer, shards asked for and lost, a store whose data and position reach the disk one
//!   after the other, a rotation of two slices, trimming.
//! * Faults, a few in each run: kill -9 between any two steps, with a restart at any later time or never; SIGSTOP beyond the
//!   session, so that a zombie goes on where it was; a transaction that the broker times out; a shard that the group moves;
//!   a message that is not delivered; commits and offsets whose request or answer is lost, late or doubled; late markers.
//!
//! **What is promised.** Checked at each commit: an output is committed once; outputs, offsets, tokens and what the log
//! restores say the same; what the owner holds in memory is that too; an epoch follows a claim of its own writer. At all
//! times: nobody stops the job for a mismatch that is none; an owner's trim does not cost it its store. Of the
//! whole search: from every state, steps that need no luck lead to where all inputs are committed *and readable*, while
//! the dead stay dead, the frozen frozen, and no transaction times out.
//!
//! **What is left away, and why.** Blocks and marker of an epoch are one append (their count in the marker tells a cut).
//! Abort markers are written at once (before them a reader waits as for any open transaction). The broker verifies
//! writes with its transaction coordinator (KIP-890 part 1), so nothing late of an old producer gets in. An instance opens one
//! shard after the other; shard 1 has no store and no rotation; one request at a time is late. A store is brought
//! up to date at the end of a rotation only. SIGSTOP shorter than the session is slowness, which the search has anyway.
//! Numbers that grow without end (`normal.rs`) are replaced by what they say. Not here at all: topics recreated or
//! truncated, expired or reset offsets, partitions added, watermarks, standbys, `J.lock`, disks that rot, one process
//! started twice under one id.
//!
//! `HEADWATER_TORTURE=1` searches further, for which there should be `--release`. `--nocapture` shows the counts.

#![cfg(test)]

#[path = "protocol/actions.rs"]
mod actions;
#[path = "protocol/broker.rs"]
mod broker;
#[path = "protocol/checks.rs"]
mod checks;
#[path = "protocol/epoch.rs"]
mod epoch;
#[path = "protocol/mutants.rs"]
mod mutants;
#[path = "protocol/normal.rs"]
mod normal;
#[path = "protocol/opening.rs"]
mod opening;
#[path = "protocol/rules.rs"]
mod rules;
#[path = "protocol/scope.rs"]
mod scope;
#[path = "protocol/search.rs"]
mod search;
#[path = "protocol/store.rs"]
mod store;
#[path = "protocol/world.rs"]
mod world;

use actions::Protocol;
use mutants::{MUTANTS, SECOND_LINES};
use rules::{Rule, Rules};
use scope::{ANY_FAULT, Fault, LATE_TRIMS, OLD_STORES, ONE_SHARD, Scope, TWO_SHARDS};
use search::{Bounds, Outcome, search};

/// So that neither the test nor the torture needs more than 4 GB.
const STATES_MAX: usize = 45_000_000;

fn is_torture() -> bool {
    std::env::var_os("HEADWATER_TORTURE").is_some()
}

fn explore(scope: Scope, without: &[Rule], find_stuck: bool) -> Outcome {
    let model = Protocol { scope, rules: Rules::without(without) };
    search(&model, Bounds { states_max: STATES_MAX, find_stuck })
}

/// Asserts that no promise is broken in all of a scope.
fn assert_kept(scope: Scope, without: &[Rule]) {
    let outcome = explore(scope, without, true);
    println!("{}, without {without:?}: {} states, {} deep", scope.name, outcome.states, outcome.depth);
    if let Some(found) = outcome.counterexample {
        panic!("{} by\n  {}\n", found.promise, found.trace.join("\n  "));
    }
    assert!(outcome.is_complete, "{} has more than {STATES_MAX} states", scope.name);
}

#[test]
fn no_single_fault_breaks_a_promise() {
    assert_kept(ANY_FAULT, &[]);
}

#[test]
fn no_two_faults_break_a_transaction_over_two_shards() {
    assert_kept(TWO_SHARDS, &[]);
}

#[test]
fn no_three_faults_break_a_shard() {
    assert_kept(ONE_SHARD, &[]);
}

#[test]
fn no_old_store_is_taken_for_the_state() {
    assert_kept(OLD_STORES, &[]);
}

#[test]
fn more_instances_and_more_faults_break_nothing() {
    if !is_torture() {
        return;
    }
    assert_kept(LATE_TRIMS, &[]);
    assert_kept(Scope { kinds: &[Fault::Move, Fault::Kill, Fault::Freeze], ..OLD_STORES }, &[]);
    assert_kept(Scope { faults: 5, ..ONE_SHARD }, &[]);
    assert_kept(Scope { instances: 3, ..ONE_SHARD }, &[]);
    assert_kept(Scope { instances: 3, faults: 1, ..TWO_SHARDS }, &[]);
    assert_kept(Scope { faults: 3, kinds: &[Fault::Kill, Fault::Freeze], ..TWO_SHARDS }, &[]);
}

#[test]
fn each_rule_that_is_left_out_breaks_a_promise() {
    for mutant in MUTANTS {
        let outcome = explore(mutant.scope, mutant.without, mutant.breaks == "stuck");
        let found = outcome.counterexample.unwrap_or_else(|| panic!("nothing is found without {:?}", mutant.without));
        let steps = found.trace.len();
        println!("without {:?}: {steps} steps, {} states: {}", mutant.without, outcome.states, found.promise);
        let promise = found.promise.split(':').next();
        assert_eq!(promise, Some(mutant.breaks), "by\n  {}\n", found.trace.join("\n  "));
    }
}

#[test]
fn what_a_second_rule_stands_behind_breaks_nothing_alone() {
    for (rule, scope) in SECOND_LINES {
        assert_kept(*scope, &[*rule]);
    }
}

#[test]
fn every_rule_has_its_mutant() {
    let left_out: Vec<Rule> = MUTANTS.iter().flat_map(|mutant| mutant.without).copied().collect();
    let second_lines = SECOND_LINES.iter().map(|(rule, _)| *rule);
    let rules = Rules::without(&left_out.into_iter().chain(second_lines).collect::<Vec<_>>());
    let (all, out) = rules.count();
    assert_eq!(out, all, "a rule is left out by no mutant");
}
