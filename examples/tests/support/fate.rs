//! What whoever receives a letter of the postbox says to it: fixed by its user, and by how often it has come.

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Taken,
    /// Not now: it may come again.
    NotNow,
    /// Never.
    Refused,
}

impl Fate {
    /// Of the letter that comes for the `number`-th time: one user of 23 is refused for good, one of 29 never finds anybody
    /// with time for it, and for the others one attempt of 5 comes to nothing.
    pub fn of(letter: &str, number: u32) -> Self {
        let Ok(user) = letter.trim_start_matches("u-").parse::<u32>() else { return Self::Refused };
        match (user % 23, user % 29, (user + number * 7) % 5) {
            (0, ..) => Self::Refused,
            (_, 0, _) | (.., 0) => Self::NotNow,
            _ => Self::Taken,
        }
    }
}
