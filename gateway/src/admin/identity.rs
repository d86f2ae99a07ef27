//! Tokens, key sets and certificates as they stand: until when each is good, and why it could not be renewed. None of
//! them is shown.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{
    auth::{jwt, shown::Shown, token},
    clock::Timestamp,
    config::compiled::{CertificateName, KeysAt},
    server::{Shared, tls},
};

#[derive(Serialize)]
pub(super) struct Identity {
    tokens: Vec<TokenStatus>,
    key_sets: Vec<KeySetStatus>,
    listeners: Vec<ListenerStatus>,
}

#[derive(Serialize)]
struct TokenStatus {
    credential: String,
    ready: bool,
    expires_in_seconds: Option<f64>,
    failures: u32,
    /// Why the last fetch failed.
    error: Option<String>,
    next_try_in_seconds: f64,
}

#[derive(Serialize)]
struct KeySetStatus {
    url: String,
    keys: usize,
    /// `fetched` from the issuer, or `kept` by an earlier process.
    source: Option<&'static str>,
    age_seconds: Option<f64>,
    error: Option<String>,
}

#[derive(Serialize)]
struct ListenerStatus {
    listen: String,
    certificates: Vec<CertificateStatus>,
    /// Why what the files hold now is not in use.
    problem: Option<String>,
}

#[derive(Serialize)]
struct CertificateStatus {
    file: String,
    names: Vec<String>,
    /// Seconds since 1970.
    not_after: u64,
    sha256: String,
}

impl Identity {
    pub(super) fn of(shared: &Shared, now: Timestamp, unix_now: Duration) -> Self {
        let snapshot = shared.snapshot.load();
        let mut tokens = BTreeMap::new();
        for upstream in &snapshot.upstreams {
            if let Shown::Token(token) = &upstream.shown {
                let name = upstream.endpoint.credential.name.as_str();
                tokens.insert(name, token.report(now));
            }
        }
        let listeners = snapshot.config.listen.iter().zip(&shared.tls);
        Self {
            tokens: tokens.into_iter().map(TokenStatus::of).collect(),
            key_sets: shared
                .auth
                .key_sets
                .reports(unix_now)
                .into_iter()
                .map(KeySetStatus::of)
                .collect(),
            listeners: listeners
                .filter_map(|(listen, tls)| {
                    let report = tls.as_ref()?.report();
                    Some(ListenerStatus {
                        listen: listen.address.to_string(),
                        certificates: report
                            .certificates
                            .iter()
                            .map(CertificateStatus::of)
                            .collect(),
                        problem: report.problem.clone(),
                    })
                })
                .collect(),
        }
    }
}

impl TokenStatus {
    fn of((credential, report): (&str, token::Report)) -> Self {
        Self {
            credential: credential.to_owned(),
            ready: report.expires_in.is_some(),
            expires_in_seconds: report.expires_in.map(|left| left.as_secs_f64()),
            failures: report.failures,
            error: report.error,
            next_try_in_seconds: report.next_try_in.as_secs_f64(),
        }
    }
}

impl KeySetStatus {
    fn of(report: jwt::Report) -> Self {
        let (KeysAt::Discovery(url) | KeysAt::Jwks(url)) = &report.at;
        Self {
            url: url.as_ref().to_owned(),
            keys: report.keys,
            source: report.source.map(|source| match source {
                jwt::Source::Fetched => "fetched",
                jwt::Source::Persisted => "kept",
            }),
            age_seconds: report.age.map(|age| age.as_secs_f64()),
            error: report.error.map(|error| error.as_ref().to_owned()),
        }
    }
}

impl CertificateStatus {
    fn of(shown: &tls::Shown) -> Self {
        Self {
            file: shown.file.display().to_string(),
            names: shown.names.iter().map(CertificateName::to_string).collect(),
            not_after: shown.not_after,
            sha256: hex::encode(shown.fingerprint),
        }
    }
}
