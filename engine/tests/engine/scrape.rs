//! A client of a running job's port, which takes nothing for granted.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use headwater::prelude::*;

/// Where the job answers, once it does.
#[track_caller]
pub fn address(control: &Control) -> SocketAddr {
    wait_until(|| control.progress.http_address().is_some());
    control.progress.http_address().expect("the job answers nowhere")
}

/// Status and body of the answer.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
}

/// Sends whatever it is, and reads until the other end closes.
#[track_caller]
pub fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // It may be refused before all of it is sent.
    stream.write_all(request.as_bytes()).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8(answer).unwrap()
}

/// The page of the job, checked.
#[track_caller]
pub fn page(address: SocketAddr) -> String {
    let (status, page) = get(address, "/metrics");
    assert_eq!(status, 200, "{page}");
    check(&page);
    page
}

/// The value of a series, given as it is written.
pub fn figure(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Waits, with a bound.
pub fn wait_until(done: impl Fn() -> bool) -> bool {
    for _ in 0..4_000 {
        if done() {
            return true;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    false
}

/// That a page is in the format of OpenMetrics: each family is told of once and stands together, each series is there
/// once, names, kinds and values fit, and the end is marked.
#[track_caller]
fn check(page: &str) {
    let body = page.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end: {page}"));
    let (mut families, mut series) = (HashSet::new(), HashSet::new());
    let (mut family, mut kind) = ("", "");
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').expect(line).0;
            assert!(families.insert(family), "twice: {line}");
            assert!(!help.ends_with('.'), "{line}");
            kind = "";
        } else if let Some(text) = line.strip_prefix("# TYPE ") {
            let (name, of_kind) = text.split_once(' ').expect(line);
            assert_eq!(name, family, "{line}");
            kind = of_kind;
        } else {
            let (name_and_labels, value) = line.rsplit_once(' ').expect(line);
            assert!(series.insert(name_and_labels), "twice: {line}");
            let (name, labels) = name_and_labels.split_once('{').expect(line);
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("not of {family}: {line}"));
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_sum", "_count", "_bucket"],
                other => panic!("{family} is a {other:?}"),
            };
            assert!(suffixes.contains(&suffix), "{line}");
            assert!(name.starts_with("headwater_"), "{line}");
            assert!(labels.starts_with("job=\"") && labels.ends_with("\"}"), "{line}");
            assert!(
                value.parse::<f64>().is_ok_and(|value| value.is_finite() && (kind == "gauge" || value >= 0.0)),
                "{line}"
            );
        }
    }
}
