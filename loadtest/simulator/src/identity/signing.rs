//! Which of the embedded keys signs now, and which are published.

use serde_json::{Value, json};

use super::forge::{self, Key, RSA_KEYS, encode};

/// The keys of an issuer. A key is published when it begins to sign, not before.
pub(super) struct Signing {
    current: usize,
    /// In the order of their use.
    published: Vec<usize>,
}

impl Signing {
    pub(super) fn new() -> Self {
        Self {
            current: 0,
            published: vec![0],
        }
    }

    /// Begins to sign with the next key; after the last one comes the first again.
    pub(super) fn rotate(&mut self) {
        self.current = (self.current + 1) % RSA_KEYS;
        self.published.retain(|index| *index != self.current);
        self.published.push(self.current);
    }

    pub(super) fn forget_old(&mut self) {
        self.published = vec![self.current];
    }

    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// The key set, as Entra publishes it: without `alg`. Besides its RSA keys there is one of P-256, as other
    /// issuers have, and with `odd` two entries that a reader must skip.
    pub(super) fn published(&self, issuer: &str, odd: bool) -> Value {
        let mut keys = Vec::new();
        if odd {
            keys.push(json!({"kty": "AKP", "use": "sig", "kid": "unknown", "pub": "AAAA"}));
            let secret = encode(forge::OCT_SECRET);
            keys.push(json!({"kty": "oct", "use": "sig", "kid": forge::OCT_KID, "k": secret}));
        }
        keys.extend(self.published.iter().map(|index| {
            let kid = forge::kid(*index);
            json!({
                "kty": "RSA",
                "use": "sig",
                "kid": kid,
                "x5t": kid,
                "n": encode(&forge::modulus(*index)),
                "e": encode(&forge::exponent(*index)),
                "issuer": issuer,
            })
        }));
        let (x, y) = forge::ec_point();
        keys.push(json!({
            "kty": "EC",
            "use": "sig",
            "kid": forge::ec_kid(),
            "crv": "P-256",
            "x": encode(x),
            "y": encode(y),
        }));
        json!({ "keys": keys })
    }
}

/// A token of `claims`, signed with the RSA key of that number.
pub(super) fn signed(index: usize, claims: &Value) -> String {
    let kid = forge::kid(index);
    let header = json!({"typ": "JWT", "alg": "RS256", "x5t": kid, "kid": kid});
    forge::sign(&header, claims, Key::Rsa(index))
}
