//! The same strings over HTTP, under `/_sim/`. These requests count nowhere.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::body::AnswerBody;
use crate::control::Control;
use crate::faults::Fault;
use crate::resource::Limits;
use crate::state::Shared;

pub(crate) const PREFIX: &str = "/_sim/";

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Fault),
    Many(Vec<Fault>),
}

/// `{"deployment":"gpt-4o","rpm":60}`; without a deployment, all of them.
#[derive(Deserialize)]
struct NewLimits {
    #[serde(default)]
    deployment: Option<String>,
    #[serde(default)]
    rpm: Option<u64>,
    #[serde(default)]
    tpm: Option<u64>,
    #[serde(default)]
    burst_window_s: Option<u64>,
    #[serde(default)]
    ptu: bool,
}

pub(crate) async fn handle(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let control = Control::new(Arc::clone(shared));
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return reply(StatusCode::BAD_REQUEST, "{}".to_owned());
    };
    let outcome = act(
        &control,
        parts.method.as_str(),
        parts.uri.path(),
        &body.to_bytes(),
    );
    conclude(outcome)
}

/// The answer to a control request; `None` is one that does not exist.
pub(crate) fn conclude(outcome: Result<Option<String>, serde_json::Error>) -> Response<AnswerBody> {
    match outcome {
        Ok(Some(body)) => reply(StatusCode::OK, body),
        Ok(None) => reply(
            StatusCode::NOT_FOUND,
            r#"{"error":"no such control"}"#.to_owned(),
        ),
        Err(error) => {
            let body = serde_json::json!({ "error": error.to_string() });
            reply(StatusCode::BAD_REQUEST, body.to_string())
        }
    }
}

/// The JSON to answer, or `None` where there is nothing of that name.
fn act(
    control: &Control,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<Option<String>, serde_json::Error> {
    let done = Ok(Some("{}".to_owned()));
    match (method, path.strip_prefix(PREFIX).unwrap_or("")) {
        ("POST", "faults") => {
            match serde_json::from_slice(body)? {
                OneOrMany::One(fault) => control.inject(fault),
                OneOrMany::Many(faults) => {
                    faults.into_iter().for_each(|fault| control.inject(fault))
                }
            }
            done
        }
        ("DELETE", "faults") => {
            control.clear_faults();
            done
        }
        ("POST", "refuse-tokens") => {
            control.refuse_tokens(true);
            done
        }
        ("DELETE", "refuse-tokens") => {
            control.refuse_tokens(false);
            done
        }
        ("POST", "limits") => {
            let new: NewLimits = serde_json::from_slice(body)?;
            let limits = Limits {
                rpm: new.rpm,
                tpm: new.tpm,
                burst_window_s: new.burst_window_s,
                ptu: new.ptu,
            };
            control.set_limits(new.deployment.as_deref(), &limits);
            done
        }
        ("GET", "stats") => serde_json::to_string(&control.stats()).map(Some),
        ("GET", other) => {
            let Some(name) = other.strip_prefix("last/") else {
                return Ok(None);
            };
            let last = control.last(&percent_decode_str(name).decode_utf8_lossy());
            last.map(|last| serde_json::to_string(&last)).transpose()
        }
        _ => Ok(None),
    }
}

fn reply(status: StatusCode, body: String) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(body.into()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
