//! What the gateway shows to an endpoint: at most one header. Decides which, and what follows when the endpoint
//! refuses it. Must not know requests.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{HeaderName, HeaderValue, header};
use parking_lot::Mutex;

use super::{Auth, token::Token};
use crate::{
    clock::Timestamp,
    config::compiled::{ApiKey, Credential, CredentialKind, EndpointKind, EndpointUrl},
    secret::Secret,
};

const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// A credential, ready to be sent.
pub enum Shown {
    Nothing,
    Fixed(HeaderName, HeaderValue),
    Pair(Arc<KeyPair>, HeaderName, [HeaderValue; 2]),
    Token(Arc<Token>),
    /// What the caller sent.
    Caller,
}

/// What follows from a 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Nothing better can be shown.
    Final,
    /// The same request may be sent again, with the other key.
    Again,
    /// A new token is being fetched.
    Renewing,
    /// It was the caller's own.
    CallersOwn,
}

impl Shown {
    /// Must be called inside a tokio runtime: new tokens start being fetched.
    #[must_use]
    pub fn link(
        credential: &Credential,
        kind: EndpointKind,
        url: &EndpointUrl,
        auth: &Auth,
    ) -> Self {
        let of_key = |key: &Secret| match kind {
            EndpointKind::Azure => (API_KEY, sensitive(key.expose())),
            EndpointKind::OpenAi => bearer(key),
        };
        match &credential.kind {
            CredentialKind::None => Self::Nothing,
            CredentialKind::Caller => Self::Caller,
            CredentialKind::Bearer(secret) => {
                let (name, value) = bearer(secret);
                Self::Fixed(name, value)
            }
            CredentialKind::ApiKey(key) => {
                let (name, primary) = of_key(&key.primary);
                match &key.secondary {
                    None => Self::Fixed(name, primary),
                    Some(secondary) => Self::Pair(
                        auth.key_pairs.pair(url, key),
                        name,
                        [primary, of_key(secondary).1],
                    ),
                }
            }
            CredentialKind::Token(source) => {
                Self::Token(auth.tokens.token(&credential.name, source))
            }
        }
    }

    /// The header to send at this moment; `None` where there is none to send, or where it was never
    /// [ready](Self::is_ready).
    #[must_use]
    pub fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Nothing | Self::Caller => None,
            Self::Fixed(name, value) => Some((name.clone(), value.clone())),
            Self::Pair(pair, name, values) => Some((name.clone(), values[pair.current()].clone())),
            Self::Token(token) => Some((header::AUTHORIZATION, token.header()?)),
        }
    }

    /// False while a token has never been had, or has expired.
    #[must_use]
    pub fn is_ready(&self, now: Timestamp) -> bool {
        match self {
            Self::Nothing | Self::Fixed(..) | Self::Pair(..) | Self::Caller => true,
            Self::Token(token) => token.is_ready(now),
        }
    }

    /// The endpoint answered 401 to a request with the header `sent`.
    #[must_use]
    pub fn refused(&self, sent: Option<&HeaderValue>, now: Timestamp) -> Refused {
        match self {
            Self::Nothing | Self::Fixed(..) => Refused::Final,
            Self::Caller => Refused::CallersOwn,
            Self::Pair(pair, _, values) => {
                match values.iter().position(|value| Some(value) == sent) {
                    Some(key) => {
                        pair.leave(key);
                        Refused::Again
                    }
                    None => Refused::Final,
                }
            }
            Self::Token(token) => match sent {
                Some(sent) if token.refused(sent, now) => Refused::Renewing,
                Some(_) | None => Refused::Final,
            },
        }
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Fixed(..) => "fixed",
            Self::Pair(..) => "pair",
            Self::Token(_) => "token",
            Self::Caller => "caller",
        })
    }
}

fn bearer(secret: &Secret) -> (HeaderName, HeaderValue) {
    let value = sensitive(&format!("Bearer {}", secret.expose()));
    (header::AUTHORIZATION, value)
}

fn sensitive(value: &str) -> HeaderValue {
    let mut value =
        HeaderValue::from_str(value).expect("checked when the configuration was compiled");
    value.set_sensitive(true);
    value
}

/// Which of two keys is used.
#[derive(Debug, Default)]
pub struct KeyPair(AtomicUsize);

impl KeyPair {
    fn current(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// From the refused key to the other one, unless somebody has left it already.
    fn leave(&self, key: usize) {
        let left = self
            .0
            .compare_exchange(key, 1 - key, Ordering::Relaxed, Ordering::Relaxed);
        if left.is_ok() {
            let now_used = ["primary", "secondary"][1 - key];
            tracing::warn!(now_used, "an endpoint refused one of two keys");
        }
    }
}

/// Every pair in use: the same two keys of an endpoint go on with the one that was good.
#[derive(Default)]
pub struct KeyPairs(Mutex<Vec<InUse>>);

struct InUse {
    url: EndpointUrl,
    keys: ApiKey,
    pair: Arc<KeyPair>,
}

impl KeyPairs {
    fn pair(&self, url: &EndpointUrl, keys: &ApiKey) -> Arc<KeyPair> {
        let mut pairs = self.0.lock();
        let mut known = pairs.iter();
        if let Some(known) = known.find(|known| known.url == *url && known.keys == *keys) {
            return known.pair.clone();
        }
        let pair = Arc::<KeyPair>::default();
        pairs.push(InUse {
            url: url.clone(),
            keys: keys.clone(),
            pair: pair.clone(),
        });
        pair
    }

    /// Forgets what no snapshot holds.
    pub fn prune(&self) {
        self.0
            .lock()
            .retain(|known| Arc::strong_count(&known.pair) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CredentialName;

    fn shown(auth: &Auth, keys: [&str; 2]) -> Shown {
        let [primary, secondary] = keys.map(|key| Secret::new(key.to_owned()));
        let credential = Credential {
            name: CredentialName::new("c").unwrap(),
            kind: CredentialKind::ApiKey(ApiKey {
                primary,
                secondary: Some(secondary),
            }),
        };
        let url = EndpointUrl {
            tls: true,
            host: "a.example".into(),
            port: 443,
            base_path: "".into(),
        };
        Shown::link(&credential, EndpointKind::Azure, &url, auth)
    }

    #[test]
    fn a_refused_key_is_left_for_the_other_one_also_after_a_reload() {
        let (auth, now) = (Auth::default(), Timestamp::from_micros(1));
        let sent = |shown: &Shown| shown.header().unwrap().1;
        let pair = shown(&auth, ["one", "two"]);
        let first = sent(&pair);
        assert_eq!(first, "one");
        assert_eq!(pair.refused(Some(&first), now), Refused::Again);
        let second = sent(&pair);
        assert_eq!(second, "two");
        // Requests that were under way with the first one change nothing.
        assert_eq!(pair.refused(Some(&first), now), Refused::Again);
        assert_eq!(sent(&pair), "two");
        auth.prune();
        assert_eq!(sent(&shown(&auth, ["one", "two"])), "two");
        assert_eq!(sent(&shown(&auth, ["one", "three"])), "one");
        drop(pair);
        auth.prune();
        assert_eq!(auth.key_pairs.0.lock().len(), 0);
    }
}
