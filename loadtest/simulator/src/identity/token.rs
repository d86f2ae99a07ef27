//! Entra's token endpoint, for applications: a secret or a federated token against an access token. The numbers
//! of its answers are integers.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::answer::Answer;
use super::options::IdentityClient;
use super::state::State;
use crate::text::fresh_id;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(super) fn token(
    state: &State,
    tenant: &str,
    parts: &Parts,
    body: &[u8],
) -> Result<Answer, Answer> {
    known_tenant(state, tenant)?;
    let content_type = parts.headers.get(CONTENT_TYPE);
    let is_form = content_type.is_some_and(|value| {
        value
            .as_bytes()
            .starts_with(b"application/x-www-form-urlencoded")
    });
    let body = String::from_utf8_lossy(body);
    let form = Form(if is_form { &body } else { "" });
    if form.required("grant_type")? != "client_credentials" {
        let message = "The provided grant_type is not supported";
        return Err(refused(400, "unsupported_grant_type", 70003, message));
    }
    let id = form.required("client_id")?;
    let clients = &state.options.clients;
    let Some(client) = clients.iter().find(|client| client.client_id == id) else {
        let message =
            format!("Application with identifier '{id}' was not found in the directory '{tenant}'");
        return Err(refused(400, "unauthorized_client", 700_016, &message));
    };
    authenticated(state, client, &form)?;
    let scope = form.required("scope")?;
    let Some(resource) = scope
        .strip_suffix("/.default")
        .filter(|left| !left.is_empty())
    else {
        let message = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier (application ID URI)"
        );
        return Err(refused(400, "invalid_scope", 1_002_012, &message));
    };
    let (token, lifetime) = state.token(client, resource);
    let seconds = lifetime.as_secs();
    let answer = json!({
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": token,
    });
    Ok(Answer::json(200, &answer))
}

/// Whether it is the tenant of this simulator.
pub(super) fn known_tenant(state: &State, tenant: &str) -> Result<(), Answer> {
    if tenant.eq_ignore_ascii_case(&state.options.tenant) {
        return Ok(());
    }
    let message =
        format!("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID");
    Err(refused(400, "invalid_request", 90002, &message))
}

/// What Entra answers for a fault that names no body.
pub(super) fn documented(status: u16) -> Answer {
    match status {
        401 => refused(
            401,
            "invalid_client",
            7_000_215,
            "Invalid client secret provided",
        ),
        429 | 500.. => {
            let message = "A transient error has occurred. Please try again";
            refused(status, "temporarily_unavailable", 90033, message)
        }
        _ => refused(status, "invalid_request", 90014, "The request is not valid"),
    }
}

fn authenticated(state: &State, client: &IdentityClient, form: &Form<'_>) -> Result<(), Answer> {
    if let Some(assertion) = form.field("client_assertion") {
        if form.required("client_assertion_type")? != ASSERTION_TYPE {
            let message = "The provided client_assertion_type is not supported";
            return Err(refused(400, "invalid_request", 50_027, message));
        }
        let accepted = &state.options.federated_tokens;
        let is_accepted = match accepted.as_slice() {
            [] => !assertion.is_empty(),
            accepted => accepted.contains(&assertion),
        };
        return if is_accepted {
            Ok(())
        } else {
            let message = "No matching federated identity record found for presented assertion";
            Err(refused(401, "invalid_client", 700_213, message))
        };
    }
    match form.field("client_secret") {
        None => {
            let message = "The request body must contain the following parameter: 'client_assertion' or \
                           'client_secret'";
            Err(refused(401, "invalid_client", 7_000_218, message))
        }
        Some(secret) if client.secret.as_deref() == Some(secret.as_ref()) => Ok(()),
        Some(_) => {
            let message = format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                 value, not the client secret ID, for a secret added to app '{}'",
                client.client_id
            );
            Err(refused(401, "invalid_client", 7_000_215, &message))
        }
    }
}

/// A body of `application/x-www-form-urlencoded`.
struct Form<'a>(&'a str);

impl Form<'_> {
    fn field(&self, name: &str) -> Option<String> {
        form_field(self.0, name)
    }

    fn required(&self, name: &str) -> Result<String, Answer> {
        self.field(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                let message =
                    format!("The request body must contain the following parameter: '{name}'");
                refused(400, "invalid_request", 900_144, &message)
            })
    }
}

/// The first field of that name, decoded.
pub(super) fn form_field(form: &str, name: &str) -> Option<String> {
    let decode = |text: &str| {
        let spaced: Cow<'_, str> = text.replace('+', " ").into();
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    form.split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
}

/// `code` is the number of an `AADSTS…` message.
fn refused(status: u16, error: &str, code: u32, message: &str) -> Answer {
    let (trace, correlation) = (fresh_id(""), fresh_id(""));
    let description =
        format!("AADSTS{code}: {message}. Trace ID: {trace} Correlation ID: {correlation}");
    Answer::json(
        status,
        &json!({
            "error": error,
            "error_description": description,
            "error_codes": [code],
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        }),
    )
}
