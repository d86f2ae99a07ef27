//! Where the values of credentials come from, as seen by the pure part: a question that tests answer with a
//! map and the program with its environment and files.

use std::path::{Path, PathBuf};

use crate::secret::Secret;

/// Why a secret could not be had. Never contains its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("is not set")]
    Absent,
    #[error("is not text in UTF-8")]
    NotText,
    #[error("is larger than {0} bytes")]
    TooLarge(u64),
    /// What the operating system says.
    #[error("{0}")]
    Unreadable(String),
}

pub trait SecretSource {
    /// The value of an environment variable.
    ///
    /// # Errors
    /// It is not set, or not text.
    fn env(&self, name: &str) -> Result<Secret, SecretError>;

    /// The content of a file, without line ends at its end.
    ///
    /// # Errors
    /// It cannot be read, is too large, or is not text.
    fn file(&self, path: &Path) -> Result<Secret, SecretError>;

    /// A credential that systemd passes (`LoadCredential=`), without line ends at its end.
    ///
    /// # Errors
    /// None is passed, or as for a file.
    fn credential(&self, name: &str) -> Result<Secret, SecretError>;

    /// The full path of what the configuration names by a path from its own folder.
    fn place(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}
