//! As much of Kafka's protocol as a proxy needs: where a request ends, what it is and who sent it.

use std::io::{self, Read};

pub const PRODUCE: i16 = 0;
pub const DELETE_RECORDS: i16 = 21;
pub const ADD_PARTITIONS_TO_TXN: i16 = 24;
pub const ADD_OFFSETS_TO_TXN: i16 = 25;
pub const END_TXN: i16 = 26;
pub const TXN_OFFSET_COMMIT: i16 = 28;

/// What every request begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub api: i16,
    pub version: i16,
    /// The response begins with the same number.
    pub correlation: i32,
    pub client: Option<String>,
}

/// The longest frame that is taken: brokers refuse longer requests.
const FRAME_BYTES_MAX: usize = 100 << 20;

/// Reads one frame, its length included. `None` at the end of the stream.
pub fn read_frame(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut frame = vec![0; 4];
    match stream.read_exact(&mut frame) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other(format!("a frame of {length} bytes is not Kafka's")));
    }
    frame.resize(4 + length, 0);
    stream.read_exact(&mut frame[4..])?;
    Ok(Some(frame))
}

/// The header of a request, from a frame with its length.
pub fn header(frame: &[u8]) -> Option<Header> {
    let short = |at: usize| Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    let client = match short(12)? {
        -1 => None,
        length => Some(String::from_utf8_lossy(frame.get(14..14 + usize::try_from(length).ok()?)?).into_owned()),
    };
    Some(Header { api: short(4)?, version: short(6)?, correlation: correlation_at(frame, 8)?, client })
}

/// The number that a response begins with, from a frame with its length.
pub fn correlation(frame: &[u8]) -> Option<i32> {
    correlation_at(frame, 4)
}

fn correlation_at(frame: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?))
}

#[test]
fn a_request_says_what_it_is_and_whose() {
    let request = b"\0\0\0\x0e\0\x1a\0\x01\0\0\0\x07\0\x03abc\x09rest";
    let frame = read_frame(&mut &request[..]).unwrap().unwrap();
    assert_eq!(frame.len(), 18);
    let expected = Header { api: END_TXN, version: 1, correlation: 7, client: Some("abc".to_owned()) };
    assert_eq!(header(&frame), Some(expected));
    assert_eq!(header(b"\0\0\0\x0a\0\x1a\0\x01\0\0\0\x07\xff\xff").unwrap().client, None);
    assert_eq!(header(b"\0\0\0\x0a\0\x1a\0\x01\0\0\0\x07\0\x05ab"), None);
    assert_eq!(correlation(b"\0\0\0\x06\0\0\0\x07\0\0"), Some(7));
}

#[test]
fn a_stream_ends_between_frames_only() {
    assert_eq!(read_frame(&mut &b""[..]).unwrap(), None);
    assert!(read_frame(&mut &b"\0\0\0\x05ab"[..]).is_err());
    assert!(read_frame(&mut &b"\xff\0\0\x05ab"[..]).is_err());
}
