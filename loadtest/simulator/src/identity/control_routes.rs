//! The same strings over HTTP, under `/_sim/`. These requests count nowhere.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::claims::Version;
use super::control::IdentityControl;
use super::doors::Door;
use super::faults::IdentityFault;
use super::state::State;
use crate::body::AnswerBody;
use crate::control_routes::{PREFIX, conclude};

/// `{"claims":{…}}` signs the claims as they are. With an audience they are added to, or replace, those that a
/// token for it has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    audience: Option<String>,
    /// 1 or 2; by default the one that fits the audience.
    #[serde(default)]
    version: Option<u8>,
    #[serde(default)]
    claims: Map<String, Value>,
}

/// `{"seconds":60}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lifetime {
    seconds: u64,
}

pub(super) fn handle(state: &Arc<State>, parts: &Parts, body: &[u8]) -> Response<AnswerBody> {
    let control = IdentityControl::new(Arc::clone(state));
    conclude(act(&control, parts.method.as_str(), parts.uri.path(), body))
}

/// The JSON to answer, or `None` where there is nothing of that name.
fn act(
    control: &IdentityControl,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<Option<String>, serde_json::Error> {
    let name = path.strip_prefix(PREFIX).unwrap_or("");
    match (method, name.split_once('/').unwrap_or((name, ""))) {
        ("POST", ("faults", door)) => {
            let fault: IdentityFault = serde_json::from_slice(body)?;
            control.inject(named(door)?, fault);
        }
        ("DELETE", ("faults", "")) => control.clear(),
        ("POST", ("lifetime", "")) => {
            let Lifetime { seconds } = serde_json::from_slice(body)?;
            control.set_token_lifetime(Duration::from_secs(seconds));
        }
        ("POST", ("rotate", "")) => control.rotate(),
        ("DELETE", ("old-keys", "")) => control.forget_old_keys(),
        ("POST", ("tokens", "")) => {
            let token = issue(control, serde_json::from_slice(body)?);
            return Ok(Some(json!({ "token": token }).to_string()));
        }
        ("GET", ("stats", "")) => {
            let stats = json!({"requests": control.counts(), "kid": control.current_kid()});
            return Ok(Some(stats.to_string()));
        }
        ("GET", ("last", door)) => {
            let last = control.last(named(door)?);
            return last.map(|last| serde_json::to_string(&last)).transpose();
        }
        _ => return Ok(None),
    }
    Ok(Some("{}".to_owned()))
}

fn issue(control: &IdentityControl, wanted: Wanted) -> String {
    let mut claims = match wanted.audience {
        None => Value::Object(Map::new()),
        Some(audience) => match wanted.version {
            Some(1) => control.claims_v1(&audience),
            Some(_) => control.claims_v2(&audience),
            None => match Version::of(&audience) {
                Version::V1 => control.claims_v1(&audience),
                Version::V2 => control.claims_v2(&audience),
            },
        },
    };
    for (name, value) in wanted.claims {
        claims[name] = value;
    }
    control.issue(claims)
}

/// A door by its name, such as `app_service`.
fn named(door: &str) -> Result<Door, serde_json::Error> {
    serde_json::from_value(door.into())
}
