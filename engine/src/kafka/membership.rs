//! Which instance of a job is the active one: membership of the job's consumer group, whose only topic `J.lock` has one
//! partition. Who is assigned it, runs; the others stand by.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::groups::GroupMemberInfo;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::config::Kafka;
use super::errors::refused_options;
use super::ffi::{GroupMember, group_member};
use super::options::Role;
use super::told::{TROUBLES, Told};
use crate::{Error, Kind, Result, clock};

/// After connections failed, requests of this member may reach the group late for so long, and twice: it then takes the
/// second for another member with the same name, which takes the place of the first.
const TROUBLE: Duration = Duration::from_secs(60);
/// A revocation waits so long for the commit that is under way.
const REVOKE_WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// A group that was left shows the next owner within this, unless something is wrong with that one, too.
const ASIDE_MAX: Duration = Duration::from_secs(60);
const ASIDE_LOOK: Duration = Duration::from_millis(250);
/// A member that is replaced so often, each time soon after it joined, has a twin.
const REPLACED_MAX: u32 = 3;

/// A member of a job's group. Dropping it does not leave the group at once: a static member that comes back within
/// the session timeout goes on as if it had not been away.
pub(super) struct Membership {
    consumer: Arc<BaseConsumer<Group>>,
    group: String,
    instance: String,
    session_timeout: Duration,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What is known of the membership. Shared with librdkafka's callbacks, which run in `poll`.
#[derive(Clone, Default)]
struct Group {
    told: Told,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    owned: bool,
    /// Counts assignments: what is owned now may have been somebody else's meanwhile.
    term: u64,
    committing: bool,
    fatal: Option<String>,
    /// When a connection failed last.
    troubled: Option<Instant>,
    /// The group has another member of this name in its place, which is most likely this one.
    is_replaced: bool,
    /// How often it was replaced in a row, this time included.
    replaced: u32,
    /// When it joined first.
    joined: Option<Instant>,
}

/// Keeps a revocation waiting while it lives.
pub(super) struct Committing<'a> {
    group: &'a Group,
    pub member: GroupMember,
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        self.group.lock().committing = false;
        self.group.state.1.notify_all();
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The topic that the instances of a job agree over.
pub(super) fn lock_topic(job: &str) -> String {
    format!("{job}.lock")
}

impl Membership {
    /// Joins, in the background. With an `instance`, as a static member of that name. After `another` one that was
    /// replaced in the group.
    ///
    /// # Errors
    /// `Config` for options that are wrong; `Unavailable` where no thread can be started.
    pub fn join(kafka: &Kafka, group: &str, instance: &str, is_static: bool, another: Option<&Self>) -> Result<Self> {
        let lock = lock_topic(group);
        let mut options = vec![
            ("group.id", group.to_owned()),
            ("client.id", instance.to_owned()),
            ("partition.assignment.strategy", "cooperative-sticky".to_owned()),
            ("session.timeout.ms", "10000".to_owned()),
            ("heartbeat.interval.ms", "1000".to_owned()),
            ("reconnect.backoff.max.ms", "1000".to_owned()),
        ];
        if is_static {
            options.push(("group.instance.id", instance.to_owned()));
        }
        let mut config = kafka.client_config(Role::Consumer, &options)?;
        // Nothing is ever written to the topic, so where it is read from says nothing.
        config.set("auto.offset.reset", "latest");
        let millis = config.get("session.timeout.ms").and_then(|millis| millis.parse().ok());
        let session_timeout = Duration::from_millis(millis.unwrap_or(10_000));
        let context = Group::default();
        context.lock().joined = Some(clock::now());
        if let Some(another) = another {
            let (mut state, another) = (context.lock(), another.context().lock());
            state.troubled = another.troubled;
            state.replaced = another.replaced;
        }
        let consumer: BaseConsumer<Group> =
            config.create_with_context(context.clone()).map_err(|error| refused_options(&error))?;
        let consumer = Arc::new(consumer);
        subscribe(&consumer, &lock)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopping) = (Arc::clone(&consumer), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("membership".into())
            .spawn(move || {
                while !stopping.load(Ordering::Relaxed) && !context.lock().is_replaced {
                    if let Some(Err(error)) = polled.poll(POLL) {
                        context.take(&error);
                    }
                }
            })
            .map_err(|error| Error::unavailable("start the membership thread").caused_by(error))?;
        let (group, instance) = (group.to_owned(), instance.to_owned());
        Ok(Self { consumer, group, instance, session_timeout, stop, thread: Some(thread) })
    }

    fn context(&self) -> &Group {
        self.consumer.context()
    }

    /// After so long without a sign of it another instance takes over.
    pub fn session_timeout(&self) -> Duration {
        self.session_timeout
    }

    /// Whether it takes another membership to go on.
    pub fn is_replaced(&self) -> bool {
        self.context().lock().is_replaced
    }

    /// The number of the assignment, where this instance is the active one.
    ///
    /// # Errors
    /// `Config` where it cannot be a member; see [`join`](Self::join). `Fenced` where it has been
    /// [replaced](Self::is_replaced).
    pub fn term(&self) -> Result<Option<u64>> {
        let state = self.context().lock();
        if state.is_replaced {
            return Err(self.lost());
        }
        if let Some(fatal) = &state.fatal {
            return Err(Error::config(fatal.clone()));
        }
        Ok(state.owned.then_some(state.term))
    }

    /// That this instance has been the active one since `term`.
    ///
    /// # Errors
    /// `Fenced` where it has not.
    pub fn check(&self, term: u64) -> Result<()> {
        if self.term()? == Some(term) { Ok(()) } else { Err(self.lost()) }
    }

    /// Begins a commit: until it is dropped, a revocation waits.
    ///
    /// # Errors
    /// `Fenced` where this instance has not been the active one since `term`.
    pub fn commit(&self, term: u64) -> Result<Committing<'_>> {
        self.check(term)?;
        let group = self.context();
        let mut state = group.lock();
        let lost = self.consumer.assignment_lost();
        let member = group_member(&self.consumer).filter(GroupMember::is_confirmed);
        match member {
            // An unconfirmed member is fenced by nothing: a broker takes its offsets as they come.
            Some(member) if state.owned && state.term == term && !lost => {
                state.committing = true;
                drop(state);
                Ok(Committing { group, member })
            }
            _ => Err(self.lost()),
        }
    }

    fn lost(&self) -> Error {
        Error::new(Kind::Fenced, format!("another instance may be the active one of group {}", self.group))
    }

    /// Leaves the work to another member, where there is one: leaves the group until the other one is active or gone, and
    /// joins it again behind that one.
    ///
    /// # Errors
    /// `Unavailable` where the broker does not answer; this is a member all the same.
    pub fn step_aside(&self, stopping: &dyn Fn() -> bool) -> Result<()> {
        if self.term()?.is_none() || self.are_all_this(&self.described()?) {
            return Ok(());
        }
        tracing::warn!("leaving the work to another instance until this one can go on");
        self.consumer.unsubscribe();
        let end = clock::now() + ASIDE_MAX;
        let is_over = || {
            let is_taken =
                |members: &[Member]| members.iter().any(|member| member.owns && member.instance != self.instance);
            stopping() || self.described().is_ok_and(|members| is_taken(&members) || self.are_all_this(&members))
        };
        while clock::now() < end && !is_over() {
            clock::wait(ASIDE_LOOK, stopping);
        }
        subscribe(&self.consumer, &lock_topic(&self.group))
    }

    /// Waits until this is the active instance, or cannot be, but not longer than that.
    pub fn wait(&self, wait: Duration) {
        let group = self.context();
        let is_waiting = |state: &mut State| !state.owned && state.fatal.is_none() && !state.is_replaced;
        drop(group.state.1.wait_timeout_while(group.lock(), wait, is_waiting));
    }

    /// The instances that are members now.
    ///
    /// # Errors
    /// `Unavailable` where the broker does not answer.
    pub fn members(&self) -> Result<Vec<String>> {
        Ok(self.described()?.into_iter().map(|member| member.instance).collect())
    }

    /// Whether the group has no other member, where that is known. One of the same name that is no static member is one that
    /// is gone.
    pub fn is_alone(&self) -> Option<bool> {
        let members = self.described_within(Duration::from_secs(1)).ok()?;
        Some(members.len() <= 1 && self.are_all_this(&members))
    }

    fn are_all_this(&self, members: &[Member]) -> bool {
        members.iter().all(|member| member.instance == self.instance)
    }

    fn described(&self) -> Result<Vec<Member>> {
        self.described_within(Duration::from_secs(5))
    }

    fn described_within(&self, timeout: Duration) -> Result<Vec<Member>> {
        let groups = self.consumer.client().fetch_group_list(Some(&self.group), timeout);
        let groups = groups.map_err(|error| {
            Error::unavailable(format!("Kafka does not describe the group {}", self.group)).caused_by(error)
        })?;
        let members = groups.groups().iter().flat_map(|group| group.members());
        Ok(members.map(Member::of).collect())
    }
}

/// A member as the group knows it.
struct Member {
    instance: String,
    owns: bool,
}

impl Member {
    fn of(member: &GroupMemberInfo) -> Self {
        // After the version, the number of topics of which something is assigned.
        let topics = member.assignment().and_then(|bytes| bytes.get(2..6));
        Self { instance: member.client_id().to_owned(), owns: topics.is_some_and(|topics| topics != [0; 4]) }
    }
}

fn subscribe(consumer: &BaseConsumer<Group>, lock: &str) -> Result<()> {
    consumer
        .subscribe(&[lock])
        .map_err(|error| Error::config(format!("topic {lock} cannot be subscribed to")).caused_by(error))
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Nothing is left to do where it has panicked.
            drop(thread.join());
        }
    }
}

impl Group {
    fn take(&self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        tracing::debug!(%error, "membership");
        // The same event comes as an error and as what `poll` returns.
        if self.lock().is_replaced {
            return;
        }
        let fatal = match code {
            Some(Code::FencedInstanceId) if self.was_troubled() && self.may_join_anew() => {
                tracing::warn!("connections failed, and the group has another member of this name: joining it anew");
                let mut state = self.lock();
                state.is_replaced = true;
                state.owned = false;
                drop(state);
                self.state.1.notify_all();
                return;
            }
            Some(Code::FencedInstanceId) => {
                "another process runs with the instance id of this one, as after copying a state directory; stop one of \
                 them, or give each its own with --instance"
            }
            Some(Code::GroupAuthorizationFailed) => {
                "the job's group is refused; allow the client's user Read on the group that has the job's name"
            }
            Some(Code::TopicAuthorizationFailed) => {
                "the job's own topics are refused; allow the client's user Read, Write, Describe, Create and Delete on \
                 topics that begin with the job's name and a dot"
            }
            _ => return,
        };
        self.lock().fatal = Some(fatal.to_owned());
        self.state.1.notify_all();
    }

    /// Counts the time that it was replaced.
    fn may_join_anew(&self) -> bool {
        let mut state = self.lock();
        let lasted = state.joined.is_some_and(|joined| clock::now() - joined > TROUBLE);
        state.replaced = if lasted { 1 } else { state.replaced + 1 };
        state.replaced < REPLACED_MAX
    }

    fn was_troubled(&self) -> bool {
        self.lock().troubled.is_some_and(|troubled| clock::now() - troubled < TROUBLE)
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if TROUBLES.contains(&facility) {
            self.lock().troubled = Some(clock::now());
        }
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.take(&error);
        self.told.error(error, reason);
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(_) | Rebalance::Error(_) = rebalance {
            let mut state = self.lock();
            if state.owned {
                tracing::info!("no longer the active instance");
            }
            state.owned = false;
            self.state.1.notify_all();
            let is_busy = |state: &mut State| state.committing;
            drop(self.state.1.wait_timeout_while(state, REVOKE_WAIT, is_busy));
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance
            && partitions.count() > 0
        {
            let mut state = self.lock();
            state.owned = true;
            state.term += 1;
            tracing::info!("the active instance");
            self.state.1.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_replaced_again_and_again_has_a_twin() {
        let kafka = Kafka::at("127.0.0.1:1");
        let mut membership = Membership::join(&kafka, "group", "a", true, None).unwrap();
        for _ in 1..REPLACED_MAX {
            let group = membership.context();
            group.lock().troubled = Some(clock::now());
            for _ in 0..2 {
                group.take(&KafkaError::MessageConsumption(Code::FencedInstanceId));
            }
            assert!(membership.is_replaced());
            membership = Membership::join(&kafka, "group", "a", true, Some(&membership)).unwrap();
        }
        membership.context().take(&KafkaError::MessageConsumption(Code::FencedInstanceId));
        let error = membership.term().unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("--instance"), "{error}");
    }

    #[test]
    fn only_a_confirmed_member_that_owns_since_then_commits() {
        // It never joins, so librdkafka knows no generation: a broker would take offsets of it as they come.
        let kafka = Kafka::at("127.0.0.1:1");
        let membership = Membership::join(&kafka, "group", "a", true, None).unwrap();
        let fenced = |term| {
            let checked = membership.check(term).err().map(|error| error.kind());
            (checked, membership.commit(term).err().map(|error| error.kind()))
        };
        assert_eq!(fenced(1), (Some(Kind::Fenced), Some(Kind::Fenced)), "it owns nothing");
        {
            let mut state = membership.context().lock();
            (state.owned, state.term) = (true, 2);
        }
        assert_eq!(fenced(1), (Some(Kind::Fenced), Some(Kind::Fenced)), "it was somebody else's meanwhile");
        assert_eq!(fenced(2), (None, Some(Kind::Fenced)), "it is not confirmed");
    }
}
