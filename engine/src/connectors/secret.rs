//! Where a password, a token or a key comes from.

use std::env::VarError;
use std::fmt;
use std::path::PathBuf;

use crate::{Error, Result};

/// A password, a token or a key: where it is, not what it is. It is read when it is needed and not kept, so that one that
/// was exchanged is taken up without a restart, and it cannot be printed.
///
/// ```
/// use headwater::connectors::Secret;
///
/// let password = Secret::env("NO_SUCH_VARIABLE");
/// assert_eq!(password.to_string(), "environment variable NO_SUCH_VARIABLE");
/// assert_eq!(
///     password.read().unwrap_err().to_string(),
///     "the secret in environment variable NO_SUCH_VARIABLE cannot be read: environment variable not found",
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Source);

#[derive(Clone, PartialEq, Eq)]
enum Source {
    Env(String),
    File(PathBuf),
    Plain(String),
}

impl Secret {
    /// In an environment variable.
    pub fn env(name: impl Into<String>) -> Self {
        Self(Source::Env(name.into()))
    }

    /// In a file, alone; a line's end at its end does not count. Docker, Kubernetes and systemd give secrets so.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// Itself: for tests. Anywhere else it would stand in the code.
    pub fn plain(value: impl Into<String>) -> Self {
        Self(Source::Plain(value.into()))
    }

    /// Reads it.
    ///
    /// # Errors
    /// `Config` where it is not there, is not text or is empty.
    pub fn read(&self) -> Result<String> {
        let unreadable = || Error::config(format!("the secret in {self} cannot be read"));
        let value = match &self.0 {
            Source::Env(name) => std::env::var(name).map_err(|error| match error {
                VarError::NotPresent => unreadable().caused_by(error),
                // This error says the value.
                VarError::NotUnicode(_) => unreadable().caused_by("it is not UTF-8"),
            })?,
            Source::File(path) => std::fs::read_to_string(path).map_err(|error| unreadable().caused_by(error))?,
            Source::Plain(value) => value.clone(),
        };
        let value = value.trim_end_matches(['\r', '\n']);
        if value.is_empty() {
            return Err(Error::config(format!("the secret in {self} is empty")));
        }
        Ok(value.to_owned())
    }
}

impl fmt::Display for Secret {
    /// Where it comes from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Env(name) => write!(f, "environment variable {name}"),
            Source::File(path) => write!(f, "file {}", path.display()),
            Source::Plain(_) => f.write_str("the program"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_anew_each_time_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let secret = Secret::file(&path);
        let refused = || secret.read().unwrap_err().to_string();
        assert!(refused().starts_with(&format!("the secret in file {} cannot be read: ", path.display())));
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(refused(), format!("the secret in file {} is empty", path.display()));
        for password in ["first one", "second"] {
            std::fs::write(&path, format!("{password}\r\n")).unwrap();
            assert_eq!(secret.read().unwrap(), password);
        }
        assert!(!format!("{:?} {}", Secret::plain("sesame"), Secret::plain("sesame")).contains("sesame"));
    }

    #[test]
    fn a_secret_comes_from_the_environment() {
        assert_eq!(Secret::env("PATH").read().unwrap(), std::env::var("PATH").unwrap());
    }
}
