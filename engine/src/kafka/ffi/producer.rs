//! A producer as librdkafka has it: records in, delivery reports in batches, and transactions whose errors say what may
//! follow. Its own requests are counted by interceptors, which the safe binding has no place for.

use std::collections::HashSet;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType};

use super::super::errors::Described;
use super::super::told::Told;
use super::{bytes, code, text};
use crate::sink::Outgoing;
use crate::{Error, Result};

/// Requests of which a late copy would spoil the next transaction: AddOffsetsToTxn, EndTxn, TxnOffsetCommit. One of
/// AddPartitionsToTxn would only make it longer, and there may be several at a time.
const OF_TRANSACTIONS: [i16; 3] = [25, 26, 28];

/// Requests of transactions that were sent and got no answer. There is one of a kind at a time: where one is sent before
/// the last was answered, that one is lost, and a copy of it may be on its way.
#[derive(Default)]
struct Unanswered(Mutex<Requests>);

#[derive(Default)]
struct Requests {
    waiting: HashSet<i16>,
    lost: bool,
}

impl Unanswered {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        // Each change is whole by itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A producer. Not to be shared: its calls are made by one thread at a time.
pub(in super::super) struct RawProducer {
    // Dropped first: its threads call the interceptors.
    client: Client<Told>,
    unanswered: Arc<Unanswered>,
}

/// Why a call of a transaction failed, and what librdkafka allows then.
#[derive(Clone, Debug)]
pub(in super::super) struct TransactionError {
    pub code: RDKafkaErrorCode,
    pub reason: String,
    pub is_fatal: bool,
    pub is_retriable: bool,
}

/// What became of a record.
pub(in super::super) struct Delivered {
    /// As it was given with the record.
    pub tag: usize,
    pub partition: i32,
    pub offset: i64,
    pub failed: Option<(RDKafkaErrorCode, Described)>,
}

impl RawProducer {
    /// Makes a producer; it connects when it is first used.
    pub fn new(config: &ClientConfig, told: Told) -> Result<Self, KafkaError> {
        let unanswered = Arc::new(Unanswered::default());
        let native = config.create_native_config()?;
        // SAFETY: the configuration is alive and ours; the counter lives as long as the client that calls with it,
        // which is dropped before it, together with its threads.
        unsafe {
            sys::rd_kafka_conf_set_events(native.ptr(), sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_ERROR);
            let counter = Arc::as_ptr(&unanswered).cast_mut().cast();
            sys::rd_kafka_conf_interceptor_add_on_new(native.ptr(), c"headwater".as_ptr(), Some(on_new), counter);
        }
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, told)?;
        Ok(Self { client, unanswered })
    }

    /// Whether a request of a transaction was sent to which no answer came: a copy of it may still reach the broker.
    pub fn has_unanswered(&self) -> bool {
        {
            let requests = self.unanswered.lock();
            requests.lost || !requests.waiting.is_empty()
        }
    }

    /// Takes a record; its bytes are copied.
    pub fn send(
        &self,
        topic: &CStr,
        partition: Option<i32>,
        record: &Outgoing<'_>,
        tag: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        use sys::rd_kafka_vtype_t as Kind;
        let value = |kind, fill: &dyn Fn(&mut sys::rd_kafka_vu_s__bindgen_ty_1)| {
            let mut field = sys::rd_kafka_vu_t { vtype: kind, u: sys::rd_kafka_vu_s__bindgen_ty_1 { _pad: [0; 64] } };
            fill(&mut field.u);
            field
        };
        let memory = |bytes: Option<&[u8]>| sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
            ptr: bytes.map_or(ptr::null_mut(), |bytes| bytes.as_ptr().cast_mut().cast()),
            size: bytes.map_or(0, <[u8]>::len),
        };
        let mut fields = Vec::with_capacity(8);
        fields.push(value(Kind::RD_KAFKA_VTYPE_TOPIC, &|u| u.cstr = topic.as_ptr()));
        fields.push(value(Kind::RD_KAFKA_VTYPE_MSGFLAGS, &|u| u.i = sys::RD_KAFKA_MSG_F_COPY));
        fields.push(value(Kind::RD_KAFKA_VTYPE_OPAQUE, &|u| u.ptr = tag as *mut c_void));
        fields.push(value(Kind::RD_KAFKA_VTYPE_VALUE, &|u| u.mem = memory(record.value)));
        fields.push(value(Kind::RD_KAFKA_VTYPE_KEY, &|u| u.mem = memory(record.key)));
        if let Some(partition) = partition {
            fields.push(value(Kind::RD_KAFKA_VTYPE_PARTITION, &|u| u.i32_ = partition));
        }
        if let Some(time) = record.timestamp {
            fields.push(value(Kind::RD_KAFKA_VTYPE_TIMESTAMP, &|u| u.i64_ = time.as_millis()));
        }
        let headers = if record.headers.is_empty() { ptr::null_mut() } else { headers(record) };
        if !headers.is_null() {
            fields.push(value(Kind::RD_KAFKA_VTYPE_HEADERS, &|u| u.headers = headers));
        }
        // SAFETY: the client is alive, the fields are as many as said, and what they point to lives during the call;
        // librdkafka copies it, and takes the headers where it succeeds.
        unsafe {
            let error = sys::rd_kafka_produceva(self.client.native_ptr(), fields.as_ptr(), fields.len());
            if error.is_null() {
                return Ok(());
            }
            let failed = code(sys::rd_kafka_error_code(error)).unwrap_or(RDKafkaErrorCode::Fail);
            sys::rd_kafka_error_destroy(error);
            if !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
            }
            Err(failed)
        }
    }

    /// Takes one event, which it waits for: delivery reports go to `report`. Whether there was one.
    pub fn serve(&self, wait: Duration, mut report: impl FnMut(Delivered)) -> bool {
        let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the client and its main queue are alive; the event is ours until it is destroyed, and its messages
        // live as long.
        unsafe {
            let queue = sys::rd_kafka_queue_get_main(self.client.native_ptr());
            let event = sys::rd_kafka_queue_poll(queue, wait);
            sys::rd_kafka_queue_destroy(queue);
            if event.is_null() {
                return false;
            }
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_DR => loop {
                    let message = sys::rd_kafka_event_message_next(event);
                    if message.is_null() {
                        break;
                    }
                    let message = *message;
                    let what = || Described {
                        topic: text(sys::rd_kafka_topic_name(message.rkt)),
                        key: bytes(message.key.cast(), message.key_len).map(<[u8]>::to_vec),
                        bytes: message.key_len + message.len,
                    };
                    let failed = code(message.err).map(|code| (code, what()));
                    let (partition, offset) = (message.partition, message.offset);
                    report(Delivered { tag: message._private as usize, partition, offset, failed });
                },
                sys::RD_KAFKA_EVENT_ERROR => {
                    if let Some(error) = code(sys::rd_kafka_event_error(event)) {
                        self.client.context().hear(error, &text(sys::rd_kafka_event_error_string(event)));
                    }
                }
                sys::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut said, mut level) = (ptr::null(), ptr::null(), 0);
                    if sys::rd_kafka_event_log(event, &mut facility, &mut said, &mut level) == 0 {
                        self.client.context().note(level, &text(facility), &text(said));
                    }
                }
                _ => {}
            }
            sys::rd_kafka_event_destroy(event);
        }
        true
    }

    /// Ends the transaction of whoever had the transactional id before, and takes it over.
    pub fn init(&self, wait: Duration) -> Result<(), TransactionError> {
        // SAFETY: the client is alive.
        unsafe { outcome(sys::rd_kafka_init_transactions(self.client.native_ptr(), millis(wait))) }
    }

    pub fn begin(&self) -> Result<(), TransactionError> {
        // SAFETY: the client is alive.
        unsafe { outcome(sys::rd_kafka_begin_transaction(self.client.native_ptr())) }
    }

    pub fn commit(&self, wait: Duration) -> Result<(), TransactionError> {
        // SAFETY: the client is alive.
        unsafe { outcome(sys::rd_kafka_commit_transaction(self.client.native_ptr(), millis(wait))) }
    }

    pub fn abort(&self, wait: Duration) -> Result<(), TransactionError> {
        // SAFETY: the client is alive.
        unsafe { outcome(sys::rd_kafka_abort_transaction(self.client.native_ptr(), millis(wait))) }
    }

    /// Drops what was not sent yet, without waiting.
    pub fn purge(&self) {
        const QUEUED_AND_SENT: c_int = 0x1 | 0x2 | 0x4;
        // SAFETY: the client is alive.
        unsafe { sys::rd_kafka_purge(self.client.native_ptr(), QUEUED_AND_SENT) };
    }

    /// Adds offsets to the running transaction, in the name of a member of their group.
    pub fn send_offsets(
        &self,
        offsets: &[GroupOffset],
        member: &GroupMember,
        wait: Duration,
    ) -> Result<(), TransactionError> {
        // SAFETY: the client and the member are alive. The list is ours; its elements hold copies, the metadata being
        // allocated by the allocator that the list frees it with.
        unsafe {
            let list = sys::rd_kafka_topic_partition_list_new(c_int::try_from(offsets.len()).unwrap_or(0));
            for offset in offsets {
                let element = sys::rd_kafka_topic_partition_list_add(list, offset.topic.as_ptr(), offset.partition);
                (*element).offset = offset.offset;
                let copy = sys::rd_kafka_mem_malloc(ptr::null_mut(), offset.metadata.len());
                if !copy.is_null() {
                    ptr::copy_nonoverlapping(offset.metadata.as_ptr(), copy.cast(), offset.metadata.len());
                    (*element).metadata = copy;
                    (*element).metadata_size = offset.metadata.len();
                }
            }
            let client = self.client.native_ptr();
            let error = sys::rd_kafka_send_offsets_to_transaction(client, list, member.member, millis(wait));
            sys::rd_kafka_topic_partition_list_destroy(list);
            outcome(error)
        }
    }
}

/// The next offset of a partition, and what is remembered with it.
pub(in super::super) struct GroupOffset {
    pub topic: CString,
    pub partition: i32,
    pub offset: i64,
    pub metadata: String,
}

impl GroupOffset {
    /// # Errors
    /// `Bug` for a name that no topic has.
    pub fn new(topic: &str, partition: i32, offset: i64, metadata: String) -> Result<Self> {
        let topic = CString::new(topic).map_err(|_| Error::bug("a topic's name has a zero in it"))?;
        Ok(Self { topic, partition, offset, metadata })
    }
}

/// Membership of a consumer group at one moment.
pub(in super::super) struct GroupMember {
    member: *mut sys::rd_kafka_consumer_group_metadata_t,
}

impl GroupMember {
    /// That of a consumer; `None` where it has none. It may be of no generation yet: see
    /// [`is_confirmed`](Self::is_confirmed).
    ///
    /// # Safety
    /// `consumer` is a living consumer.
    pub(super) unsafe fn of(consumer: *mut sys::rd_kafka_t) -> Option<Self> {
        // SAFETY: as asked for; what is returned is ours.
        let member = unsafe { sys::rd_kafka_consumer_group_metadata(consumer) };
        (!member.is_null()).then_some(Self { member })
    }

    /// Whether it has joined: a broker takes offsets of one that has not, without looking who owns what.
    pub fn is_confirmed(&self) -> bool {
        // SAFETY: the member is alive.
        unsafe {
            sys::rd_kafka_consumer_group_metadata_generation_id(self.member) >= 0
                && !text(sys::rd_kafka_consumer_group_metadata_member_id(self.member)).is_empty()
        }
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        // SAFETY: it is ours alone.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.member) }
    }
}

fn millis(wait: Duration) -> c_int {
    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
}

fn headers(record: &Outgoing<'_>) -> *mut sys::rd_kafka_headers_t {
    // SAFETY: the list is new and copies what is added; a length says where each ends.
    unsafe {
        let list = sys::rd_kafka_headers_new(record.headers.len());
        for header in record.headers {
            let (value, length) = match &header.value {
                Some(value) => (value.as_ptr().cast(), value.len() as isize),
                None => (ptr::null(), 0),
            };
            sys::rd_kafka_header_add(list, header.name.as_ptr().cast(), header.name.len() as isize, value, length);
        }
        list
    }
}

/// # Safety
/// `error` is null, or an error that nobody else destroys.
unsafe fn outcome(error: *mut sys::rd_kafka_error_t) -> Result<(), TransactionError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: as asked for; all that is read is copied before it is destroyed.
    unsafe {
        let failed = TransactionError {
            code: code(sys::rd_kafka_error_code(error)).unwrap_or(RDKafkaErrorCode::Fail),
            reason: text(sys::rd_kafka_error_string(error)),
            is_fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            is_retriable: sys::rd_kafka_error_is_retriable(error) != 0,
        };
        sys::rd_kafka_error_destroy(error);
        Err(failed)
    }
}

unsafe extern "C" fn on_new(
    client: *mut sys::rd_kafka_t,
    _: *const sys::rd_kafka_conf_t,
    counter: *mut c_void,
    _: *mut c_char,
    _: usize,
) -> RDKafkaRespErr {
    // SAFETY: called by librdkafka while it makes the client, which is the time to add these.
    unsafe {
        sys::rd_kafka_interceptor_add_on_request_sent(client, c"headwater".as_ptr(), Some(on_sent), counter);
        sys::rd_kafka_interceptor_add_on_response_received(client, c"headwater".as_ptr(), Some(on_answer), counter)
    }
}

unsafe extern "C" fn on_sent(
    _: *mut sys::rd_kafka_t,
    _: c_int,
    _: *const c_char,
    _: i32,
    api: i16,
    _: i16,
    _: i32,
    _: usize,
    unanswered: *mut c_void,
) -> RDKafkaRespErr {
    if OF_TRANSACTIONS.contains(&api) {
        // SAFETY: what is counted in outlives the client whose threads call this.
        let unanswered = unsafe { &*unanswered.cast::<Unanswered>() };
        let mut requests = unanswered.lock();
        requests.lost |= !requests.waiting.insert(api);
    }
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Called more than once for an answer, and also where none came: with an error of librdkafka's own.
unsafe extern "C" fn on_answer(
    _: *mut sys::rd_kafka_t,
    _: c_int,
    _: *const c_char,
    _: i32,
    api: i16,
    _: i16,
    _: i32,
    _: usize,
    _: i64,
    error: RDKafkaRespErr,
    unanswered: *mut c_void,
) -> RDKafkaRespErr {
    if OF_TRANSACTIONS.contains(&api) && error as i32 >= 0 {
        // SAFETY: as above.
        let unanswered = unsafe { &*unanswered.cast::<Unanswered>() };
        unanswered.lock().waiting.remove(&api);
    }
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}
