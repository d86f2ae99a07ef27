//! `tokenweir check --auth`: fetches every token and every key set once, and says who answered. Run it as the user and
//! on the machine of the gateway: elsewhere other identities answer.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;

use crate::{
    auth::{
        jwt::KeySets,
        token::{fetch, public_claims},
    },
    clock,
    config::{
        Compiled,
        compiled::{Access, CredentialKind, Issuer, KeysAt, TokenSource},
    },
};

/// For the key set of an issuer, its discovery document included.
const KEYS_LIMIT: Duration = Duration::from_secs(20);

/// What was found, a line or two for each, and whether all of it is good.
pub(super) async fn report(config: &Compiled) -> (String, bool) {
    let mut kinds: BTreeMap<&str, &CredentialKind> = BTreeMap::new();
    for endpoint in &config.endpoints {
        kinds.insert(endpoint.credential.name.as_str(), &endpoint.credential.kind);
    }
    let credentials = kinds
        .into_iter()
        .map(|(name, kind)| async move { (name, credential(kind).await) });
    let issuers = match &config.access {
        Access::Open { .. } => &[],
        Access::Clients(clients) => clients.issuers.as_slice(),
    };
    let key_sets = issuers.iter().enumerate().map(async |(index, issuer)| {
        let names: Vec<&str> = issuer.names.iter().map(AsRef::as_ref).collect();
        let found = key_set(issuer).await;
        (format!("jwt[{index}] ({})", names.join(", ")), found)
    });
    let (credentials, key_sets) = tokio::join!(join_all(credentials), join_all(key_sets));
    let credentials = credentials
        .into_iter()
        .map(|(name, found)| (format!("credentials.{name}"), found));
    let (mut text, mut good) = (String::new(), true);
    for (what, found) in credentials.chain(key_sets) {
        good &= found.is_ok();
        let words = found.unwrap_or_else(|problem| format!("ERROR: {problem}"));
        text += &format!("{what}: {words}\n");
    }
    (text, good)
}

async fn credential(kind: &CredentialKind) -> Result<String, String> {
    match kind {
        CredentialKind::Token(source) => token(source).await,
        CredentialKind::ApiKey(key) => Ok(if key.secondary.is_some() {
            "two keys, nothing to fetch".to_owned()
        } else {
            "a key, nothing to fetch".to_owned()
        }),
        CredentialKind::Bearer(_) => Ok("a fixed token, nothing to fetch".to_owned()),
        CredentialKind::Caller => Ok("the caller's own, nothing to fetch".to_owned()),
        CredentialKind::None => Ok("nothing is sent".to_owned()),
    }
}

async fn token(source: &TokenSource) -> Result<String, String> {
    let fetched = fetch(source).await.map_err(|error| error.to_string())?;
    let minutes = fetched.lifetime.as_secs() / 60;
    let claims = public_claims(&fetched.token).map_or_else(
        || "the token cannot be read, so whom it shows is not known".to_owned(),
        |claims| claims.to_string(),
    );
    Ok(format!(
        "a token for {} h {:02} min from {}\n  {claims}",
        minutes / 60,
        minutes % 60,
        fetched.answered_by
    ))
}

async fn key_set(issuer: &Issuer) -> Result<String, String> {
    let key_sets = KeySets::default();
    let set = key_sets.key_set(&issuer.keys, &issuer.names);
    key_sets.warm_up(KEYS_LIMIT).await;
    let report = set.report(clock::unix_now());
    let url = match &report.at {
        KeysAt::Discovery(url) | KeysAt::Jwks(url) => url,
    };
    match report.error {
        Some(error) => Err(error.as_ref().to_owned()),
        None if report.keys == 0 => Err(format!("{url} did not answer within {KEYS_LIMIT:?}")),
        None => Ok(format!("{} keys by way of {url}", report.keys)),
    }
}
