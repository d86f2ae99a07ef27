//! Reads what a client wants from the request line: which operation, in which of the three ways to address
//! it, and the deployment where the URL names it. Knows nothing of configured models or endpoints: whether a
//! name exists is asked later.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use super::{error::ApiError, query};

/// What one request to a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    ChatCompletions,
    Completions,
    Embeddings,
    Responses,
    ImagesGenerations,
    ImagesEdits,
    AudioTranscriptions,
    AudioTranslations,
    AudioSpeech,
    Moderations,
    Realtime,
}

impl Operation {
    pub const ALL: [Self; 11] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::ImagesGenerations,
        Self::ImagesEdits,
        Self::AudioTranscriptions,
        Self::AudioTranslations,
        Self::AudioSpeech,
        Self::Moderations,
        Self::Realtime,
    ];

    /// The end of the path, the same in every shape. Serves as the word for metrics and logs too.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat/completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::ImagesGenerations => "images/generations",
            Self::ImagesEdits => "images/edits",
            Self::AudioTranscriptions => "audio/transcriptions",
            Self::AudioTranslations => "audio/translations",
            Self::AudioSpeech => "audio/speech",
            Self::Moderations => "moderations",
            Self::Realtime => "realtime",
        }
    }

    /// Whether clients may address the operation in this shape.
    #[must_use]
    pub const fn has_shape(self, shape: Shape) -> bool {
        match self {
            Self::ChatCompletions
            | Self::Completions
            | Self::Embeddings
            | Self::ImagesGenerations
            | Self::AudioTranscriptions
            | Self::AudioTranslations
            | Self::AudioSpeech => matches!(shape, Shape::Dated | Shape::V1),
            // The npm SDK cannot see the model inside a form and leaves the deployment out.
            Self::ImagesEdits => true,
            Self::Responses | Self::Realtime => matches!(shape, Shape::DatedResource | Shape::V1),
            Self::Moderations => matches!(shape, Shape::V1),
        }
    }

    const fn method(self) -> Method {
        match self {
            Self::Realtime => Method::GET,
            Self::ChatCompletions
            | Self::Completions
            | Self::Embeddings
            | Self::Responses
            | Self::ImagesGenerations
            | Self::ImagesEdits
            | Self::AudioTranscriptions
            | Self::AudioTranslations
            | Self::AudioSpeech
            | Self::Moderations => Method::POST,
        }
    }
}

/// How the client addressed the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `/openai/deployments/{deployment}/{operation}?api-version=…`
    Dated,
    /// `/openai/{operation}?api-version=…`, the model in the body, or in the query for realtime.
    DatedResource,
    /// `/openai/v1/{operation}` and `/v1/{operation}`, the model in the body, or in the query for realtime.
    V1,
}

impl Shape {
    pub const ALL: [Self; 3] = [Self::Dated, Self::DatedResource, Self::V1];
}

/// A request that one deployment of a model is to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    pub operation: Operation,
    pub shape: Shape,
    /// The name in the path, or in the query for realtime, decoded. It wins over a `model` in the body, as at
    /// Azure. `None`: the body names the model.
    pub deployment: Option<Cow<'a, str>>,
    /// The client's query, as it came.
    pub query: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'a> {
    Model(Target<'a>),
    ListModels { shape: Shape },
    GetModel { shape: Shape, name: Cow<'a, str> },
}

/// What is served at all, for the client who asked for something else.
const SERVED: &str = "Served are chat/completions, completions, embeddings, responses, images/generations, \
                      images/edits, audio/transcriptions, audio/translations, audio/speech, moderations, \
                      realtime and models.";

const STATEFUL: &str = "It works on state that only one provider resource holds.";

const RESPONSES_WEBSOCKET: &str = "Responses are served over HTTP only: send a POST.";

/// Path families whose requests must go back to the resource that served an earlier one.
const STATEFUL_FAMILIES: [&str; 14] = [
    "assistants",
    "batches",
    "chat/completions/",
    "containers",
    "conversations",
    "evals",
    "files",
    "fine_tuning",
    "realtime/",
    "responses/",
    "threads",
    "uploads",
    "vector_stores",
    "videos",
];

/// Reads the request line. `path` is without the query and not decoded; `upgrade` says whether the client asks
/// for a WebSocket.
///
/// # Errors
/// 404 for what is not served, 405 for a wrong method, 400 for a name that could not be one, for a dated path
/// without `api-version` and for realtime without a WebSocket or a model.
pub fn route<'a>(
    method: &Method,
    path: &'a str,
    query: Option<&'a str>,
    upgrade: bool,
) -> Result<Route<'a>, ApiError> {
    let Some(address) = Address::parse(path) else {
        return Err(ApiError::unsupported_operation(path, SERVED));
    };
    if let Some(route) = models(method, path, &address) {
        return route;
    }
    let shape = address.shape;
    let Some(operation) = Operation::ALL
        .into_iter()
        .find(|operation| operation.path() == address.rest && operation.has_shape(shape))
    else {
        let stateful = STATEFUL_FAMILIES
            .iter()
            .any(|family| address.rest.starts_with(family));
        let reason = if stateful { STATEFUL } else { SERVED };
        return Err(ApiError::unsupported_operation(path, reason));
    };
    // Its model is inside the first frame, so nobody could be chosen at the handshake.
    if operation == Operation::Responses && upgrade && method == Method::GET {
        return Err(ApiError::unsupported_operation(path, RESPONSES_WEBSOCKET));
    }
    let allowed = operation.method();
    if *method != allowed {
        let allow = if allowed == Method::GET {
            "GET"
        } else {
            "POST"
        };
        return Err(ApiError::method_not_allowed(method.as_str(), path, allow));
    }
    let deployment = deployment(operation, &address, query, upgrade)?;
    if shape != Shape::V1 && query::value(query, "api-version").is_none_or(str::is_empty) {
        return Err(ApiError::missing_api_version());
    }
    Ok(Route::Model(Target {
        operation,
        shape,
        deployment,
        query,
    }))
}

/// A path, taken apart.
struct Address<'a> {
    shape: Shape,
    deployment: Option<&'a str>,
    /// Behind the prefix, without one `/` at the end.
    rest: &'a str,
}

impl<'a> Address<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let v1 = path
            .strip_prefix("/openai/v1/")
            .or_else(|| path.strip_prefix("/v1/"));
        if let Some(rest) = v1 {
            return Some(Self {
                shape: Shape::V1,
                deployment: None,
                rest,
            });
        }
        let rest = path.strip_prefix("/openai/")?;
        let Some(rest) = rest.strip_prefix("deployments/") else {
            return Some(Self {
                shape: Shape::DatedResource,
                deployment: None,
                rest,
            });
        };
        let (deployment, rest) = rest.split_once('/')?;
        Some(Self {
            shape: Shape::Dated,
            deployment: Some(deployment),
            rest,
        })
    }
}

/// `None`: the path is not about models.
fn models<'a>(
    method: &Method,
    path: &str,
    address: &Address<'a>,
) -> Option<Result<Route<'a>, ApiError>> {
    let shape = address.shape;
    let rest = address
        .rest
        .strip_prefix("models")
        .filter(|_| shape != Shape::Dated)?;
    let route = if rest.is_empty() {
        Ok(Route::ListModels { shape })
    } else {
        let name = rest.strip_prefix('/')?;
        match plain_name(name) {
            Some(name) => Ok(Route::GetModel { shape, name }),
            None => Err(ApiError::model_not_found(name)),
        }
    };
    if method != Method::GET {
        return Some(Err(ApiError::method_not_allowed(
            method.as_str(),
            path,
            "GET",
        )));
    }
    Some(route)
}

/// The deployment that the URL names; for realtime it must.
fn deployment<'a>(
    operation: Operation,
    address: &Address<'a>,
    query: Option<&'a str>,
    upgrade: bool,
) -> Result<Option<Cow<'a, str>>, ApiError> {
    if operation == Operation::Realtime {
        if !upgrade {
            return Err(ApiError::websocket_required());
        }
        let name =
            query::value(query, realtime_parameter(address.shape)).filter(|name| !name.is_empty());
        let name = name.ok_or_else(ApiError::missing_model)?;
        return match plain_name(name) {
            Some(plain) => Ok(Some(plain)),
            None => Err(ApiError::invalid_deployment(name)),
        };
    }
    let Some(segment) = address.deployment else {
        return Ok(None);
    };
    match plain_name(segment) {
        Some(name) if !name.contains('/') => Ok(Some(name)),
        Some(_) | None => Err(ApiError::invalid_deployment(segment)),
    }
}

/// The query parameter in which realtime names the deployment.
pub(super) const fn realtime_parameter(shape: Shape) -> &'static str {
    match shape {
        Shape::Dated | Shape::DatedResource => "deployment",
        Shape::V1 => "model",
    }
}

/// Decodes once. `None` for what could be read as something else than a name by anyone further on: nothing,
/// dot segments, control characters, backslashes, and a `%` that would be decoded a second time.
fn plain_name(raw: &str) -> Option<Cow<'_, str>> {
    let name = percent_decode_str(raw).decode_utf8().ok()?;
    let odd = name
        .chars()
        .any(|c| c.is_control() || matches!(c, '%' | '\\'));
    let dots = name
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."));
    (!odd && !dots).then_some(name)
}

#[cfg(test)]
mod tests;
