//! Shapes that YAML files use and serde has no word for: a mapping that keeps the order of the file, a section
//! that can be switched off by a word, and the source of a secret.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::secret::Secret;

/// Entries by name, in the order of the file. A name without a value (`gpt-4o:`) is `None`.
#[derive(Debug)]
pub(in crate::config) struct Entries<T>(Vec<(String, Option<T>)>);

impl<T> Entries<T> {
    pub(in crate::config) fn iter(&self) -> impl Iterator<Item = (&str, Option<&T>)> {
        self.0
            .iter()
            .map(|(name, entry)| (name.as_str(), entry.as_ref()))
    }

    pub(in crate::config) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_any(EntriesVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Entries_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<Option<T>>();
        json_schema!({ "type": "object", "additionalProperties": entry })
    }
}

/// A list. An item that was cut out for a mistake, or that is empty, keeps its place, so that the others keep
/// their numbers in messages.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct List<T>(Vec<Option<T>>);

impl<T> List<T> {
    /// The items with their places.
    pub(in crate::config) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0
            .iter()
            .enumerate()
            .filter_map(|(index, item)| Some((index, item.as_ref()?)))
    }

    pub(in crate::config) fn items(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("List_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<T>::json_schema(generator)
    }
}

/// One text, or a list of them. Whatever else stands here is not shown.
#[derive(Debug)]
pub(in crate::config) struct Words(Vec<String>);

impl Words {
    /// The texts with their places.
    pub(in crate::config) fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.iter().map(String::as_str).enumerate()
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordsVisitor;

        impl<'de> Visitor<'de> for WordsVisitor {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Words(vec![text.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                // An item that was cut out for a mistake is empty.
                while let Some(text) = list.next_element::<Option<String>>()? {
                    texts.extend(text);
                }
                Ok(Words(texts))
            }
        }

        deserializer.deserialize_any(WordsVisitor)
    }
}

impl JsonSchema for Words {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }
}

/// A section, or `off`.
#[derive(Debug)]
pub(in crate::config) enum Switch<T> {
    /// `off`, `none` or `false`.
    Off,
    On(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SwitchVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for SwitchVisitor<T> {
            type Value = Switch<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping, or `off`, `none` or `false`")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Self::Value, E> {
                if on {
                    Err(wrong(&self))
                } else {
                    Ok(Switch::Off)
                }
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Self::Value, E> {
                // The word is not repeated in the error: under `credentials` it may be a key.
                if matches!(word, "off" | "none") {
                    Ok(Switch::Off)
                } else {
                    Err(wrong(&self))
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
            }
        }

        deserializer.deserialize_any(SwitchVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Switch<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Switch_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let section = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [section, { "enum": ["off", "none", false] }] })
    }
}

/// A secret written into the file. Whatever stands here is not shown.
#[derive(Debug, Clone)]
pub(in crate::config) struct InlineSecret(pub(in crate::config) Secret);

impl<'de> Deserialize<'de> for InlineSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InlineVisitor;

        impl Visitor<'_> for InlineVisitor {
            type Value = InlineSecret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string in quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(InlineSecret(Secret::new(text.to_owned())))
            }
        }

        deserializer.deserialize_any(InlineVisitor)
    }
}

impl JsonSchema for InlineSecret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "InlineSecret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

fn wrong<E: de::Error>(expected: &dyn de::Expected) -> E {
    E::custom(format!("expected {expected}"))
}
