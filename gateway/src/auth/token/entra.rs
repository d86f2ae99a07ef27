//! Tokens from Entra itself: the client credentials grant, proved by a secret or by the token of somebody whom the
//! application trusts (workload identity).
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use std::path::Path;

use super::{
    answer::Complaint,
    fetch::{FetchError, Fetched, Question},
};
use crate::{
    auth::{files, http},
    secret::Secret,
};

const ASSERTION_BYTES_MAX: u64 = 16 * 1024;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Clone, Copy)]
pub(super) struct Application<'a> {
    pub(super) authority: &'a str,
    pub(super) tenant: &'a str,
    pub(super) client_id: &'a str,
}

#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    Secret(&'a Secret),
    Assertion(&'a Secret),
}

/// The token of the workload, which is replaced long before it expires: read for each fetch.
pub(super) async fn assertion(file: &Path) -> Result<Secret, FetchError> {
    let unreadable = |error| FetchError::File {
        what: "the token file of the workload identity",
        path: file.display().to_string(),
        error,
        hint: None,
    };
    let bytes = files::read_limited(file, ASSERTION_BYTES_MAX)
        .await
        .map_err(unreadable)?;
    match std::str::from_utf8(&bytes).map(str::trim) {
        Ok(text) if !text.is_empty() => Ok(Secret::new(text.to_owned())),
        Ok(_) | Err(_) => {
            let error = std::io::Error::other("it holds no token");
            Err(unreadable(error))
        }
    }
}

pub(super) async fn fetch(
    application: Application<'_>,
    proof: Proof<'_>,
    scope: &str,
) -> Result<Fetched, FetchError> {
    let Application {
        authority,
        tenant,
        client_id,
    } = application;
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("scope", scope),
    ];
    let secret = match proof {
        Proof::Secret(secret) => {
            form.push(("client_secret", secret.expose()));
            secret
        }
        Proof::Assertion(assertion) => {
            form.push(("client_assertion_type", ASSERTION_TYPE));
            form.push(("client_assertion", assertion.expose()));
            assertion
        }
    };
    let question = Question {
        asked: format!("Entra at {authority}/{tenant}"),
        unreachable: None,
        hint,
    };
    let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
    let answer = question
        .ask(http::client_for(&url).post(url).form(&form))
        .await?;
    question.conclude(&answer, &[secret.expose()])
}

/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
fn hint(complaint: &Complaint) -> Option<&'static str> {
    let code = complaint.text.strip_prefix("AADSTS")?;
    let code = code.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(match code {
        "7000215" => "give the value of the client secret, not its id",
        "7000222" => "the client secret has expired: make a new one",
        "700016" => "client_id is not an application of this tenant",
        "90002" | "900023" => "no such tenant at this authority",
        "70011" | "500011" | "1002012" => "scope names no resource that is known in this tenant",
        "70021" | "700211" | "700212" | "700213" => {
            "the application trusts another issuer, subject or audience than the token file has"
        }
        "700024" => "the token file is out of date, or the clock of this machine is wrong",
        _ => return None,
    })
}
