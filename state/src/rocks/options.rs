//! How the database is set up: memory bounded by two budgets, and a write-ahead log that is believed only as far as
//! it is whole.

use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

use super::TABLE_FAMILY_PREFIX;

/// Files without order of one table, from which on writes are slower, and wait.
const FILES_SLOW: i32 = 48;
const FILES_STOP: i32 = 64;

/// What a database may use of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Blocks, indexes and filters of all tables, and of the log while it is read.
    pub cache_bytes: usize,
    /// The log's newest commits in memory, before they are written to files.
    pub write_buffer_bytes: usize,
    /// Files that are kept open.
    pub open_files_max: u16,
    /// Threads that compact and flush.
    pub background_jobs: u16,
    /// Commits are logged here; otherwise elsewhere, and how far that log is, is not known here.
    pub keeps_log: bool,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 * 1024 * 1024,
            write_buffer_bytes: 32 * 1024 * 1024,
            open_files_max: 512,
            background_jobs: 2,
            keeps_log: true,
        }
    }
}

/// The options of the database and of each kind of column family.
pub(super) struct Families {
    pub(super) database: Options,
    pub(super) table: Options,
    log: Options,
    position: Options,
}

impl Families {
    pub(super) fn new(options: &RocksOptions) -> Self {
        let cache = Cache::new_lru_cache(options.cache_bytes);
        Self {
            database: database(options),
            table: table(&cache),
            log: log(&cache, options.write_buffer_bytes),
            position: position(&cache),
        }
    }

    /// The options of the column family called `name`.
    pub(super) fn of(&self, name: &str) -> &Options {
        match name {
            super::LOG_FAMILY => &self.log,
            _ if name.starts_with(TABLE_FAMILY_PREFIX) => &self.table,
            _ => &self.position,
        }
    }
}

fn database(options: &RocksOptions) -> Options {
    let mut database = Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    // A torn end is what a crash leaves: commits before it count. Anything after a hole does not, so that the state
    // is that of an earlier commit and never a mixture. Whole older files are compared with the manifest.
    database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    database.set_track_and_verify_wals_in_manifest(true);
    database.set_paranoid_checks(true);
    // The position keeps few bytes in every write-ahead file; this bounds how many files wait for it.
    database.set_max_total_wal_size(2 * options.write_buffer_bytes as u64);
    database.set_max_open_files(i32::from(options.open_files_max));
    database.set_max_background_jobs(i32::from(options.background_jobs));
    // Written back as they go, so that a sync never waits for a whole file.
    database.set_bytes_per_sync(1024 * 1024);
    database.set_log_level(LogLevel::Warn);
    database.set_max_log_file_size(4 * 1024 * 1024);
    database.set_keep_log_file_num(2);
    database.set_stats_dump_period_sec(0);
    database.set_stats_persist_period_sec(0);
    database
}

fn table(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_optimize_filters_for_memory(true);
    // Indexes and filters grow with the keys, so they live in the cache's budget, in parts; only their roots stay.
    // Whole ones are a quarter cheaper to read while they fit, and nine times as dear once they do not. Large parts
    // let a sorted batch find many of its keys in one.
    blocks.set_metadata_block_size(64 * 1024);
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
    blocks.set_pin_top_level_index_and_filter(true);
    let mut table = Options::default();
    table.set_block_based_table_factory(&blocks);
    table.set_compression_type(DBCompressionType::Lz4);
    // More than a table has that is filled before it is put in order (`Store::tidies`).
    table.set_level_zero_slowdown_writes_trigger(FILES_SLOW);
    table.set_level_zero_stop_writes_trigger(FILES_STOP);
    // Tables take whole files, so their write buffers stay empty.
    table.set_write_buffer_size(64 * 1024);
    table
}

fn log(cache: &Cache, write_buffer_bytes: usize) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    // Read in order and once, so nothing is gained by small blocks or filters.
    blocks.set_block_size(64 * 1024);
    let mut log = Options::default();
    log.set_block_based_table_factory(&blocks);
    // It is trimmed before compression would pay.
    log.set_compression_type(DBCompressionType::None);
    log.set_write_buffer_size(write_buffer_bytes / 2);
    log.set_max_write_buffer_number(2);
    log
}

fn position(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    let mut position = Options::default();
    position.set_block_based_table_factory(&blocks);
    position.set_write_buffer_size(64 * 1024);
    position
}
