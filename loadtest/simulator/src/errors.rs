//! Refusals with the documented bodies, by status and by the reasons the service itself knows.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;

use crate::limits::{Quota, Reason};
use crate::resource::Kind;
use crate::text::quoted;

/// A refusal, ready to send.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    pub(crate) wait: Option<Duration>,
    pub(crate) quota: Quota,
}

impl Refusal {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            body: body.into(),
            wait: None,
            quota: Quota::Unlimited,
        }
    }
}

pub(crate) fn resource_not_found() -> Refusal {
    coded(404, "404", "Resource not found")
}

pub(crate) fn api_version_not_supported() -> Refusal {
    coded(400, "BadRequest", "API version not supported")
}

pub(crate) fn unauthorized(kind: Kind) -> Refusal {
    match kind {
        Kind::Azure => coded(
            401,
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key \
             for an active subscription and use a correct regional API endpoint for your resource.",
        ),
        Kind::Openai => typed(
            401,
            "invalid_request_error",
            None,
            Some("invalid_api_key"),
            "Incorrect API key provided.",
        ),
    }
}

pub(crate) fn deployment_not_found(kind: Kind, name: &str) -> Refusal {
    match kind {
        Kind::Azure => coded(
            404,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist. If you created the deployment within the last 5 \
             minutes, please wait a moment and try again.",
        ),
        Kind::Openai => {
            let message =
                format!("The model `{name}` does not exist or you do not have access to it.");
            typed(
                404,
                "invalid_request_error",
                None,
                Some("model_not_found"),
                &message,
            )
        }
    }
}

pub(crate) fn response_not_found(id: &str) -> Refusal {
    let message = format!("Response with id '{id}' not found.");
    typed(404, "invalid_request_error", None, None, &message)
}

pub(crate) fn previous_response_not_found(id: &str) -> Refusal {
    let message = format!("Previous response with id '{id}' not found.");
    let (param, code) = (
        Some("previous_response_id"),
        Some("previous_response_not_found"),
    );
    typed(400, "invalid_request_error", param, code, &message)
}

pub(crate) fn missing_parameter(name: &str) -> Refusal {
    let message = format!("Missing required parameter: '{name}'.");
    let code = Some("missing_required_parameter");
    typed(400, "invalid_request_error", Some(name), code, &message)
}

pub(crate) fn malformed(problem: &str) -> Refusal {
    let message = format!("We could not parse the JSON body of your request: {problem}");
    typed(400, "invalid_request_error", None, None, &message)
}

pub(crate) fn too_large() -> Refusal {
    coded(413, "413", "Request body too large")
}

pub(crate) fn content_filtered() -> Refusal {
    Refusal::new(
        400,
        concat!(
            r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content "#,
            r#"management policy. Please modify your prompt and retry. To learn more about our content filtering "#,
            r#"policies please read our documentation: https://go.microsoft.com/fwlink/?linkid=2198766","type":null,"#,
            r#""param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","#,
            r#""content_filter_result":{"hate":{"filtered":true,"severity":"high"},"jailbreak":{"filtered":false,"#,
            r#""detected":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"#,
            r#""severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}}}}"#
        ),
    )
}

/// What a limit answers; `operation` is the service's name of the call, such as `ChatCompletions_Create`.
pub(crate) fn throttled(
    kind: Kind,
    reason: Reason,
    wait: Duration,
    operation: &str,
    api_version: &str,
) -> Refusal {
    let seconds = whole_seconds(wait);
    let what = match reason {
        Reason::Calls => "call rate limit",
        Reason::Tokens => "token rate limit",
        Reason::Utilization => "utilization limit",
    };
    let mut refusal = match (kind, reason) {
        (Kind::Azure, Reason::Calls | Reason::Tokens) => coded(
            429,
            "429",
            &format!(
                "Requests to the {operation} Operation under Azure OpenAI API version {api_version} have exceeded \
                 {what} of your current OpenAI S0 pricing tier. Please retry after {seconds} seconds. Please go here: \
                 https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."
            ),
        ),
        (Kind::Azure, Reason::Utilization) => coded(
            429,
            "429",
            "The provisioned-managed deployment is above 100% utilization. Please retry after the time given in the \
             retry-after-ms header.",
        ),
        (Kind::Openai, _) => {
            let counted = if reason == Reason::Calls {
                "requests"
            } else {
                "tokens"
            };
            let message =
                format!("Rate limit reached on {counted} per min. Please try again in {seconds}s.");
            typed(429, counted, None, Some("rate_limit_exceeded"), &message)
        }
    };
    refusal.wait = Some(wait);
    refusal
}

/// The documented refusal of `status`, for faults that name no body.
pub(crate) fn documented(kind: Kind, status: u16) -> Refusal {
    match status {
        400 => typed(400, "invalid_request_error", None, None, "Invalid request."),
        401 => unauthorized(kind),
        403 => coded(
            403,
            "403",
            "Access denied due to Virtual Network/Firewall rules.",
        ),
        404 => deployment_not_found(kind, ""),
        408 => coded(408, "Timeout", "The operation was timeout."),
        424 => coded(424, "FailedDependency", "The model returned an error."),
        429 => {
            let message = "The service is temporarily unable to process your request. Please try again later.";
            coded(429, "429", message)
        }
        500 => {
            let message =
                "The server had an error while processing your request. Sorry about that!";
            coded(500, "InternalServerError", message)
        }
        503 => {
            let message = "The service is temporarily unable to process your request. Please try again later.";
            coded(503, "ServiceUnavailable", message)
        }
        other => coded(
            other,
            &other.to_string(),
            "The request could not be served.",
        ),
    }
}

/// Rounded up, at least 1.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis()
        .div_ceil(1000)
        .max(1)
        .try_into()
        .unwrap_or(u64::MAX)
}

fn coded(status: u16, code: &str, message: &str) -> Refusal {
    let body = format!(
        r#"{{"error":{{"code":{},"message":{}}}}}"#,
        quoted(code),
        quoted(message)
    );
    Refusal::new(status, body)
}

fn typed(
    status: u16,
    kind: &str,
    param: Option<&str>,
    code: Option<&str>,
    message: &str,
) -> Refusal {
    let or_null = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), quoted);
    let mut body = String::from(r#"{"error":"#);
    write!(
        body,
        r#"{{"message":{},"type":{},"param":{},"code":{}}}}}"#,
        quoted(message),
        quoted(kind),
        or_null(param),
        or_null(code)
    )
    .expect("writing to a String cannot fail");
    Refusal::new(status, body)
}
