//! How a request for a stream comes to ask for its tokens: `stream_options.include_usage`, in whatever way the client
//! has left it out; and how many it has itself, where nobody will tell.

use memchr::{memchr, memmem};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Edit, json::span};

/// The edit that makes `options`, the value of `stream_options`, ask for tokens. `members`: behind the opening brace
/// of the body, which has others. `None` where the client asks already, or wrote what a provider must refuse.
pub(super) fn edit(body: &[u8], members: usize, options: Option<&RawValue>) -> Option<Edit> {
    #[derive(Deserialize)]
    struct Options<'a> {
        #[serde(borrow, default, deserialize_with = "even_null")]
        include_usage: Option<&'a RawValue>,
    }

    let Some(options) = options else {
        let member: &[u8] = b"\"stream_options\":{\"include_usage\":true},";
        return Some(Edit::insert(members, member));
    };
    let replace = |raw, text: &'static [u8]| Edit {
        span: span(body, raw),
        text: text.into(),
    };
    if options.get() == "null" {
        return Some(replace(options, b"{\"include_usage\":true}"));
    }
    let inside = options.get().strip_prefix('{')?;
    // Fails where it is there twice.
    let present = serde_json::from_str::<Options<'_>>(options.get()).ok()?;
    match present.include_usage {
        Some(value) => matches!(value.get(), "false" | "null").then(|| replace(value, b"true")),
        None => {
            let text: &[u8] = if inside.trim_start() == "}" {
                b"\"include_usage\":true"
            } else {
                b"\"include_usage\":true,"
            };
            Some(Edit::insert(span(body, options).start + 1, text))
        }
    }
}

/// A guess at the tokens of a prompt: a quarter of the body's bytes, images and files inside it left out.
#[must_use]
pub fn estimated_prompt_tokens(body: &[u8]) -> u64 {
    const BYTES_PER_TOKEN: u64 = 4;
    const DATA_URL: &[u8] = b";base64,";
    let (mut rest, mut bytes) = (body, body.len() as u64);
    while let Some(at) = memmem::find(rest, DATA_URL) {
        let data = &rest[at + DATA_URL.len()..];
        let end = memchr(b'"', data).unwrap_or(data.len());
        bytes -= end as u64;
        rest = &data[end..];
    }
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// A `null` that is there has a place, unlike one that is not.
fn even_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use crate::{
        api::body::{Changes, estimated_prompt_tokens, inspect_json, rewritten},
        ids::DeploymentName,
    };

    fn asking(body: &str, model: Option<&str>) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let facts = inspect_json(&body).unwrap();
        let model = model.map(|name| DeploymentName::new(name).unwrap());
        let changes = Changes {
            model: model.as_ref(),
            usage: true,
        };
        let asked = rewritten(&body, &facts, changes);
        assert_eq!(asked != body || model.is_some(), facts.can_ask_for_usage());
        String::from_utf8(asked.to_vec()).unwrap()
    }

    #[test]
    fn a_stream_comes_to_ask_for_its_tokens_and_nothing_else_moves() {
        for (body, expected) in [
            (
                r#"{"stream":true,"a":1.0}"#,
                r#"{"stream_options":{"include_usage":true},"stream":true,"a":1.0}"#,
            ),
            (
                " {\n\"stream\" : true}",
                " {\"stream_options\":{\"include_usage\":true},\n\"stream\" : true}",
            ),
            (
                r#"{"stream":true,"stream_options": null }"#,
                r#"{"stream":true,"stream_options": {"include_usage":true} }"#,
            ),
            (
                r#"{"stream_options":{ },"stream":true}"#,
                r#"{"stream_options":{"include_usage":true },"stream":true}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"include_obfuscation":false}}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"a":{}, "include_usage" : false }}"#,
                r#"{"stream":true,"stream_options":{"a":{}, "include_usage" : true }}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"include\u005fusage":null}}"#,
                r#"{"stream":true,"stream_options":{"include\u005fusage":true}}"#,
            ),
        ] {
            assert_eq!(asking(body, None), expected, "{body}");
            let value: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(value["stream_options"]["include_usage"], true);
        }
    }

    #[test]
    fn a_prompt_is_guessed_by_its_bytes_without_images() {
        for (body, expected) in [
            ("", 0),
            ("12345", 2),
            (r#"{"url":"data:image/png;base64,AAAAAAAAAAAA"}"#, 8),
            (r#"{"url":"data:image/png;base64,"}"#, 8),
            ("data:;base64,AAAA", 4),
            (r#";base64,A";base64,A"#, 5),
        ] {
            assert_eq!(estimated_prompt_tokens(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn what_asks_already_or_must_not_be_touched_is_left_alone() {
        for body in [
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":false}"#,
            r#"{"messages":[]}"#,
            r#"{}"#,
            r#"{"stream":true,"data_sources":[{}]}"#,
            r#"{"data_sources":[],"stream_options":{},"stream":true}"#,
            r#"{"stream":true,"stream_options":{},"stream_options":{}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":false,"include_usage":false}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":"yes"}}"#,
            r#"{"stream":true,"stream_options":[false]}"#,
            r#"{"stream":true,"stream_options":true}"#,
        ] {
            assert_eq!(asking(body, None), body);
        }
    }

    #[test]
    fn the_model_and_the_question_change_together() {
        for (body, expected) in [
            (
                r#"{"stream":true}"#,
                r#"{"model":"d","stream_options":{"include_usage":true},"stream":true}"#,
            ),
            (
                r#"{"stream_options":{},"stream":true,"model":"m"}"#,
                r#"{"stream_options":{"include_usage":true},"stream":true,"model":"d"}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options":null}"#,
                r#"{"model":"d","stream":true,"stream_options":{"include_usage":true}}"#,
            ),
        ] {
            assert_eq!(asking(body, Some("d")), expected, "{body}");
        }
    }
}
