//! The only unsafe code: what librdkafka has and its Rust binding does not wrap. Batches of borrowed messages from a
//! partition's own queue, assignment with a leader epoch, topic ids, and the high watermark that the last fetch told.
//!
//! Every pointer is owned by one struct here, is freed by its `Drop`, and lives no longer than the consumer it came
//! from, which the struct holds. librdkafka's functions may be called from any thread.
#![expect(unsafe_code, reason = "librdkafka is C; nothing else of the workspace needs any")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::watch::Watch;

mod producer;

pub(super) use producer::{Delivered, GroupMember, GroupOffset, RawProducer, TransactionError};

pub(super) type Consumer = BaseConsumer<Watch>;

fn native<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> *mut sys::rd_kafka_t {
    consumer.client().native_ptr()
}

/// A queue of librdkafka, and the consumer that must outlive it.
struct Queue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    _consumer: Arc<Consumer>,
}

// SAFETY: a queue locks itself, and may be used and destroyed on any thread.
unsafe impl Send for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours alone, and its client is alive until `_consumer` is dropped, after this.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// A partition's own queue of fetched messages.
pub(super) struct PartitionQueue {
    queue: Queue,
    /// Room for a batch. Empty but while a [`Batch`] lives.
    messages: Vec<NonNull<sys::rd_kafka_message_t>>,
}

impl PartitionQueue {
    /// Splits a partition's messages off the consumer's own queue. To be called before [`assign`], so that none has
    /// gone the other way. `None` where librdkafka cannot know such a partition.
    pub fn split(consumer: &Arc<Consumer>, topic: &CStr, partition: i32) -> Option<Self> {
        // SAFETY: the client is alive and the topic is a C string; the queue returned is a new reference, or null.
        // A queue that is forwarded to null keeps what comes to it.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_partition(native(consumer), topic.as_ptr(), partition);
            let queue = NonNull::new(queue)?;
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            queue
        };
        Some(Self { queue: Queue { queue, _consumer: Arc::clone(consumer) }, messages: Vec::new() })
    }

    /// Takes at most `most` of the messages that are there, without waiting.
    pub fn take(&mut self, most: usize) -> Batch<'_> {
        self.messages.reserve(most);
        // SAFETY: there is room for `most` pointers; librdkafka writes as many non-null ones from the start as it
        // returns, or none where it returns -1. `NonNull` has the layout of a pointer. From here they are ours.
        unsafe {
            let room = self.messages.as_mut_ptr().cast();
            let taken = sys::rd_kafka_consume_batch_queue(self.queue.queue.as_ptr(), 0, room, most);
            self.messages.set_len(usize::try_from(taken).unwrap_or(0).min(most));
        }
        Batch { messages: &mut self.messages }
    }
}

/// Messages, freed when this is dropped.
pub(super) struct Batch<'a> {
    messages: &'a mut Vec<NonNull<sys::rd_kafka_message_t>>,
}

impl Batch<'_> {
    pub fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        self.messages.iter().map(|message| Message { message: *message, batch: PhantomData })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in self.messages.drain(..) {
            // SAFETY: each pointer is a message of ours that nothing borrows any more, freed once: it leaves the list.
            unsafe { sys::rd_kafka_message_destroy(message.as_ptr()) }
        }
    }
}

/// A record, or an event of its partition. Its bytes are borrowed from the batch.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    message: NonNull<sys::rd_kafka_message_t>,
    batch: PhantomData<&'a ()>,
}

impl<'a> Message<'a> {
    fn fields(&self) -> sys::rd_kafka_message_t {
        // SAFETY: the batch keeps the message alive, and nothing writes to these fields; they are copied.
        unsafe { *self.message.as_ptr() }
    }

    /// The event that this is, or `None` for a record.
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        code(self.fields().err)
    }

    /// What librdkafka says of the event.
    pub fn reason(&self) -> String {
        // SAFETY: the message is alive; the text is null or a C string that lives as long.
        unsafe { text(sys::rd_kafka_message_errstr(self.message.as_ptr())) }
    }

    pub fn offset(&self) -> i64 {
        self.fields().offset
    }

    /// The epoch of the leader that wrote the record, where the broker tells.
    pub fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is alive.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.message.as_ptr()) };
        Some(epoch).filter(|epoch| *epoch >= 0)
    }

    pub fn value(&self) -> Option<&'a [u8]> {
        let fields = self.fields();
        // SAFETY: null, or as many bytes as it says, which the batch keeps alive and nothing writes to.
        unsafe { bytes(fields.payload.cast(), fields.len) }
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        let fields = self.fields();
        // SAFETY: as of the value.
        unsafe { bytes(fields.key.cast(), fields.key_len) }
    }

    /// Milliseconds since the epoch.
    pub fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, and `kind` is written during the call.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.message.as_ptr(), &mut kind) };
        Some(millis).filter(|millis| *millis >= 0)
    }

    /// Calls `each` with the name and the value of every header.
    pub fn headers(&self, mut each: impl FnMut(&str, Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; the headers it hands out stay its own. They are parsed at the first call, into
        // fields that nothing else here reads.
        let found = unsafe { sys::rd_kafka_message_headers(self.message.as_ptr(), &mut headers) };
        if code(found).is_some() {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers are alive with the message, and hand out pointers of their own; behind the last
            // index there is an error instead.
            let header = unsafe {
                let found = sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut length);
                code(found).is_none().then(|| (text(name), bytes(value.cast(), length)))
            };
            let Some((name, value)) = header else { return };
            each(&name, value);
        }
    }
}

/// The membership of a consumer at this moment.
pub(super) fn group_member<C: rdkafka::consumer::ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<GroupMember> {
    // SAFETY: the consumer is alive.
    unsafe { GroupMember::of(consumer.client().native_ptr()) }
}

/// Adds a partition to those that the consumer fetches. With a leader epoch, the broker is asked first whether the
/// offset is of that epoch's log.
pub(super) fn assign(
    consumer: &Consumer,
    topic: &CStr,
    partition: i32,
    offset: i64,
    leader_epoch: Option<i32>,
) -> Result<(), String> {
    // SAFETY: the list is ours from its creation to its end, here; the element is its own. The error is null or ours.
    unsafe {
        let list = sys::rd_kafka_topic_partition_list_new(1);
        let element = sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), partition);
        (*element).offset = offset;
        sys::rd_kafka_topic_partition_set_leader_epoch(element, leader_epoch.unwrap_or(-1));
        let error = sys::rd_kafka_incremental_assign(native(consumer), list);
        sys::rd_kafka_topic_partition_list_destroy(list);
        if error.is_null() {
            return Ok(());
        }
        let reason = text(sys::rd_kafka_error_string(error));
        sys::rd_kafka_error_destroy(error);
        Err(reason)
    }
}

/// The end of a partition as the last fetch told it, open transactions included; `None` before the first.
pub(super) fn high_watermark<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &CStr,
    partition: i32,
) -> Option<i64> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive, the topic is a C string, and both numbers are written during the call.
    let found = unsafe {
        sys::rd_kafka_get_watermark_offsets(native(consumer), topic.as_ptr(), partition, &mut low, &mut high)
    };
    Some(high).filter(|high| code(found).is_none() && *high >= 0)
}

/// What a cluster says of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    /// Base 64. `None` from brokers before Kafka 2.8, which have no topic ids.
    pub id: Option<String>,
    pub partitions: usize,
}

/// A question about a topic, under way.
pub(super) struct Description {
    answers: Queue,
}

impl Description {
    /// Asks; the answer comes to [`poll`](Self::poll). `None` where librdkafka has no memory for it.
    pub fn ask(consumer: &Arc<Consumer>, topic: &CString, timeout: Duration) -> Option<Self> {
        let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        let mut topics = [topic.as_ptr()];
        // SAFETY: the client is alive; queue, options and topics are ours, and librdkafka copies what it needs of the
        // latter two before it returns. The options refuse a timeout that is out of range, and keep their default.
        unsafe {
            let client = native(consumer);
            let queue = NonNull::new(sys::rd_kafka_queue_new(client))?;
            let answers = Queue { queue, _consumer: Arc::clone(consumer) };
            let names = sys::rd_kafka_TopicCollection_of_topic_names(topics.as_mut_ptr(), topics.len());
            let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, ptr::null_mut(), 0);
            sys::rd_kafka_DescribeTopics(client, names, options, queue.as_ptr());
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_TopicCollection_destroy(names);
            Some(Self { answers })
        }
    }

    /// The answer, if it comes within `wait`.
    pub fn poll(&self, wait: Duration) -> Option<Result<Described, RDKafkaErrorCode>> {
        let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the queue is alive; the event is ours until it is destroyed, and all that is read of it is copied
        // before. A result names one topic, as was asked; each pointer is looked at before it is followed.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.answers.queue.as_ptr(), wait);
            if event.is_null() {
                return None;
            }
            let answer = match code(sys::rd_kafka_event_error(event)) {
                Some(error) => Err(error),
                None => described(event),
            };
            sys::rd_kafka_event_destroy(event);
            Some(answer)
        }
    }
}

/// # Safety
/// `event` is alive.
unsafe fn described(event: *mut sys::rd_kafka_event_t) -> Result<Described, RDKafkaErrorCode> {
    // SAFETY: results and topics live as long as the event; counts say how many pointers there are.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Err(RDKafkaErrorCode::UnknownTopicOrPartition);
        }
        let topic = *topics;
        if let Some(error) = code(sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic))) {
            return Err(error);
        }
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let is_known = !id.is_null()
            && (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id)) != (0, 0);
        Ok(Described { id: is_known.then(|| text(sys::rd_kafka_Uuid_base64str(id))), partitions })
    }
}

fn code(code: RDKafkaRespErr) -> Option<RDKafkaErrorCode> {
    (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

/// # Safety
/// `text` is null or a C string.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: as asked for.
    if text.is_null() { String::new() } else { unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned() }
}

/// # Safety
/// `start` is null, or `length` bytes begin there that stay as they are for `'a`.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as asked for.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}

#[cfg(test)]
#[path = "ffi/tests.rs"]
mod tests;
