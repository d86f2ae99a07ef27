//! Durations as operators write them: `250ms`, `30s`, `1m30s`, or ISO 8601 (`PT1M`) as in API Management.

use std::{borrow::Cow, fmt, time::Duration};

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Longest duration accepted anywhere.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration of at least `MIN_MS` milliseconds and at most 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span<const MIN_MS: u64>(pub(super) Duration);

/// A duration that may be zero.
pub(super) const ANY: u64 = 0;
/// A duration for which zero makes no sense.
pub(super) const POSITIVE: u64 = 1;

impl<'de, const MIN_MS: u64> Deserialize<'de> for Span<MIN_MS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor::<MIN_MS>)
    }
}

struct SpanVisitor<const MIN_MS: u64>;

impl<const MIN_MS: u64> Visitor<'_> for SpanVisitor<MIN_MS> {
    type Value = Span<MIN_MS>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as `30s`, `1m30s` or `PT1M`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let signed: SignedDuration = text.parse().map_err(|_| {
            E::custom(format!(
                "`{text}` is not a duration, write for example `30s`, `1m30s` or `PT1M`"
            ))
        })?;
        match Duration::try_from(signed) {
            Ok(span) if span < Duration::from_millis(MIN_MS) => Err(E::custom(format!(
                "`{text}` is too short, expected at least {MIN_MS}ms"
            ))),
            Ok(span) if span > DURATION_MAX => Err(E::custom(format!(
                "`{text}` is too long, expected at most 24h"
            ))),
            Ok(span) => Ok(Span(span)),
            Err(_) => Err(E::custom(format!(
                "`{text}` is negative, a duration must not be"
            ))),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Err(E::custom(format!(
            "`{number}` has no unit, write for example `{number}s`"
        )))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        Err(E::custom(format!(
            "`{number}` has no unit, write for example `{number}s`"
        )))
    }
}

impl<const MIN_MS: u64> JsonSchema for Span<MIN_MS> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(P|[0-9.]+ ?[A-Za-z])" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Duration, String> {
        serde_yaml::from_str::<Span<POSITIVE>>(yaml)
            .map(|span| span.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn both_notations_are_read() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("1.5s", 1500),
            ("24h", 86_400_000),
            ("PT1M", 60_000),
            ("PT1H30M", 5_400_000),
            ("PT0.5S", 500),
        ] {
            assert_eq!(read(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_says_what_would_be_right() {
        for (yaml, expected) in [
            ("soon", "`soon` is not a duration"),
            ("''", "`` is not a duration"),
            ("5", "`5` has no unit, write for example `5s`"),
            ("0.5", "`0.5` has no unit"),
            ("0s", "too short, expected at least 1ms"),
            ("-5s", "is negative"),
            ("25h", "too long"),
            ("PT9999999999H", "too long"),
            ("[1s]", "expected a duration such as"),
        ] {
            let error = read(yaml).expect_err(yaml);
            assert!(error.contains(expected), "{yaml}: {error}");
        }
        assert_eq!(
            serde_yaml::from_str::<Span<ANY>>("0s").unwrap().0,
            Duration::ZERO
        );
    }
}
