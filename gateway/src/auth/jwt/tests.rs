//! Issuers, keys and tokens for the tests of this folder.

mod attacks;
mod fetching;
mod outages;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, Jwk},
};
use parking_lot::Mutex;
use ring::{rand::SystemRandom, signature as ring_signature, signature::KeyPair as _};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    fetch::{FetchError, Publisher},
    keys::{self, Key},
    *,
};
use crate::{
    clock::unix_now,
    config::compiled::{Client, KeysAt, Rule},
};

const ISSUER: &str = "https://login.example/tenant-1/v2.0";
const AUDIENCE: &str = "api://gateway";
const RSA_ONE: &[u8] = include_bytes!("../../../tests/keys/rsa-one.pem");
const RSA_TWO: &[u8] = include_bytes!("../../../tests/keys/rsa-two.pem");

fn base64url(bytes: &[u8]) -> String {
    let jwk = Jwk::from_decoding_key(&DecodingKey::from_secret(bytes), None).unwrap();
    match jwk.algorithm {
        AlgorithmParameters::OctetKey(key) => key.value,
        _ => unreachable!("a secret is an octet key"),
    }
}

/// An issuer's private key.
enum Signer {
    Rsa(ring::rsa::KeyPair),
    P256(ring_signature::EcdsaKeyPair),
}

impl Signer {
    fn rsa(pem: &[u8]) -> Self {
        let der = PrivateKeyDer::from_pem_slice(pem).unwrap();
        Self::Rsa(ring::rsa::KeyPair::from_pkcs8(der.secret_der()).unwrap())
    }

    fn p256() -> Self {
        let algorithm = &ring_signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let der = ring_signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = ring_signature::EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random);
        Self::P256(pair.unwrap())
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let public = ring_signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                let [n, e] = [public.n, public.e].map(|number| base64url(&number));
                json!({"kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": e})
            }
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                let [x, y] = [&point[1..33], &point[33..]].map(base64url);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
            }
        }
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        let message = message.as_bytes();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding = &ring_signature::RSA_PKCS1_SHA256;
                pair.sign(padding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
        }
    }

    /// A token of texts that may be anything.
    fn raw_token(&self, header: &str, claims: &str) -> String {
        let message = format!(
            "{}.{}",
            base64url(header.as_bytes()),
            base64url(claims.as_bytes())
        );
        let signature = base64url(&self.sign(&message));
        format!("{message}.{signature}")
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        self.raw_token(&header.to_string(), &claims.to_string())
    }
}

fn rs256(kid: &str) -> Value {
    json!({"typ": "JWT", "alg": "RS256", "kid": kid})
}

fn claims() -> Value {
    let now = unix_now().as_secs();
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "iat": now, "nbf": now - 5, "exp": now + 3600,
        "roles": ["Use"], "oid": "o-1",
    })
}

/// `value` with some members changed; `null` takes one out.
fn but(mut value: Value, changes: Value) -> Value {
    let members = value.as_object_mut().unwrap();
    let Value::Object(changes) = changes else {
        panic!("changes are an object")
    };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, change);
        }
    }
    value
}

/// An issuer that publishes what it is told to, or is down.
#[derive(Clone, Default)]
struct Fake {
    published: Arc<Mutex<Option<Vec<Value>>>>,
    fetches: Arc<AtomicU32>,
    /// How long an answer takes.
    delay: Duration,
}

impl Fake {
    fn publishing(keys: Vec<Value>) -> Self {
        let fake = Self::default();
        fake.publish(keys);
        fake
    }

    fn publish(&self, keys: Vec<Value>) {
        *self.published.lock() = Some(keys);
    }

    fn go_down(&self) {
        *self.published.lock() = None;
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Relaxed)
    }

    fn key_set(&self) -> Arc<KeySet> {
        self.key_set_in(None)
    }

    fn key_set_in(&self, directory: Option<&std::path::Path>) -> Arc<KeySet> {
        let directory = Arc::new(Mutex::new(directory.map(Arc::from)));
        Arc::new(KeySet::new(at(), self.clone(), None, directory))
    }
}

#[async_trait]
impl Publisher for Fake {
    async fn keys(&self) -> Result<Vec<Key>, FetchError> {
        self.fetches.fetch_add(1, Relaxed);
        tokio::time::sleep(self.delay).await;
        let published = self.published.lock();
        let url = "https://login.example/keys".to_owned();
        match &*published {
            Some(keys) => Ok(keys::usable(keys)),
            None => Err(FetchError::NoKeys { url }),
        }
    }
}

fn at() -> KeysAt {
    KeysAt::Jwks("https://login.example/keys".into())
}

fn issuer() -> Issuer {
    Issuer {
        names: vec![ISSUER.into(), "https://sts.example/tenant-1/".into()],
        audiences: vec![
            AUDIENCE.into(),
            "https://cognitiveservices.azure.com".into(),
        ],
        keys: at(),
        algorithms: vec![Algorithm::Rs256],
        leeway: Duration::from_secs(60),
        rules: vec![Rule {
            client: 1,
            roles: vec!["Use".into()],
            scp: Vec::new(),
            azp: Vec::new(),
            oid: Vec::new(),
            groups: Vec::new(),
        }],
    }
}

fn verifier_of(issuers: Vec<Issuer>, set: &Arc<KeySet>) -> Verifier {
    let client = |name| Client {
        name: ClientName::new(name).unwrap(),
        keys: Vec::new(),
        certificates: Vec::new(),
        models: None,
        default_model: None,
        explain: false,
    };
    let clients = Clients {
        list: vec![client("team-a"), client("team-b")],
        issuers,
    };
    Verifier::with(&clients, |_| set.clone())
}

fn sha256(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

async fn verify(verifier: &Verifier, token: &str) -> Result<Verified, Denied> {
    verifier.verify(token, &sha256(token), unix_now()).await
}

fn known(verifier: &Verifier, token: &str) -> Option<Verified> {
    verifier.known(&sha256(token), unix_now())
}

const TEAM_B: Verified = Verified {
    client: 1,
    for_azure: false,
};
