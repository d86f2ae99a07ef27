//! Value types of single keys: bounded numbers, shares, status ranges, addresses, words for causes, key
//! hashes. Each says in its error what was found and what would be right, and none shows a secret.

use std::{borrow::Cow, fmt, net::SocketAddr, ops::RangeInclusive};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::{
    config::{client_key::parse_key_hash, suggest},
    policy::cause::Cause,
};

/// A schema that stands where it is used, with no name of its own.
macro_rules! inline_schema {
    ([$($generics:tt)*] $type:ty, $schema:expr) => {
        impl<$($generics)*> JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

/// A whole number in `MIN..=MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Whole<const MIN: u32, const MAX: u32>(pub(in crate::config) u32);

inline_schema!([const MIN: u32, const MAX: u32] Whole<MIN, MAX>, json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX }));

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeVisitor<const MIN: u32, const MAX: u32>;

        impl<const MIN: u32, const MAX: u32> Visitor<'_> for WholeVisitor<MIN, MAX> {
            type Value = Whole<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if MIN == MAX {
                    return write!(f, "{MIN}");
                }
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                match u32::try_from(number) {
                    Ok(small) if (MIN..=MAX).contains(&small) => Ok(Whole(small)),
                    Ok(_) | Err(_) => Err(found(number, &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Err(found(number, &self))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                Err(found(number, &self))
            }
        }

        deserializer.deserialize_any(WholeVisitor::<MIN, MAX>)
    }
}

/// An amount of money with up to six decimals, in millionths: `2.50`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Amount(pub(in crate::config) u64);

/// Far above any price, and far below what a float can tell apart.
const AMOUNT_MAX: u32 = 1_000_000;

inline_schema!([] Amount, json_schema!({ "type": "number", "minimum": 0, "maximum": AMOUNT_MAX }));

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AmountVisitor;

        impl Visitor<'_> for AmountVisitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an amount from 0 to {AMOUNT_MAX}, as `2.50`")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                if number > u64::from(AMOUNT_MAX) {
                    return Err(found(number, &self));
                }
                Ok(Amount(number * 1_000_000))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Err(found(number, &self))
            }

            #[expect(
                clippy::cast_possible_truncation,
                reason = "in range, and rounded on purpose"
            )]
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                if (0.0..=f64::from(AMOUNT_MAX)).contains(&number) {
                    Ok(Amount((number * 1e6).round() as u64))
                } else {
                    Err(found(number, &self))
                }
            }
        }

        deserializer.deserialize_any(AmountVisitor)
    }
}

/// A share: `20%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Percent(pub(in crate::config) u32);

inline_schema!([] Percent, json_schema!({ "type": "string", "pattern": "^[0-9]{1,3}%$" }));

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PercentVisitor;

        impl Visitor<'_> for PercentVisitor {
            type Value = Percent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share from `0%` to `100%`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text
                    .strip_suffix('%')
                    .and_then(|number| number.parse().ok())
                {
                    Some(percent @ 0..=100) => Ok(Percent(percent)),
                    Some(_) | None => Err(found(text, &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Err(found(number, &self))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                Err(found(number, &self))
            }
        }

        deserializer.deserialize_any(PercentVisitor)
    }
}

/// Status codes that count as failures: `500-599`, `429`, or as in API Management `{ min: 500, max: 599 }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct Statuses(pub(in crate::config) RangeInclusive<u16>);

inline_schema!([] Statuses, json_schema!({
    "anyOf": [
        { "type": "string", "pattern": "^[45][0-9]{2}(-[45][0-9]{2})?$" },
        { "type": "integer", "minimum": 400, "maximum": 599 },
        {
            "type": "object",
            "additionalProperties": false,
            "required": ["min", "max"],
            "properties": {
                "min": { "type": "integer", "minimum": 400, "maximum": 599 },
                "max": { "type": "integer", "minimum": 400, "maximum": 599 },
            },
        },
    ],
}));

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StatusesVisitor;

        impl StatusesVisitor {
            fn range<E: de::Error>(&self, min: &str, max: &str) -> Result<Statuses, E> {
                match (min.trim().parse(), max.trim().parse()) {
                    (Ok(min), Ok(max)) if 400 <= min && min <= max && max <= 599 => {
                        Ok(Statuses(min..=max))
                    }
                    _ if min == max => Err(found(min, self)),
                    _ => Err(found(format!("{min}-{max}"), self)),
                }
            }
        }

        impl<'de> Visitor<'de> for StatusesVisitor {
            type Value = Statuses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status or a range inside 400 to 599, such as `429` or `500-599`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let (min, max) = text.split_once('-').unwrap_or((text, text));
                self.range(min, max)
            }

            fn visit_u64<E: de::Error>(self, status: u64) -> Result<Self::Value, E> {
                self.visit_str(&status.to_string())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut min, mut max) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "min" => min = Some(map.next_value::<u64>()?),
                        "max" => max = Some(map.next_value::<u64>()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            return Err(de::Error::custom(suggest::unknown(
                                "key",
                                &key,
                                ["min", "max"],
                            )));
                        }
                    }
                }
                match (min, max) {
                    (Some(min), Some(max)) => self.range(&min.to_string(), &max.to_string()),
                    (None, _) | (_, None) => {
                        Err(de::Error::custom("a range needs both `min` and `max`"))
                    }
                }
            }
        }

        deserializer.deserialize_any(StatusesVisitor)
    }
}

/// Why another deployment is tried: one of [`Cause::RETRIABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct RetryCause(pub(in crate::config) Cause);

/// Why an attempt without an answer counts as a failure: one of [`NO_ANSWER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct FailureCause(pub(in crate::config) Cause);

/// The causes of an attempt that got no answer, or not all of one.
const NO_ANSWER: [Cause; 5] = [
    Cause::Connect,
    Cause::Tls,
    Cause::Dns,
    Cause::Timeout,
    Cause::Stall,
];

inline_schema!([] RetryCause, json_schema!({ "enum": Cause::RETRIABLE.map(Cause::as_str) }));
inline_schema!([] FailureCause, json_schema!({ "enum": NO_ANSWER.map(Cause::as_str) }));

impl<'de> Deserialize<'de> for RetryCause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        cause(deserializer, &Cause::RETRIABLE).map(Self)
    }
}

impl<'de> Deserialize<'de> for FailureCause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        cause(deserializer, &NO_ANSWER).map(Self)
    }
}

fn cause<'de, D: Deserializer<'de>>(deserializer: D, allowed: &[Cause]) -> Result<Cause, D::Error> {
    let word = String::deserialize(deserializer)?;
    allowed
        .iter()
        .copied()
        .find(|cause| cause.as_str() == word)
        .ok_or_else(|| {
            de::Error::custom(suggest::unknown(
                "cause",
                &word,
                allowed.iter().map(|cause| cause.as_str()),
            ))
        })
}

/// IP address and port: `127.0.0.1:8080`, `[::]:8080`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Address(pub(in crate::config) SocketAddr);

inline_schema!([] Address, json_schema!({ "type": "string", "pattern": "^[0-9a-fA-F.:\\[\\]]+:[0-9]+$" }));

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "an IP address and port such as `127.0.0.1:8080` or `[::]:8080`";
        text.parse().map(Self).map_err(|_| found(text, &expected))
    }
}

/// The hash of a client's key. A plain key written here by mistake is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct KeyHash(pub(in crate::config) [u8; 32]);

inline_schema!([] KeyHash, json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-fA-F]{64}$" }));

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?)
    }
}

impl KeyHash {
    pub(super) fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        parse_key_hash(text).map(Self).map_err(de::Error::custom)
    }
}

/// A point in time, in seconds since 1970: `2027-01-31T12:00:00Z`, or `2027-01-31` for the end of that day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Moment(pub(in crate::config) u64);

inline_schema!([] Moment, json_schema!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}" }));

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let end_of_day = || {
            let tomorrow = text.parse::<jiff::civil::Date>()?.tomorrow()?;
            Ok::<_, jiff::Error>(tomorrow.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp())
        };
        text.parse::<jiff::Timestamp>()
            .or_else(|_| end_of_day())
            .ok()
            .and_then(|moment| u64::try_from(moment.as_second()).ok())
            .map(Self)
            .ok_or_else(|| {
                de::Error::custom(
                    "expected a time such as `2027-01-31T12:00:00Z`, or a date such as `2027-01-31`",
                )
            })
    }
}

fn found<E: de::Error>(found: impl fmt::Display, expected: &dyn de::Expected) -> E {
    E::custom(format!("found `{found}`, expected {expected}"))
}
