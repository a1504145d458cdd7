//! Made-up values: the first is the plainest, later ones please readers who check.

/// Texts that various checked types accept.
pub const TEXTS: [&str; 12] = [
    "",
    "a",
    "1",
    "0.1",
    "A1",
    "2000-01-01",
    "2000-01-01T00:00:00Z",
    "12:00:00",
    "127.0.0.1",
    "a@b.example",
    "http://b.example/",
    "00000000-0000-4000-8000-000000000000",
];

pub fn text(choice: usize) -> &'static str {
    TEXTS.get(choice % TEXTS.len()).copied().unwrap_or_default()
}

pub fn bytes(choice: usize) -> &'static [u8] {
    text(choice).as_bytes()
}

pub fn bool(choice: usize) -> bool {
    choice % 2 == 1
}

pub fn integer<I: TryFrom<u8> + Default>(choice: usize) -> I {
    I::try_from((choice % 100) as u8).unwrap_or_default()
}

pub fn float<F: From<i8>>(choice: usize) -> F {
    F::from((choice % 100) as i8)
}

pub fn char(choice: usize) -> char {
    text(choice).chars().next().unwrap_or('0')
}
