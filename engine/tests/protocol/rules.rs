//! The rules of the protocol, each of which can be left out.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rule {
    /// A commit is known by its token, at opening and when its outcome is unknown. Left out: by its source offset.
    Token,
    /// Opening fences writers that are gone from the group.
    Fence,
    /// Opening reads how long the changelog is after everything else. Left out: first.
    EndLast,
    /// Opening fences before it asks for stable offsets. Left out: the other way round.
    FenceFirst,
    /// Opening asks for stable offsets. Left out: for what is committed at the moment.
    StableOffsets,
    /// Opening waits until the last stable offset is the end of the changelog.
    WaitForEnd,
    /// While opening waits, it looks again for writers that are gone.
    LookAgain,
    /// A token that changed between looking for writers and the stable offsets means to look again.
    Repeat,
    /// Before a mismatch of marker and T(s) stops the job, T(s) is read again: another may have committed meanwhile.
    ReadAgain,
    /// Opening ends with a claim epoch, and only then is anything processed.
    Claim,
    /// After a new `init_transactions` every open shard is claimed again.
    ClaimAfterInit,
    /// Offsets are sent only while every shard of the epoch is owned, and by a member.
    Guard,
    /// An instance that has lost its membership ends its transaction before it joins again.
    AbortBeforeJoin,
    /// An epoch whose shards are lost after its offsets were sent is aborted.
    AbortLost,
    /// A shard lost and given back is not the same ownership: what was lost is opened anew.
    Continuity,
    /// The offsets carry the generation of the group.
    Generation,
    /// A shard asked for is let go of when the transaction is over.
    Revoke,
    /// An epoch is committed whole. Left out: what was lost of it is left away.
    Whole,
    /// All messages are delivered before the commit.
    Drain,
    /// Offsets are part of the transaction. Left out: they are committed beside it.
    Transactional,
    /// After an unanswered commit the outcome is read. Left out: it is taken to have failed.
    ReadOutcome,
    /// The same. Left out: it is taken to have happened.
    DoubtOutcome,
    /// The outcome is read with a new producer.
    InitBeforeOutcome,
    /// A producer with an unanswered request is not used for another epoch.
    Recycle,
    /// Opening begins by making sure of being a member.
    Membership,
    /// The store's position is written after its data.
    PositionAfterData,
    /// The store gets what is committed, never more.
    CommittedOnly,
    /// A store whose position is no longer in the log is emptied.
    RebuildTrimmed,
    /// A replay that finds its place trimmed starts anew.
    ResetIsError,
    /// The log is trimmed only to the start of a complete rotation.
    WholeRotation,
    /// Nor beyond the position of the owner's store.
    TrimDurable,
    /// The rotation's cursor is the one that is committed.
    CursorRollsBack,
}

/// The rules that hold: all but a few.
#[derive(Clone, Copy)]
pub struct Rules {
    without: u32,
}

impl Rules {
    pub fn without(rules: &[Rule]) -> Self {
        Self { without: rules.iter().fold(0, |mask, rule| mask | 1 << *rule as u8) }
    }

    /// How many rules there are in all, and how many of them are left out.
    pub fn count(self) -> (u32, u32) {
        (Rule::CursorRollsBack as u32 + 1, self.without.count_ones())
    }

    pub fn hold(self, rule: Rule) -> bool {
        self.without & 1 << rule as u8 == 0
    }
}
