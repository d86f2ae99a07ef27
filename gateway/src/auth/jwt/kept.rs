//! The keys of an issuer as a file of the state directory: what the next process starts with while the issuer is
//! down. It holds public keys alone, and is as good as the issuer's word however old it is.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::keys::{self, Key, Keys};
use crate::{
    auth::files::{read_limited, write_atomically},
    config::compiled::KeysAt,
};

const VERSION: u32 = 1;
/// Whoever can write it says who may call.
const FILE_MODE: u32 = 0o600;
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct File<T> {
    version: u32,
    /// The address that the keys were got by.
    at: String,
    fetched_unix: u64,
    jwks: Jwks<T>,
}

#[derive(Serialize, Deserialize)]
struct Jwks<T> {
    keys: Vec<T>,
}

fn path(directory: &Path, at: &KeysAt) -> PathBuf {
    let (kind, url) = match at {
        KeysAt::Discovery(url) => ("discovery", url),
        KeysAt::Jwks(url) => ("jwks", url),
    };
    let hash = Sha256::digest(format!("{kind} {url}"));
    directory.join(format!("jwks-{}.json", hex::encode(&hash[..8])))
}

/// What the file says, which is also what a successor process is told.
pub(super) fn document(at: &KeysAt, keys: &Keys) -> Value {
    let file = File {
        version: VERSION,
        at: url(at).to_owned(),
        fetched_unix: keys.fetched.as_secs(),
        jwks: Jwks { keys: keys.jwks() },
    };
    serde_json::to_value(file).expect("it has text as keys")
}

/// The keys of a [`document`], and when they were fetched, since 1970.
///
/// # Errors
/// It is none, or of another issuer.
pub(super) fn understand(document: Value, at: &KeysAt) -> io::Result<(Vec<Key>, Duration)> {
    let file: File<Value> = serde_json::from_value(document)?;
    let keys = keys::usable(&file.jwks.keys);
    if file.version != VERSION || file.at != url(at) || keys.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is of another version or issuer, or has no keys",
        ));
    }
    Ok((keys, Duration::from_secs(file.fetched_unix)))
}

pub(super) async fn write(directory: &Path, at: &KeysAt, keys: &Keys) -> io::Result<()> {
    let bytes = document(at, keys).to_string().into_bytes();
    write_atomically(&path(directory, at), bytes, FILE_MODE).await
}

/// The keys and when they were fetched, since 1970.
///
/// # Errors
/// There is no such file, or it is not what [`write`] writes.
pub(super) async fn read(directory: &Path, at: &KeysAt) -> io::Result<(Vec<Key>, Duration)> {
    let bytes = read_limited(&path(directory, at), FILE_BYTES_MAX).await?;
    understand(serde_json::from_slice(&bytes)?, at)
}

/// The address that is configured.
pub(super) fn url(at: &KeysAt) -> &str {
    match at {
        KeysAt::Discovery(url) | KeysAt::Jwks(url) => url,
    }
}
