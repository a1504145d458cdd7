//! The one error of the workspace: its kind says what the reader must do.

use std::fmt;

/// What the reader of an [`Error`] must do about it.
///
/// A new kind is a change of design, not of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The job or its options are wrong: mend them and start again.
    Config,
    /// A record is bad: the job's policy for bad records decides.
    Record,
    /// Something outside is away for now: retried with back-off, then the job reopens.
    Unavailable,
    /// Another instance owns this work.
    Fenced,
    /// Stored bytes are not what was written: restore or rebuild.
    Corrupt,
    /// An invariant of the engine does not hold: report it.
    Bug,
}

/// An error with the action it asks for, a message for people, and its cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`. Messages are lower case, have no full stop, and put values last.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The job or its options are wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// A record is bad.
    pub fn record(message: impl Into<String>) -> Self {
        Self::new(Kind::Record, message)
    }

    /// Something outside is away for now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// Stored bytes are not what was written.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, message)
    }

    /// An invariant of the engine does not hold.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message)
    }

    /// The same error with the cause beneath it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts a noun in front of the message: what was being done. Once per boundary.
    #[must_use]
    pub fn within(mut self, noun: impl fmt::Display) -> Self {
        self.message = format!("{noun}: {}", self.message);
        self
    }

    /// What the reader must do.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether what is away is this machine's own, as its disk: another one may be able to go on.
    pub fn is_local(&self) -> bool {
        let mut causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        #[cfg(feature = "rocks")]
        let of_store = |cause: &(dyn std::error::Error + 'static)| cause.is::<rocksdb::Error>();
        #[cfg(not(feature = "rocks"))]
        let of_store = |_: &(dyn std::error::Error + 'static)| false;
        self.kind == Kind::Unavailable && causes.any(|cause| cause.is::<std::io::Error>() || of_store(cause))
    }

    /// The message without its causes.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    /// The message, then every cause after a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}
