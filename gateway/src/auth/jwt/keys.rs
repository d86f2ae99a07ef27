//! Which of the keys that an issuer publishes count: RSA of at least 2048 bits and P-256, for signatures, with a name.
//! A shared secret (`oct`) never does. The algorithm belongs to the key, so a token cannot choose another for it.

use std::time::Duration;

use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use serde::{Deserialize, Serialize};

use crate::config::compiled::Algorithm;

/// A set of more keys than this is cut: issuers have a handful.
const KEYS_MAX: usize = 256;
/// What ring verifies with.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 2048 / 8..=8192 / 8;
const P256_POINT_BYTES: usize = 65;

/// A key as it is published. Members that nobody asks for, private ones among them, are not even read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Jwk {
    kty: String,
    kid: String,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_ops: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    /// Entra says so of keys that sign for one tenant, or with `{tenantid}` for any.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
}

/// A key that counts.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
    jwk: Jwk,
}

impl Key {
    fn new(jwk: Jwk) -> Option<Self> {
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
        let operations = jwk.key_ops.as_ref();
        let verifies =
            operations.is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        if !signs || !verifies {
            return None;
        }
        let (algorithm, name, decoding) = match jwk.kty.as_str() {
            "RSA" => (Algorithm::Rs256, "RS256", rsa(&jwk)?),
            "EC" => (Algorithm::Es256, "ES256", p256(&jwk)?),
            _ => return None,
        };
        let agrees = jwk.alg.as_deref().is_none_or(|alg| alg == name);
        agrees.then_some(Self {
            algorithm,
            decoding,
            jwk,
        })
    }

    /// Whether it may sign for this `iss`. A key of Microsoft's consumers must not show who somebody of a tenant is.
    fn signs_for(&self, issuer: &str) -> bool {
        self.jwk.issuer.as_deref().is_none_or(|own| {
            own == issuer
                || own.contains("{tenantid}")
                // One tenant has an issuer of each version, at different hosts.
                || tenant(own).is_some_and(|own| Some(own) == tenant(issuer))
        })
    }
}

fn tenant(issuer: &str) -> Option<&str> {
    let (_, after) = issuer.split_once("://")?;
    after.split('/').nth(1).filter(|tenant| !tenant.is_empty())
}

fn rsa(jwk: &Jwk) -> Option<DecodingKey> {
    let key = DecodingKey::from_rsa_components(jwk.n.as_deref()?, jwk.e.as_deref()?).ok()?;
    let DecodingKeyKind::RsaModulusExponent { n, e } = key.kind() else {
        return None;
    };
    // Some libraries write a sign byte, which ring does not take.
    let [n, e] = [n, e].map(|number| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        &number[zeros..]
    });
    let is_long_enough =
        MODULUS_BYTES.contains(&n.len()) && (n.len() > *MODULUS_BYTES.start() || n[0] >= 0x80);
    (is_long_enough && !e.is_empty()).then(|| DecodingKey::from_rsa_raw_components(n, e))
}

fn p256(jwk: &Jwk) -> Option<DecodingKey> {
    if jwk.crv.as_deref() != Some("P-256") {
        return None;
    }
    let key = DecodingKey::from_ec_components(jwk.x.as_deref()?, jwk.y.as_deref()?).ok()?;
    let is_point = key.try_get_as_bytes().ok()?.len() == P256_POINT_BYTES;
    is_point.then_some(key)
}

/// The keys that count among published ones.
pub(super) fn usable(published: &[serde_json::Value]) -> Vec<Key> {
    let read = published.iter().take(KEYS_MAX).map(Jwk::deserialize);
    read.flatten().filter_map(Key::new).collect()
}

/// Where a set of keys came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The issuer, in this process.
    Fetched,
    /// A file that an earlier process left.
    Persisted,
}

/// The keys of an issuer at one time; never empty.
pub(super) struct Keys {
    pub(super) list: Vec<Key>,
    pub(super) source: Source,
    /// Since 1970.
    pub(super) fetched: Duration,
    /// Changes when a key is no longer what it was: what it verified is not believed any more. A new key beside the
    /// others changes nothing.
    pub(super) generation: u64,
}

impl Keys {
    /// The keys that come after `before`.
    pub(super) fn after(
        before: Option<&Self>,
        list: Vec<Key>,
        source: Source,
        fetched: Duration,
    ) -> Self {
        let stays = |key: &Key| list.iter().any(|other| other.jwk == key.jwk);
        let generation = before.map_or(0, |before| {
            before.generation + u64::from(!before.list.iter().all(stays))
        });
        Self {
            list,
            source,
            fetched,
            generation,
        }
    }

    pub(super) fn has(&self, kid: &str) -> bool {
        self.list.iter().any(|key| key.jwk.kid == kid)
    }

    /// The keys of this name that may sign for this issuer. Several only if the issuer gave two one name.
    pub(super) fn named(&self, kid: &str, issuer: &str) -> impl Iterator<Item = &Key> {
        let named = self.list.iter().filter(move |key| key.jwk.kid == kid);
        named.filter(move |key| key.signs_for(issuer))
    }

    pub(super) fn jwks(&self) -> Vec<&Jwk> {
        self.list.iter().map(|key| &key.jwk).collect()
    }
}
