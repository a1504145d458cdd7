//! Each rule left out, and what that breaks.

use crate::rules::Rule;
use crate::scope::{ANY_FAULT, Fault, LATE_TRIMS, OLD_STORES, ONE_SHARD, Scope, TWO_SHARDS};

pub struct Mutant {
    pub without: &'static [Rule],
    pub scope: Scope,
    /// The first word of the promise that is broken.
    pub breaks: &'static str,
}

const TWO_FAULTS: Scope = Scope { name: "two faults", faults: 2, ..ONE_SHARD };

const MOVES: Scope = Scope { name: "moves", faults: 1, kinds: &[Fault::Move], ..TWO_SHARDS };

const TRIM_COST: Scope = Scope { name: "trims without their cost", counts_costs: false, ..ANY_FAULT };

const fn mutant(without: &'static [Rule], scope: Scope, breaks: &'static str) -> Mutant {
    Mutant { without, scope, breaks }
}

pub const MUTANTS: &[Mutant] = &[
    mutant(&[Rule::Token], ANY_FAULT, "wrong state"),
    mutant(&[Rule::Fence], TWO_FAULTS, "stuck"),
    mutant(&[Rule::FenceFirst], TWO_FAULTS, "stuck"),
    mutant(&[Rule::EndLast], TWO_FAULTS, "stops"),
    mutant(&[Rule::WaitForEnd], TWO_FAULTS, "stops"),
    mutant(&[Rule::StableOffsets, Rule::ReadAgain], TWO_FAULTS, "stops"),
    mutant(&[Rule::ReadAgain], TWO_FAULTS, "stops"),
    mutant(&[Rule::LookAgain], TWO_FAULTS, "stuck"),
    mutant(&[Rule::Repeat], TWO_FAULTS, "stuck"),
    mutant(&[Rule::Claim], TWO_FAULTS, "stuck"),
    mutant(&[Rule::ClaimAfterInit], TWO_FAULTS, "stuck"),
    mutant(&[Rule::Generation], TWO_FAULTS, "torn"),
    mutant(&[Rule::Guard, Rule::AbortLost], TWO_FAULTS, "torn"),
    mutant(&[Rule::AbortLost], TWO_FAULTS, "stuck"),
    mutant(&[Rule::AbortBeforeJoin], TWO_FAULTS, "stuck"),
    mutant(&[Rule::Continuity], TWO_FAULTS, "torn"),
    mutant(&[Rule::Revoke], TWO_FAULTS, "stuck"),
    mutant(&[Rule::Guard, Rule::AbortLost, Rule::Revoke], MOVES, "torn"),
    mutant(&[Rule::Whole, Rule::Revoke], MOVES, "torn"),
    mutant(&[Rule::Drain], TWO_FAULTS, "torn"),
    mutant(&[Rule::Transactional], TWO_FAULTS, "stops"),
    mutant(&[Rule::ReadOutcome], TWO_FAULTS, "torn"),
    mutant(&[Rule::DoubtOutcome], TWO_FAULTS, "wrong state"),
    mutant(&[Rule::InitBeforeOutcome], TWO_FAULTS, "stuck"),
    mutant(&[Rule::Recycle], TWO_FAULTS, "torn"),
    mutant(&[Rule::PositionAfterData], ANY_FAULT, "wrong state"),
    mutant(&[Rule::CommittedOnly], ANY_FAULT, "wrong state"),
    mutant(&[Rule::WholeRotation], ANY_FAULT, "lost"),
    mutant(&[Rule::TrimDurable], ANY_FAULT, "costly"),
    mutant(&[Rule::CursorRollsBack], ANY_FAULT, "lost"),
    mutant(&[Rule::RebuildTrimmed], OLD_STORES, "lost"),
    mutant(&[Rule::ResetIsError], LATE_TRIMS, "lost"),
];

/// Rules that others stand behind, so that leaving out one alone breaks nothing: a shard lost is noticed again before
/// EndTxn; an owner that lets go only between epochs has no part of one to commit; offsets read too early do not fit
/// the changelog and are read again; whoever is no member has its claim refused; a store overtaken by its own trim is rebuilt.
pub const SECOND_LINES: &[(Rule, Scope)] = &[
    (Rule::Guard, TWO_FAULTS),
    (Rule::Whole, MOVES),
    (Rule::StableOffsets, TWO_FAULTS),
    (Rule::Membership, TWO_FAULTS),
    (Rule::TrimDurable, TRIM_COST),
];
