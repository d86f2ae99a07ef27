//! Client keys at rest: only their SHA-256 is configured, as `sha256:` and 64 hex digits. A key is long and
//! random, so a fast hash without salt is enough to keep it from being read back.

use sha2::{Digest as _, Sha256};

const PREFIX: &str = "sha256:";

/// The text is not a key hash. Says nothing about the text: it may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `sha256:` and 64 hex digits, the hash of a client key")]
pub struct KeyHashError;

#[must_use]
pub fn key_hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// The hash as written in the configuration.
#[must_use]
pub fn format_key_hash(hash: &[u8; 32]) -> String {
    format!("{PREFIX}{}", hex::encode(hash))
}

/// Reads what [`format_key_hash`] writes; hex digits of either case.
///
/// # Errors
/// The text has another form.
pub fn parse_key_hash(text: &str) -> Result<[u8; 32], KeyHashError> {
    let digits = text.strip_prefix(PREFIX).ok_or(KeyHashError)?;
    let mut hash = [0; 32];
    // What is wrong would repeat a part of the text.
    hex::decode_to_slice(digits, &mut hash).map_err(|_| KeyHashError)?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of `abc`, FIPS 180-4.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_hash_is_written_and_read_back() {
        assert_eq!(format_key_hash(&key_hash("abc")), ABC);
        assert_eq!(parse_key_hash(ABC), Ok(key_hash("abc")));
        assert_eq!(
            parse_key_hash(&ABC.replace("ba78", "BA78")),
            Ok(key_hash("abc"))
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "abc",
            &ABC[7..],
            &ABC[..70],
            &format!("{ABC}0"),
            &ABC.replace('b', "g"),
            &ABC.replace("ba", "é"),
        ] {
            assert_eq!(parse_key_hash(text), Err(KeyHashError), "{text}");
        }
    }
}
