//! Kafka's protocol by hand, for what no client does: writing into transactions that nobody began, to brokers that do not verify.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::broker::Broker;
use super::running::wait_until;

/// The brokers' setting.
pub const UNVERIFIED: &str = "transaction.partition.verification.enable=false";

/// A connection that speaks Kafka's protocol as it likes.
pub struct Raw(TcpStream);

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A number as records have it.
fn varint(number: usize) -> Vec<u8> {
    let (mut rest, mut bytes) = (number << 1, Vec::new());
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// A transactional batch of records with one key.
fn batch((producer, epoch): (i64, i16), key: &str, values: &[&[u8]]) -> Vec<u8> {
    let count = values.len() as i32;
    let mut body = Vec::new();
    body.extend(0x10i16.to_be_bytes());
    body.extend((count - 1).to_be_bytes());
    body.extend([0; 16]);
    body.extend(producer.to_be_bytes());
    body.extend(epoch.to_be_bytes());
    body.extend(0i32.to_be_bytes());
    body.extend(count.to_be_bytes());
    for (at, value) in values.iter().enumerate() {
        let parts =
            [vec![0, 0], varint(at), varint(key.len()), key.into(), varint(value.len()), value.to_vec(), vec![0]];
        let record = parts.concat();
        body.extend(varint(record.len()));
        body.extend(record);
    }
    let length = (body.len() + 9) as i32;
    [&[0; 8][..], &length.to_be_bytes(), &[0, 0, 0, 0, 2], &crc32c(&body).to_be_bytes(), &body].concat()
}

impl Raw {
    pub fn connect(broker: &Broker) -> Self {
        Self(TcpStream::connect(&broker.address).unwrap())
    }

    fn ask(&mut self, api: i16, version: i16, body: &[u8]) -> Vec<u8> {
        let mut request = [api.to_be_bytes(), version.to_be_bytes(), [0, 0], [0, 1], [0xff, 0xff]].concat();
        request.extend(body);
        self.0.write_all(&(request.len() as i32).to_be_bytes()).unwrap();
        self.0.write_all(&request).unwrap();
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer).unwrap();
        answer.split_off(4)
    }

    /// The producer id and the epoch of a transactional id, which it takes over.
    pub fn take(&mut self, id: &str) -> (i64, i16) {
        // The coordinator may be at the end of the last transaction.
        const CONCURRENT_TRANSACTIONS: [u8; 2] = [0, 51];
        let mut answer = Vec::new();
        let is_taken = wait_until(|| {
            answer = self.ask(22, 0, &[text(id), 60_000i32.to_be_bytes().to_vec()].concat());
            answer[4..6] != CONCURRENT_TRANSACTIONS
        });
        assert!(is_taken && answer[4..6] == [0, 0], "{answer:?}");
        (i64::from_be_bytes(answer[6..14].try_into().unwrap()), i16::from_be_bytes([answer[14], answer[15]]))
    }

    /// Has a partition keep records of a transaction that its coordinator knows nothing of.
    pub fn hang(&mut self, id: &str, topic: &str, partition: i32, values: &[&[u8]]) {
        let batch = batch(self.take(id), id, values);
        let one = 1i32.to_be_bytes().to_vec();
        let length = (batch.len() as i32).to_be_bytes().to_vec();
        let acks = [&(-1i16).to_be_bytes()[..], &10_000i32.to_be_bytes()].concat();
        let request = [text(id), acks, one.clone(), text(topic), one, partition.to_be_bytes().to_vec(), length, batch];
        let answer = self.ask(0, 3, &request.concat());
        let code = 4 + 2 + topic.len() + 4 + 4;
        assert_eq!(answer[code..code + 2], [0, 0], "{answer:?}");
    }

    /// Has a group keep an offset of a transaction that its coordinator knows nothing of.
    pub fn hang_offset(&mut self, id: &str, group: &str, place: (&str, i32, i64), metadata: &str) {
        let ((producer, epoch), (topic, partition, offset)) = (self.take(id), place);
        let one = 1i32.to_be_bytes().to_vec();
        let producer = [&producer.to_be_bytes()[..], &epoch.to_be_bytes()].concat();
        let offset = [&partition.to_be_bytes()[..], &offset.to_be_bytes()].concat();
        let request = [text(id), text(group), producer, one.clone(), text(topic), one, offset, text(metadata)];
        let answer = self.ask(28, 0, &request.concat());
        let code = answer.len() - 2;
        assert_eq!(answer[code..], [0, 0], "{answer:?}");
    }
}
