//! The strings of the puppet: faults, keys, tokens and counts, for whoever runs it in the same process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use serde::Serialize;
use serde_json::Value;

use super::claims::{self, Version};
use super::doors::Door;
use super::faults::IdentityFault;
use super::forge;
use super::options::IdentityClient;
use super::state::State;
use super::token::form_field;
use crate::route::parameter;

#[derive(Clone)]
pub struct IdentityControl {
    state: Arc<State>,
}

/// A call as a door got it.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// In the order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub(super) fn new(parts: &Parts, body: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = parts.headers.iter();
        Self {
            method: parts.method.to_string(),
            target: parts
                .uri
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
            body: text(body),
        }
    }

    /// The first header of that name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        parameter(query, name).map(|value| value.into_owned())
    }

    /// A field of the form, decoded.
    #[must_use]
    pub fn form(&self, name: &str) -> Option<String> {
        form_field(&self.body, name)
    }
}

impl IdentityControl {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// Adds a fault after the ones that a door has already.
    pub fn inject(&self, door: Door, fault: IdentityFault) {
        self.state.inject(door, fault);
    }

    /// Forgets the faults of all doors.
    pub fn clear(&self) {
        self.state.clear();
    }

    /// The calls of a door, the failed ones included.
    #[must_use]
    pub fn requests(&self, door: Door) -> u64 {
        self.state.requests(door)
    }

    pub(super) fn counts(&self) -> BTreeMap<Door, u64> {
        self.state.counts()
    }

    /// Waits until a door has got `calls` calls, from the start on.
    pub async fn requested(&self, door: Door, calls: u64) {
        loop {
            let mut called = std::pin::pin!(self.state.called.notified());
            called.as_mut().enable();
            if self.requests(door) >= calls {
                return;
            }
            called.await;
        }
    }

    /// The last call of a door.
    #[must_use]
    pub fn last(&self, door: Door) -> Option<Seen> {
        self.state.last(door)
    }

    /// How long the tokens issued from now on are good.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        *self.state.lifetime.lock() = lifetime;
    }

    /// Publishes the next key and signs with it. The old ones stay published; after
    /// [`forge::RSA_KEYS`] rotations comes the first key again.
    pub fn rotate(&self) {
        self.state.signing.lock().rotate();
    }

    /// Publishes the current key only.
    pub fn forget_old_keys(&self) {
        self.state.signing.lock().forget_old();
    }

    /// The number of the current key, for [`forge`].
    #[must_use]
    pub fn current_key(&self) -> usize {
        self.state.signing.lock().current()
    }

    #[must_use]
    pub fn current_kid(&self) -> String {
        forge::kid(self.current_key())
    }

    /// Signs claims with the current key, whatever they say.
    #[must_use]
    pub fn issue(&self, claims: Value) -> String {
        self.state.signed(&claims)
    }

    /// The claims of a token of version 1 that the first client gets now: `appid`, and the issuer
    /// [`issuer_v1`](Self::issuer_v1).
    #[must_use]
    pub fn claims_v1(&self, audience: &str) -> Value {
        self.claims(Version::V1, audience)
    }

    /// The same of version 2: `azp`, and the issuer [`issuer_v2`](Self::issuer_v2).
    #[must_use]
    pub fn claims_v2(&self, audience: &str) -> Value {
        self.claims(Version::V2, audience)
    }

    /// `https://sts.windows.net/{tenant}/`: nobody answers there, which is not where the documents are.
    #[must_use]
    pub fn issuer_v1(&self) -> String {
        Version::V1.issuer(&self.state.options.tenant)
    }

    /// `https://login.microsoftonline.com/{tenant}/v2.0`, wherever this simulator listens.
    #[must_use]
    pub fn issuer_v2(&self) -> String {
        Version::V2.issuer(&self.state.options.tenant)
    }

    /// Where the discovery document of version 2 is.
    #[must_use]
    pub fn discovery_url(&self) -> String {
        self.at("v2.0/.well-known/openid-configuration")
    }

    /// Where the key set is.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        self.at("discovery/v2.0/keys")
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{}/{path}", self.state.url, self.state.options.tenant)
    }

    fn claims(&self, version: Version, audience: &str) -> Value {
        let options = &self.state.options;
        let nobody = IdentityClient::default();
        let client = options.clients.first().unwrap_or(&nobody);
        let lifetime = *self.state.lifetime.lock();
        claims::filled_in(version, &options.tenant, client, audience, lifetime)
    }
}
