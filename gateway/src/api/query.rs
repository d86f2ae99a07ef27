//! Reads and edits query strings without re-encoding what is not edited.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986: fits a path segment and a query value alike.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(super) fn encode(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, RESERVED)
}

/// The first parameter of that name, as it stands in the query. `name` is in lower case.
pub(super) fn value<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| is(key, name))
        .map(|(_, value)| value)
}

/// The query with each named parameter set (`Some`) or removed (`None`), everything else byte for byte. A
/// parameter that is set keeps its place and loses its repetitions; one that was absent is appended. The
/// result has no `?` and may be empty.
pub(super) fn edited(query: Option<&str>, edits: &mut [(&str, Option<&str>)]) -> String {
    let mut pairs = Vec::new();
    for pair in query
        .into_iter()
        .filter(|query| !query.is_empty())
        .flat_map(|query| query.split('&'))
    {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        match edits.iter_mut().find(|(name, _)| is(key, name)) {
            // Taken, so that a repetition finds nothing and is dropped.
            Some((name, value)) => pairs.extend(value.take().map(|value| pair_of(name, value))),
            None => pairs.push(pair.to_owned()),
        }
    }
    for (name, value) in edits {
        pairs.extend(value.take().map(|value| pair_of(name, value)));
    }
    pairs.join("&")
}

fn pair_of(name: &str, value: &str) -> String {
    format!("{name}={}", encode(value))
}

/// Decoded and in any case, because providers read names that way and a credential must not slip through.
fn is(key: &str, name: &str) -> bool {
    percent_decode_str(key)
        .map(|byte| byte.to_ascii_lowercase())
        .eq(name.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_parameter_of_a_name_is_found() {
        for (query, expected) in [
            ("api-version=1", Some("1")),
            ("a=b&API-Version=1&api-version=2", Some("1")),
            ("api%2Dversion=1%20", Some("1%20")),
            ("api-version=", Some("")),
            ("api-version", None),
            ("xapi-version=1", None),
            ("", None),
        ] {
            assert_eq!(value(Some(query), "api-version"), expected, "{query}");
        }
        assert_eq!(value(None, "api-version"), None);
    }

    #[test]
    fn a_query_keeps_every_byte_that_is_not_edited() {
        for (query, expected) in [
            (Some("a=%7e+1&&b&=x"), "a=%7e+1&&b&=x&v=2%2B"),
            (Some("v=1&a=b&v=3"), "v=2%2B&a=b"),
            (Some("a=b&V&c=d"), "a=b&v=2%2B&c=d"),
            (Some("key=1&a=b&k%65y=2&KEY"), "a=b&v=2%2B"),
            (Some(""), "v=2%2B"),
            (None, "v=2%2B"),
        ] {
            let edits = &mut [("v", Some("2+")), ("key", None)];
            assert_eq!(edited(query, edits), expected, "{query:?}");
        }
        assert_eq!(edited(Some("key=1"), &mut [("key", None)]), "");
    }
}
