//! One pass over a JSON body. Only the members of the outermost object are looked at; everything below is
//! skipped without recursion, so depth costs no stack.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use super::{BodyFacts, Format, ModelValue, usage};
use crate::api::error::ApiError;

/// What a JSON body says.
///
/// # Errors
/// 400 where the body is not one JSON object (a byte order mark or anything behind it count), where `model`
/// is neither a string nor null, and where there are two: providers differ in which one they take.
pub fn inspect_json(body: &[u8]) -> Result<BodyFacts, ApiError> {
    let members: Members<'_> =
        serde_json::from_slice(body).map_err(|error| invalid(body, &error))?;
    if members.second_model {
        return Err(ApiError::duplicate_model());
    }
    // LangChain writes `"model":null` where the path names the deployment.
    let is_null = |raw: &&RawValue| raw.get() == "null";
    let null_model = members.model.filter(is_null).map(|raw| span(body, raw));
    let model = members
        .model
        .filter(|raw| !is_null(raw))
        .map(|raw| model_value(body, raw))
        .transpose()?;
    let brace = memchr::memchr(b'{', body).expect("an object has just been parsed");
    let usage = match members.options {
        Options::Known(options) if members.stream => usage::edit(body, brace + 1, options),
        Options::Known(_) | Options::LeftAlone => None,
    };
    Ok(BodyFacts {
        model,
        stream: members.stream,
        usage,
        format: Format::Json {
            members: brace + 1,
            empty: members.empty,
            null_model,
        },
    })
}

fn model_value(body: &[u8], raw: &RawValue) -> Result<ModelValue, ApiError> {
    let value = serde_json::from_str(raw.get()).map_err(|_| ApiError::invalid_model())?;
    Ok(ModelValue {
        value,
        span: span(body, raw),
    })
}

/// The raw value is borrowed from the body, so its place is the distance between the two.
pub(super) fn span(body: &[u8], raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr() as usize - body.as_ptr() as usize;
    start..start + raw.get().len()
}

/// Says where, never what: the parser's own message can repeat the body.
fn invalid(body: &[u8], error: &serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    let reason = match error.classify() {
        _ if body.is_empty() => "it is empty".to_owned(),
        Category::Eof => "it ends too early".to_owned(),
        Category::Data => "it must be a JSON object".to_owned(),
        Category::Syntax | Category::Io => {
            format!("it is not valid JSON at line {line}, column {column}")
        }
    };
    ApiError::invalid_json(&reason)
}

struct Members<'a> {
    model: Option<&'a RawValue>,
    second_model: bool,
    /// That of the last one, as most parsers have it.
    stream: bool,
    options: Options<'a>,
    empty: bool,
}

/// `stream_options`, and whether they may be touched.
#[derive(Clone, Copy)]
enum Options<'a> {
    Known(Option<&'a RawValue>),
    /// There are two of them; or there are `data_sources`, with which Azure refuses any.
    LeftAlone,
}

/// A key counts however it is written: `"mod\u0065l"` is `model` for every provider.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Model,
    Stream,
    StreamOptions,
    DataSources,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members {
            model: None,
            second_model: false,
            stream: false,
            options: Options::Known(None),
            empty: true,
        };
        while let Some(key) = map.next_key()? {
            members.empty = false;
            match key {
                Key::Model => {
                    members.second_model |= members.model.replace(map.next_value()?).is_some();
                }
                Key::Stream => {
                    let raw: &RawValue = map.next_value()?;
                    members.stream = raw.get() == "true";
                }
                Key::StreamOptions => {
                    let raw = map.next_value()?;
                    members.options = match members.options {
                        Options::Known(None) => Options::Known(Some(raw)),
                        Options::Known(Some(_)) | Options::LeftAlone => Options::LeftAlone,
                    };
                }
                Key::DataSources => {
                    map.next_value::<IgnoredAny>()?;
                    members.options = Options::LeftAlone;
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(members)
    }
}
