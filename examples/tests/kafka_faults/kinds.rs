//! The kinds of faults, and how each is done.

use std::time::{Duration, Instant};

use headwater::prelude::Random;
use rustix::process::Signal;

use super::campaign::{Campaign, GOES_ON};
use super::frames::{ADD_OFFSETS_TO_TXN, ADD_PARTITIONS_TO_TXN, DELETE_RECORDS, END_TXN, PRODUCE, TXN_OFFSET_COMMIT};
use super::job::{INPUTS, JOB};
use super::proxy::{Act, Rule, Stage, Trap};
use super::reader::said;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// kill -9 of the active instance, which comes back soon.
    Kill,
    /// kill -9 of the active instance, which comes back when the other has taken over.
    Takeover,
    /// SIGSTOP of the active instance until it has been missed and its transaction is aborted, then SIGCONT.
    Freeze,
    /// The same when the answer to its commit was lost, after which it takes its transactional id anew: that lifts the fence which
    /// the other one has put up meanwhile.
    FreezeInCommit,
    BrokerKill,
    /// kill -9 of the broker while it commits: it has said that it will, and has yet to tell the partitions. Kafka 4.1 to 4.4
    /// forget to tell those that have no leader yet at the next start (KAFKA-20734).
    BrokerKillInCommit,
    /// The same when the job knows that it will, and has begun the next transaction.
    BrokerKillAfterCommit,
    BrokerPause,
    /// Nothing passes between job and broker for a while.
    Silence,
    /// All connections are cut at once.
    Cut,
    EndTxnHeld,
    EndTxnCutBefore,
    EndTxnCutAfter,
    /// The connection is cut at once, and EndTxn comes late by it, when others have followed.
    EndTxnLate,
    /// The same, and the instance is killed meanwhile.
    EndTxnLateAndKill,
    /// A request of a transaction that is not EndTxn is cut before or after the broker gets it.
    OtherCut,
    DiskFull,
    /// The disk of the active instance stays full until the other one has taken over.
    DiskStaysFull,
    /// The active instance can open no more files, nor connections, until the job goes on all the same.
    NoFiles,
    /// An input gets one more partition.
    MorePartitions,
    /// Kafka has forgotten the offsets of the group, as after nobody ran for a week.
    OffsetsExpired,
    /// The changelog is to be shortened, and the request fails.
    ShorteningCut,
}

pub const KINDS: [Kind; 22] = [
    Kind::Kill,
    Kind::Takeover,
    Kind::Freeze,
    Kind::FreezeInCommit,
    Kind::BrokerKill,
    Kind::BrokerKillInCommit,
    Kind::BrokerKillAfterCommit,
    Kind::BrokerPause,
    Kind::Silence,
    Kind::Cut,
    Kind::EndTxnHeld,
    Kind::EndTxnCutBefore,
    Kind::EndTxnCutAfter,
    Kind::EndTxnLate,
    Kind::EndTxnLateAndKill,
    Kind::OtherCut,
    Kind::DiskFull,
    Kind::DiskStaysFull,
    Kind::NoFiles,
    Kind::MorePartitions,
    Kind::OffsetsExpired,
    Kind::ShorteningCut,
];

/// Those that are asked for.
pub fn chosen() -> Option<Vec<Kind>> {
    let names = std::env::var("HEADWATER_FAULTS").ok()?;
    let named = |name: &str| KINDS.into_iter().find(|kind| format!("{kind:?}") == name);
    let find = |name: &str| named(name).unwrap_or_else(|| panic!("no fault {name} among {KINDS:?}"));
    Some(names.split(',').map(find).collect())
}

/// How often each is done, if that is asked for.
pub fn chosen_hits() -> Option<usize> {
    std::env::var("HEADWATER_HITS").ok().map(|hits| hits.parse().unwrap())
}

/// A request of a kind that a running job sends comes within this.
const COMES: Duration = Duration::from_secs(40);

impl Kind {
    /// Does it, until it is over. Returns how long the job has taken to go on, as far as that was waited for.
    ///
    /// # Errors
    /// What the job did not do meanwhile.
    pub fn inject(self, campaign: &mut Campaign) -> Result<Duration, String> {
        match self {
            Self::Kill => kill(campaign),
            Self::Takeover => return take_over(campaign),
            Self::Freeze => freeze(campaign),
            Self::FreezeInCommit => freeze_in_commit(campaign)?,
            Self::BrokerKill => {
                campaign.cluster.broker.dev("kill");
                let time = campaign.within(3_000);
                campaign.wait(time);
                campaign.cluster.broker.dev("start");
            }
            Self::BrokerKillInCommit => kill_broker_in_commit(campaign, Act::CutAfter)?,
            Self::BrokerKillAfterCommit => kill_broker_in_commit(campaign, Act::Watch)?,
            Self::BrokerPause => {
                campaign.cluster.broker.dev("pause");
                let time = campaign.within(15_000);
                campaign.wait(time);
                campaign.cluster.broker.dev("resume");
            }
            Self::Silence => {
                campaign.cluster.proxy.stop();
                let time = campaign.within(15_000);
                campaign.wait(time);
                campaign.cluster.proxy.heal();
            }
            Self::Cut => campaign.cluster.proxy.cut(),
            Self::EndTxnHeld => {
                let time = Duration::from_secs(1) + campaign.within(10_000);
                trap(campaign, END_TXN, Act::Hold(time))?;
            }
            Self::EndTxnCutBefore => trap(campaign, END_TXN, Act::CutBefore)?,
            Self::EndTxnCutAfter => trap(campaign, END_TXN, Act::CutAfter)?,
            Self::EndTxnLate => late(campaign, false)?,
            Self::EndTxnLateAndKill => late(campaign, true)?,
            Self::OtherCut => {
                let apis = [PRODUCE, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, TXN_OFFSET_COMMIT];
                let api = *campaign.random.pick(&apis);
                let act = *campaign.random.pick(&[Act::CutBefore, Act::CutAfter]);
                trap(campaign, api, act)?;
            }
            Self::DiskFull => full_disk(campaign)?,
            Self::DiskStaysFull => return disk_stays_full(campaign),
            Self::NoFiles => return no_files(campaign),
            Self::MorePartitions => return more_partitions(campaign),
            Self::OffsetsExpired => forget_offsets(campaign)?,
            Self::ShorteningCut => {
                let act = *campaign.random.pick(&[Act::CutBefore, Act::CutAfter]);
                trap(campaign, DELETE_RECORDS, act)?;
            }
        }
        Ok(Duration::ZERO)
    }
}

fn kill(campaign: &mut Campaign) {
    let active = campaign.active();
    campaign.instances[active].kill();
    let time = campaign.within(2_000);
    campaign.wait(time);
    campaign.instances[active].start();
}

fn kill_broker_in_commit(campaign: &mut Campaign, answer: Act) -> Result<(), String> {
    // It tells them within milliseconds.
    await_commit(campaign, answer)?;
    campaign.cluster.kill_broker();
    let time = campaign.within(3_000);
    campaign.wait(time);
    campaign.cluster.broker.dev("start");
    Ok(())
}

/// Returns how long the other instance has taken.
fn take_over(campaign: &mut Campaign) -> Result<Duration, String> {
    let active = campaign.active();
    campaign.instances[active].kill();
    let killed = Instant::now();
    let taken = campaign.progress();
    let time = killed.elapsed();
    campaign.instances[active].start();
    taken.map(|()| time)
}

fn freeze(campaign: &mut Campaign) {
    let active = campaign.active();
    campaign.instances[active].signal(Signal::STOP);
    let timeouts = campaign.timeouts;
    let missed = timeouts.session.max(timeouts.transaction) + Duration::from_secs(2);
    let time = missed + campaign.within(3_000);
    campaign.wait(time);
    campaign.instances[active].signal(Signal::CONT);
}

fn freeze_in_commit(campaign: &mut Campaign) -> Result<(), String> {
    await_commit(campaign, Act::CutAfter)?;
    freeze(campaign);
    Ok(())
}

/// Does something to the answer to the next EndTxn, and returns at once: `trap` looks now and then only.
fn await_commit(campaign: &Campaign, act: Act) -> Result<(), String> {
    let rule = Rule { api: END_TXN, client: None, act };
    let is_done = campaign.cluster.proxy.arm(rule).is_done(COMES);
    is_done.then_some(()).ok_or_else(|| format!("waited {COMES:?} for EndTxn"))
}

/// Does something to the next request of a kind, and waits until it is done.
fn trap(campaign: &mut Campaign, api: i16, act: Act) -> Result<(), String> {
    let trap = campaign.cluster.proxy.arm(Rule { api, client: None, act });
    await_stage(campaign, &trap, |stage| *stage != Stage::Armed, &format!("a request of API {api}"))?;
    await_stage(campaign, &trap, |stage| matches!(stage, Stage::Done(_)), &format!("the end of {act:?}"))
}

fn late(campaign: &mut Campaign, with_kill: bool) -> Result<(), String> {
    let active = campaign.active();
    let act = Act::Late(campaign.lateness);
    let trap = campaign.cluster.proxy.arm(Rule { api: END_TXN, client: None, act });
    await_stage(campaign, &trap, |stage| *stage != Stage::Armed, "EndTxn")?;
    if with_kill {
        campaign.instances[active].kill();
        let time = campaign.within(1_000);
        campaign.wait(time);
        campaign.instances[active].start();
    }
    // Nobody waits for it.
    campaign.progress()?;
    if campaign.random.below(2) == 0 {
        trap.let_go();
    }
    await_stage(campaign, &trap, |stage| matches!(stage, Stage::Done(_)), "the late EndTxn")
}

fn await_stage(campaign: &mut Campaign, trap: &Trap, holds: impl Fn(&Stage) -> bool, what: &str) -> Result<(), String> {
    let came = campaign.wait_for(COMES, |_| holds(&trap.stage()));
    if !came {
        campaign.cluster.proxy.disarm();
    }
    came.then_some(()).ok_or_else(|| format!("waited {COMES:?} for {what}"))
}

/// The disk is full until the instance has noticed, while it runs and half of the times already when it starts. Tables are
/// written at least every half minute.
fn full_disk(campaign: &mut Campaign) -> Result<(), String> {
    let active = campaign.active();
    let said = campaign.instances[active].said().len();
    let is_start = campaign.random.below(2) == 0;
    if is_start {
        campaign.instances[active].kill();
    }
    campaign.instances[active].disk.fill();
    if is_start {
        campaign.instances[active].start();
    }
    let notices = |campaign: &Campaign| {
        let instance = &campaign.instances[active];
        // A store that is opened gives back what it had allotted ahead.
        instance.disk.fill();
        instance.said()[said..].contains("disk")
    };
    let noticed = campaign.wait_for(Duration::from_secs(50), notices);
    campaign.instances[active].disk.free();
    noticed.then_some(()).ok_or_else(|| "nobody has noticed that the disk is full".to_owned())
}

/// Returns how long the job has taken to go on, by the other instance.
fn disk_stays_full(campaign: &mut Campaign) -> Result<Duration, String> {
    let active = campaign.active();
    let said = campaign.instances[active].said().len();
    let fills = |campaign: &Campaign| campaign.instances[active].disk.fill();
    let noticed = campaign.wait_for(Duration::from_secs(50), |campaign| {
        fills(campaign);
        campaign.instances[active].said()[said..].contains("disk")
    });
    let since = Instant::now();
    let next = campaign.fed();
    let goes_on = campaign.wait_for(GOES_ON, |campaign| {
        fills(campaign);
        campaign.newest() > next
    });
    campaign.instances[active].disk.free();
    match (noticed, goes_on) {
        (true, true) => Ok(since.elapsed()),
        (false, _) => Err("nobody has noticed that the disk is full".to_owned()),
        (true, false) => Err("a full disk keeps the other instance waiting".to_owned()),
    }
}

/// Returns how long the job has taken to go on.
fn no_files(campaign: &mut Campaign) -> Result<Duration, String> {
    let active = campaign.active();
    let said = campaign.instances[active].said().len();
    let before = campaign.instances[active].limit_files(0);
    let noticed = campaign.wait_for(Duration::from_secs(50), |campaign| {
        campaign.instances[active].said()[said..].contains("Too many open files")
    });
    let since = Instant::now();
    let goes_on = campaign.progress();
    if let Some(before) = before {
        campaign.instances[active].limit_files(before);
    }
    goes_on?;
    noticed.then(|| since.elapsed()).ok_or_else(|| "nobody has noticed that there are no files".to_owned())
}

/// Returns how long it took until all that was given until then had its outputs.
fn more_partitions(campaign: &mut Campaign) -> Result<Duration, String> {
    let input = campaign.random.below(INPUTS.len() as u64) as usize;
    let Some(partitions) = campaign.spread(input) else { return Ok(Duration::ZERO) };
    campaign.cluster.broker.add_partitions(INPUTS[input].0, partitions as usize);
    let since = Instant::now();
    // So that the feed has found it.
    campaign.wait(Duration::from_secs(2));
    let fed = campaign.fed();
    let read = campaign.wait_for(GOES_ON, |campaign| campaign.records() >= fed);
    read.then(|| since.elapsed())
        .ok_or_else(|| format!("partition {} of {} is not read", partitions - 1, INPUTS[input].0))
}

fn forget_offsets(campaign: &mut Campaign) -> Result<(), String> {
    campaign.stop_instances();
    let end = Instant::now() + COMES;
    loop {
        let deletion = ["consumer-groups", "--delete", "--group", JOB];
        let output = campaign.cluster.broker.command("tool").args(deletion).output().unwrap();
        // Those who stopped are members until they have been missed.
        if said(&output).contains("was successful") {
            break;
        }
        if Instant::now() > end {
            return Err(format!("the group cannot be deleted: {output:?}"));
        }
        campaign.wait(Duration::from_millis(500));
    }
    for at in 0..campaign.instances.len() {
        campaign.instances[at].start();
    }
    Ok(())
}

/// Every kind as often as wanted, in an order of its own.
pub fn plan(random: &mut Random, kinds: &[Kind], hits: usize) -> Vec<Kind> {
    let mut plan: Vec<Kind> = kinds.iter().flat_map(|kind| std::iter::repeat_n(*kind, hits)).collect();
    for at in (1..plan.len()).rev() {
        plan.swap(at, random.below(at as u64 + 1) as usize);
    }
    plan
}
