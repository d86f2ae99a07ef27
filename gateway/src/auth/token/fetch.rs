//! One fetch of a token, with no cache and no second try.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::RequestBuilder;

use super::{
    answer::{self, Complaint, Unusable},
    entra, managed_identity,
    schedule::Retry,
};
use crate::{
    auth::http::{HttpError, exchange},
    clock,
    config::compiled::{Flow, TokenSource},
    secret::Secret,
};

/// For one request. The Instance Metadata Service is known to take seconds.
const TIMEOUT: Duration = Duration::from_secs(15);
/// For all of a fetch: a file may be on a disk that hangs.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(60);
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A token, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub token: Secret,
    pub lifetime: Duration,
    /// What the service advises.
    pub refresh_in: Option<Duration>,
    /// `IMDS at http://169.254.169.254`
    pub answered_by: String,
}

/// Why there is no token: who was asked, and what would be right. Never holds a secret, even if the service sends it
/// back.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{asked} {error}{}", and(.hint))]
    NoAnswer {
        asked: String,
        error: HttpError,
        hint: Option<&'static str>,
    },
    #[error("{asked} answered {status}, {complaint}{}", and(.hint))]
    Refused {
        asked: String,
        status: u16,
        complaint: String,
        hint: Option<&'static str>,
        retry: Retry,
    },
    #[error("{asked} answered without a token that can be used: {error}")]
    NoToken { asked: String, error: Unusable },
    #[error("{what} {path} cannot be read: {error}{}", and(.hint))]
    File {
        what: &'static str,
        path: String,
        error: io::Error,
        hint: Option<&'static str>,
    },
    /// What was asked for, or what came back, is of no use, and the same question has the same answer.
    #[error("{asked} {problem}")]
    Wrong { asked: String, problem: String },
    #[error("nothing came of it within {} s", WHOLE_TIMEOUT.as_secs())]
    TooLong,
}

impl FetchError {
    /// When to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Refused { retry, .. } => *retry,
            Self::Wrong { .. } => Retry::Permanent,
            Self::NoAnswer { .. } | Self::NoToken { .. } | Self::File { .. } | Self::TooLong => {
                Retry::Backoff
            }
        }
    }
}

fn and(hint: &Option<&'static str>) -> String {
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
}

/// Asks `source` once.
///
/// # Errors
/// There is no token. The text is for people; [`FetchError::retry`] for what follows.
pub async fn fetch(source: &TokenSource) -> Result<Fetched, FetchError> {
    let flow = async {
        match &source.flow {
            Flow::ManagedIdentity { platform, identity } => {
                managed_identity::fetch(platform, identity, &source.scope).await
            }
            Flow::WorkloadIdentity {
                authority,
                tenant,
                client_id,
                token_file,
            } => {
                let assertion = entra::assertion(token_file).await?;
                let application = entra::Application {
                    authority,
                    tenant,
                    client_id,
                };
                let proof = entra::Proof::Assertion(&assertion);
                entra::fetch(application, proof, &source.scope).await
            }
            Flow::ClientSecret {
                authority,
                tenant,
                client_id,
                secret,
            } => {
                let application = entra::Application {
                    authority,
                    tenant,
                    client_id,
                };
                let proof = entra::Proof::Secret(secret);
                entra::fetch(application, proof, &source.scope).await
            }
        }
    };
    tokio::time::timeout(WHOLE_TIMEOUT, flow)
        .await
        .unwrap_or(Err(FetchError::TooLong))
}

/// A question to a token service, and what is known about its wrong answers.
pub(super) struct Question {
    /// `IMDS at http://169.254.169.254`
    pub(super) asked: String,
    pub(super) unreachable: Option<&'static str>,
    pub(super) hint: fn(&Complaint) -> Option<&'static str>,
}

pub(super) type Answer = (StatusCode, HeaderMap, Bytes);

impl Question {
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Answer, FetchError> {
        let answer = exchange(request, BODY_BYTES_MAX, TIMEOUT).await;
        answer.map_err(|error| FetchError::NoAnswer {
            asked: self.asked.clone(),
            error,
            hint: self.unreachable,
        })
    }

    /// `sent` are the secrets of the request.
    pub(super) fn conclude(self, answer: &Answer, sent: &[&str]) -> Result<Fetched, FetchError> {
        let (status, headers, body) = answer;
        let unix_now = clock::unix_now();
        if *status != StatusCode::OK {
            let complaint = answer::complaint(body, sent);
            return Err(FetchError::Refused {
                asked: self.asked,
                status: status.as_u16(),
                hint: (self.hint)(&complaint),
                complaint: complaint.to_string(),
                retry: answer::retry(*status, headers, unix_now),
            });
        }
        match answer::grant(body, unix_now) {
            Ok(grant) => Ok(Fetched {
                token: grant.token,
                lifetime: grant.lifetime,
                refresh_in: grant.refresh_in,
                answered_by: self.asked,
            }),
            Err(error) => Err(FetchError::NoToken {
                asked: self.asked,
                error,
            }),
        }
    }

    pub(super) fn wrong(&self, problem: impl Into<String>) -> FetchError {
        FetchError::Wrong {
            asked: self.asked.clone(),
            problem: problem.into(),
        }
    }
}
