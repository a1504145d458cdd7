//! How a job is run: what the command line sets and tests set in code.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How often a result is written to a Kafka topic when something fails. Files have each result once in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Each result once, for readers with `isolation.level=read_committed`. The records of an epoch are one transaction,
    /// so they are seen when it has committed, `commit_interval` later on average, and each commit costs the brokers
    /// some requests and a marker per partition. It takes ACLs for a transactional id.
    #[default]
    ExactlyOnce,
    /// Each result at least once. Records are seen as soon as they are sent, all of them before their epoch commits. A
    /// job that goes back to its last commit sends what came after it again: readers see those results twice, and may
    /// see some of them differ, where they depend on the order in which partitions were read. None is lost.
    AtLeastOnce,
}

/// How a job is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where state lives; `None` keeps it in memory, for tests: nothing survives the process.
    pub state: Option<PathBuf>,
    /// Move old state aside and start over.
    pub fresh: bool,
    /// Whether outboxes deliver; `None` is yes, but not in a run that starts over: what was sent before would be sent
    /// again. What they do not deliver is counted and left out.
    pub deliver: Option<bool>,
    /// How long an epoch is at most.
    pub commit_interval: Duration,
    /// Worker threads.
    pub workers: usize,
    /// Bytes of memory for state, over all workers and RocksDB.
    pub memory_bytes: usize,
    /// How many shards a new job has. An old one keeps what it was created with.
    pub shards: u16,
    /// At most about this many records in a batch.
    pub batch_rows: usize,
    /// Tables of the old state to drop.
    pub drop_tables: Vec<String>,
    /// How often a job whose outside is `Unavailable` is reopened before it gives up.
    pub restarts_max: u32,
    /// Has state changes, outputs to Kafka and offsets committed in one transaction of this cluster.
    #[cfg(feature = "kafka")]
    pub transactions: Option<crate::kafka::Kafka>,
    /// The name of this instance among those of the job; `None` is a random one, kept in the state directory.
    pub instance: Option<String>,
    /// Kafka forgets the offsets of a group or topic that stands still, so they are committed anew this often.
    pub recommit_interval: Duration,
    /// A changelog is not shortened before it has grown by so many bytes.
    pub changelog_bytes_min: u64,
    /// Leaves the group at once when it ends, and when it is away for a moment, too: another instance takes over without
    /// waiting for this one to come back.
    pub leave: bool,
    /// An input that was quiet this long holds no watermark back.
    pub idle_after: Duration,
    /// How often Kafka topics get a result when something fails.
    pub delivery: Delivery,
    /// Where `GET /metrics`, `/healthz` and `/readyz` are answered, if anywhere; port 0 takes a free one, which
    /// [`http_address`](crate::progress::Progress::http_address) tells.
    pub http: Option<SocketAddr>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            state: None,
            fresh: false,
            deliver: None,
            commit_interval: Duration::from_millis(200),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: 1 << 30,
            shards: 32,
            batch_rows: 1024,
            drop_tables: Vec::new(),
            restarts_max: 5,
            #[cfg(feature = "kafka")]
            transactions: None,
            instance: None,
            recommit_interval: Duration::from_secs(3600),
            changelog_bytes_min: 64 << 20,
            leave: false,
            idle_after: Duration::from_secs(5),
            delivery: Delivery::default(),
            http: None,
        }
    }
}

impl RunOptions {
    /// Whether outboxes deliver.
    pub(crate) fn delivers(&self) -> bool {
        self.deliver.unwrap_or(!self.fresh)
    }

    /// Whether the job's state is shared with other instances.
    pub(crate) fn shares(&self) -> bool {
        #[cfg(feature = "kafka")]
        return self.transactions.is_some();
        #[cfg(not(feature = "kafka"))]
        false
    }
}
