//! The only place in the program that reads configuration files, the environment and key files. It decides
//! nothing about their content.

use std::{
    env,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{
    diagnostics::ConfigError,
    secrets::{SecretError, SecretSource},
};
use crate::secret::Secret;

/// Largest configuration file, bytes: far above any that a person edits.
const CONFIG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Largest key or certificate file, bytes: a bundle of all public authorities has half of it.
pub const SECRET_BYTES_MAX: u64 = 512 * 1024;

/// Why there is no configuration. Its display is what the operator reads: one line a mistake.
#[derive(Debug, thiserror::Error)]
pub enum Report {
    #[error("{file}: {source}")]
    Unreadable { file: String, source: io::Error },
    #[error("{}", lines(file, errors))]
    Invalid {
        file: String,
        errors: Vec<ConfigError>,
    },
}

/// What was read, before anything was understood. Not `Debug`: the text may contain secrets.
pub struct Source {
    /// The file's name in messages.
    pub file: String,
    pub text: String,
    pub secrets: System,
}

/// Reads the file at `path`.
///
/// # Errors
/// The file cannot be read, is larger than 16 MiB, or is not UTF-8.
pub fn load(path: &Path) -> Result<Source, Report> {
    match read(path, CONFIG_BYTES_MAX) {
        Ok(text) => Ok(Source::new(path, text)),
        Err(source) => Err(Report::Unreadable {
            file: path.display().to_string(),
            source,
        }),
    }
}

impl Source {
    /// A text that stands, or could stand, in the file at `path`.
    #[must_use]
    pub fn new(path: &Path, text: String) -> Self {
        Self {
            file: path.display().to_string(),
            text,
            secrets: System {
                folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            },
        }
    }
}

/// The process's environment, and files relative to the configuration's folder.
#[derive(Debug)]
pub struct System {
    folder: PathBuf,
}

impl SecretSource for System {
    fn env(&self, name: &str) -> Result<Secret, SecretError> {
        match env::var(name) {
            Ok(value) => Ok(Secret::new(value)),
            Err(env::VarError::NotPresent) => Err(SecretError::Absent),
            Err(env::VarError::NotUnicode(_)) => Err(SecretError::NotText),
        }
    }

    fn credential(&self, name: &str) -> Result<Secret, SecretError> {
        // Where systemd puts them (systemd.exec(5)).
        match env::var("CREDENTIALS_DIRECTORY") {
            Ok(folder) => self.file(&Path::new(&folder).join(name)),
            Err(_) => Err(SecretError::Absent),
        }
    }

    fn place(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    fn file(&self, path: &Path) -> Result<Secret, SecretError> {
        let path = self.place(path);
        // A pipe would keep us waiting for somebody to write.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(SecretError::Unreadable("it is no regular file".to_owned()));
        }
        match read(&path, SECRET_BYTES_MAX) {
            Ok(mut text) => {
                text.truncate(text.trim_end_matches(['\n', '\r']).len());
                Ok(Secret::new(text))
            }
            Err(error) => Err(match error.kind() {
                io::ErrorKind::InvalidData => SecretError::NotText,
                io::ErrorKind::FileTooLarge => SecretError::TooLarge(SECRET_BYTES_MAX),
                _ => SecretError::Unreadable(error.to_string()),
            }),
        }
    }
}

fn read(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(bytes_max + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= bytes_max) {
        Ok(text)
    } else {
        let message = format!("larger than {bytes_max} bytes");
        Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
    }
}

fn lines(file: &str, errors: &[ConfigError]) -> String {
    errors
        .iter()
        .map(|error| error.render(file))
        .collect::<Vec<_>>()
        .join("\n")
}
