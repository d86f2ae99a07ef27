//! The words of the answers and the token counts: deterministic, so that tests can foretell `usage`.
//! Prompt tokens are a quarter of the bytes of the prompt's JSON value as sent, rounded up; an answer's
//! tokens are its words.

use serde_json::value::RawValue;

use crate::clock::unix_now;

const WORDS: [&str; 16] = [
    "The", " water", " behind", " the", " weir", " rises", " until", " it", " finds", " a",
    " lower", " place", " and", " then", " runs", " over.",
];

/// The `index`-th token of every answer.
pub(crate) fn token(index: u64) -> &'static str {
    if index == 0 {
        return WORDS[0];
    }
    let position = (index - 1) % (WORDS.len() as u64 - 1) + 1;
    WORDS[usize::try_from(position).expect("an index of a short array fits")]
}

pub(crate) fn answer(tokens: u64) -> String {
    (0..tokens).map(token).collect()
}

pub(crate) fn prompt_tokens(prompt: Option<&RawValue>) -> u64 {
    prompt.map_or(0, |value| (value.get().len() as u64).div_ceil(4))
}

/// A JSON string literal.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always valid JSON")
}

pub(crate) fn unix_seconds() -> String {
    unix_now().as_secs().to_string()
}

/// A fresh id such as `chatcmpl-5f2c…`.
pub(crate) fn fresh_id(prefix: &str) -> String {
    format!("{prefix}{:032x}", fastrand::u128(..))
}
