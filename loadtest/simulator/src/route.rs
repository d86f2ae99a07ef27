//! Which operation a path means and where its deployment stands: path, query or body. Pure.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::resource::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `/openai/…` with `api-version`.
    Dated,
    /// `/openai/v1/…`.
    V1,
    /// `/v1/…` of a plain OpenAI server.
    Plain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Chat,
    Completions,
    Embeddings,
    Images,
    Speech,
    Transcriptions,
    Responses,
    /// `GET`, `DELETE`, `POST …/cancel` or `GET …/input_items` of a stored response.
    StoredResponse {
        id: String,
        verb: Verb,
    },
    Models,
    Realtime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Read,
    Delete,
    Cancel,
    InputItems,
}

impl Operation {
    /// The name in the service's messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Chat => "ChatCompletions_Create",
            Self::Completions => "Completions_Create",
            Self::Embeddings => "Embeddings_Create",
            Self::Images => "ImageGenerations_Create",
            Self::Speech => "Speech_Create",
            Self::Transcriptions => "Transcriptions_Create",
            Self::Responses => "Responses_Create",
            Self::StoredResponse { .. } => "Responses_Get",
            Self::Models => "Models_List",
            Self::Realtime => "Realtime_Create",
        }
    }

    pub(crate) fn needs_deployment(&self) -> bool {
        match self {
            Self::Chat
            | Self::Completions
            | Self::Embeddings
            | Self::Images
            | Self::Speech
            | Self::Transcriptions
            | Self::Responses
            | Self::Realtime => true,
            Self::StoredResponse { .. } | Self::Models => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    pub(crate) shape: Shape,
    pub(crate) operation: Operation,
    /// As named by path or query; otherwise the body's `model` names it.
    pub(crate) deployment: Option<Cow<'a, str>>,
}

impl<'a> Route<'a> {
    /// `None` where the resource has no such path.
    pub(crate) fn parse(
        kind: Kind,
        method: &Method,
        path: &'a str,
        query: &'a str,
    ) -> Option<Self> {
        let (shape, rest) = match kind {
            Kind::Openai => (Shape::Plain, path.strip_prefix("/v1/")?),
            Kind::Azure => match path.strip_prefix("/openai/v1/") {
                Some(rest) => (Shape::V1, rest),
                None => (Shape::Dated, path.strip_prefix("/openai/")?),
            },
        };
        if let (Shape::Dated, Some(rest)) = (shape, rest.strip_prefix("deployments/")) {
            let (segment, operation) = rest.split_once('/')?;
            return Some(Self {
                shape,
                operation: model_operation(method, operation)?,
                deployment: Some(decode(segment)),
            });
        }
        let resource_wide = resource_operation(method, rest);
        let operation = match shape {
            Shape::Dated => resource_wide?,
            Shape::V1 | Shape::Plain => resource_wide.or_else(|| model_operation(method, rest))?,
        };
        let in_query = match shape {
            Shape::Dated => "deployment",
            Shape::V1 | Shape::Plain => "model",
        };
        let deployment = (operation == Operation::Realtime).then(|| parameter(query, in_query));
        Some(Self {
            shape,
            operation,
            deployment: deployment.flatten(),
        })
    }
}

fn model_operation(method: &Method, path: &str) -> Option<Operation> {
    let operation = match path {
        "chat/completions" => Operation::Chat,
        "completions" => Operation::Completions,
        "embeddings" => Operation::Embeddings,
        "images/generations" | "images/edits" => Operation::Images,
        "audio/speech" => Operation::Speech,
        "audio/transcriptions" | "audio/translations" => Operation::Transcriptions,
        _ => return None,
    };
    (method == Method::POST).then_some(operation)
}

fn resource_operation(method: &Method, path: &str) -> Option<Operation> {
    match path {
        "responses" if method == Method::POST => return Some(Operation::Responses),
        "models" if method == Method::GET => return Some(Operation::Models),
        "realtime" if method == Method::GET => return Some(Operation::Realtime),
        _ => {}
    }
    let (id, tail) = match path.strip_prefix("responses/")?.split_once('/') {
        Some((id, tail)) => (id, Some(tail)),
        None => (path.strip_prefix("responses/")?, None),
    };
    let verb = match (method.as_str(), tail) {
        ("GET", None) => Verb::Read,
        ("DELETE", None) => Verb::Delete,
        ("POST", Some("cancel")) => Verb::Cancel,
        ("GET", Some("input_items")) => Verb::InputItems,
        _ => return None,
    };
    let id = decode(id).into_owned();
    Some(Operation::StoredResponse { id, verb })
}

/// A query parameter, decoded.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| decode(value))
}

fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// `2024-10-21`, with or without `-preview`.
pub(crate) fn is_dated_version(version: &str) -> bool {
    let date = version.strip_suffix("-preview").unwrap_or(version);
    date.len() == 10
        && date.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_names_its_operation_and_deployment() {
        use Operation::{Chat, Embeddings, Realtime, Responses};
        let cases = [
            (
                Kind::Azure,
                "/openai/deployments/a%20b%2Fc/chat/completions",
                "",
                Some((Shape::Dated, Chat, Some("a b/c"))),
            ),
            (
                Kind::Azure,
                "/openai/v1/embeddings",
                "",
                Some((Shape::V1, Embeddings, None)),
            ),
            (
                Kind::Azure,
                "/openai/responses",
                "",
                Some((Shape::Dated, Responses, None)),
            ),
            (Kind::Azure, "/openai/chat/completions", "", None),
            (Kind::Azure, "/openai/images/edits", "", None),
            (Kind::Azure, "/openai/deployments/a/batches", "", None),
            (Kind::Azure, "/v1/chat/completions", "", None),
            (
                Kind::Openai,
                "/v1/chat/completions",
                "",
                Some((Shape::Plain, Chat, None)),
            ),
            (Kind::Openai, "/openai/v1/chat/completions", "", None),
        ];
        for (kind, path, query, expected) in cases {
            let route = Route::parse(kind, &Method::POST, path, query)
                .map(|r| (r.shape, r.operation, r.deployment));
            let expected =
                expected.map(|(shape, operation, name)| (shape, operation, name.map(Cow::from)));
            assert_eq!(route, expected, "{path}");
        }
        let realtime = Route::parse(
            Kind::Azure,
            &Method::GET,
            "/openai/realtime",
            "api-version=x&deployment=rt%2D1",
        );
        let realtime = realtime.unwrap();
        assert_eq!(
            (realtime.operation, realtime.deployment.as_deref()),
            (Realtime, Some("rt-1"))
        );
    }

    #[test]
    fn a_dated_version_is_a_date() {
        for (version, dated) in [
            ("2024-10-21", true),
            ("2025-04-01-preview", true),
            ("v1", false),
            ("2024-1-1", false),
        ] {
            assert_eq!(is_dated_version(version), dated, "{version}");
        }
    }
}
