//! Sizes as operators write them: `32MiB`, `10MB`, or a plain number of bytes.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const GIB: u64 = 1024 * MIB;

const UNITS: [(&str, u64); 9] = [
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
    ("", 1),
];

/// A number of bytes in `MIN..=MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    /// In bytes. More than the machine can address is as good as the most it can.
    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Size<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor::<MIN, MAX>)
    }
}

struct SizeVisitor<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for SizeVisitor<MIN, MAX> {
    type Value = Size<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as `32MiB`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let Some(bytes) = parse(text) else {
            return Err(E::custom(format!(
                "`{text}` is not a size, write for example `32MiB`"
            )));
        };
        if (MIN..=MAX).contains(&bytes) {
            return Ok(Size(bytes));
        }
        let (min, max) = (format_size(MIN), format_size(MAX));
        Err(E::custom(format!(
            "`{text}` is out of range, expected {min} to {max}"
        )))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Size<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "pattern": "^[0-9]+ ?([KMG]iB|[kKMG]?B)?$" })
    }
}

fn parse(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (_, factor) = UNITS.into_iter().find(|&(name, _)| name == unit)?;
    // What does not fit is above every maximum.
    Some(number.parse::<u64>().ok()?.saturating_mul(factor))
}

pub(super) fn format_size(bytes: u64) -> String {
    let unit = [("GiB", GIB), ("MiB", MIB), ("KiB", KIB)]
        .into_iter()
        .find(|&(_, factor)| bytes >= factor && bytes.is_multiple_of(factor));
    unit.map_or_else(
        || format!("{bytes}B"),
        |(name, factor)| format!("{}{name}", bytes / factor),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<usize, String> {
        serde_yaml::from_str::<Size<KIB, GIB>>(yaml)
            .map(Size::bytes)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn units_are_read() {
        for (text, bytes) in [
            ("32MiB", 33_554_432),
            ("64 KiB", 65_536),
            ("1GiB", 1_073_741_824),
            ("10MB", 10_000_000),
            ("2kB", 2000),
            ("2048", 2048),
            ("2048B", 2048),
        ] {
            assert_eq!(read(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_says_what_would_be_right() {
        for (yaml, expected) in [
            ("much", "`much` is not a size, write for example `32MiB`"),
            ("1.5MiB", "is not a size"),
            ("MiB", "is not a size"),
            ("-1", "expected a size"),
            ("0", "`0` is out of range, expected 1KiB to 1GiB"),
            ("2GiB", "out of range"),
            ("18446744073709551615GiB", "out of range"),
        ] {
            let error = read(yaml).expect_err(yaml);
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }
}
