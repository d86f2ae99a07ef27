//! Makes tokens by hand, good and bad ones, with the keys that the identity simulator signs with. The private
//! keys are part of the program and public: **for tests only**.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use ring::{hmac, signature};
use serde_json::Value;

/// How many RSA keys there are, numbered from 0.
pub const RSA_KEYS: usize = 3;

/// The secret of the published `oct` entry, with which nobody must check a signature.
pub const OCT_SECRET: &[u8] = b"published, and therefore no secret";

/// The `kid` of that entry.
pub const OCT_KID: &str = "symmetric";

static RSA: LazyLock<[RsaKeyPair; RSA_KEYS]> = LazyLock::new(|| {
    [
        include_bytes!("../../keys/test-only-1.pk8").as_slice(),
        include_bytes!("../../keys/test-only-2.pk8").as_slice(),
        include_bytes!("../../keys/test-only-3.pk8").as_slice(),
    ]
    .map(|pkcs8| RsaKeyPair::from_pkcs8(pkcs8).expect("the embedded keys are RSA keys"))
});

const RSA_PEM: [&str; RSA_KEYS] = [
    include_str!("../../keys/test-only-1.pub.pem"),
    include_str!("../../keys/test-only-2.pub.pem"),
    include_str!("../../keys/test-only-3.pub.pem"),
];

/// Another one in each process.
static EC: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("the system gives random numbers");
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
        .expect("a key just made can be read")
});

/// What makes the signature; the header may claim something else.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// RS256 with the RSA key of that number.
    Rsa(usize),
    /// ES256 with the published key of P-256.
    Ec,
    /// HS256.
    Secret(&'a [u8]),
    /// An empty signature.
    None,
}

/// A token in compact form.
#[must_use]
pub fn sign(header: &Value, claims: &Value, key: Key<'_>) -> String {
    sign_parts(
        &encode(header.to_string().as_bytes()),
        &encode(claims.to_string().as_bytes()),
        key,
    )
}

/// The same of parts that are encoded already, or that pretend to be.
///
/// # Panics
/// There is no RSA key of that number.
#[must_use]
pub fn sign_parts(header: &str, claims: &str, key: Key<'_>) -> String {
    let message = format!("{header}.{claims}");
    let random = SystemRandom::new();
    let signature = match key {
        Key::Rsa(index) => {
            let key = &RSA[index];
            let mut signature = vec![0; key.public().modulus_len()];
            key.sign(
                &RSA_PKCS1_SHA256,
                &random,
                message.as_bytes(),
                &mut signature,
            )
            .expect("a signature as long as the modulus fits");
            signature
        }
        Key::Ec => {
            let signature = EC
                .sign(&random, message.as_bytes())
                .expect("the system gives random numbers");
            signature.as_ref().to_vec()
        }
        Key::Secret(secret) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
        }
        Key::None => Vec::new(),
    };
    format!("{message}.{}", encode(&signature))
}

/// base64url without padding, as the parts of a token are written.
#[must_use]
pub fn encode(part: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// Header and claims of a token, whatever its signature; `None` if they are not JSON.
#[must_use]
pub fn decode(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.').map(|part| {
        let json = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice(&json).ok()
    });
    Some((parts.next()??, parts.next()??))
}

/// The `kid` and `x5t` under which an RSA key is published.
#[must_use]
pub fn kid(index: usize) -> String {
    thumbprint(RSA[index].public().as_ref())
}

/// The `kid` of the key of P-256.
#[must_use]
pub fn ec_kid() -> String {
    thumbprint(EC.public_key().as_ref())
}

/// The public half of an RSA key: a secret for HS256 to whoever confuses the algorithms.
#[must_use]
pub fn public_key_pem(index: usize) -> &'static str {
    RSA_PEM[index]
}

/// The modulus of an RSA key, big-endian.
#[must_use]
pub fn modulus(index: usize) -> Vec<u8> {
    components(index).n
}

pub(super) fn exponent(index: usize) -> Vec<u8> {
    components(index).e
}

/// The point of the key of P-256, x and y.
pub(super) fn ec_point() -> (&'static [u8], &'static [u8]) {
    // SEC 1: a byte that says uncompressed, then 32 bytes each.
    EC.public_key().as_ref()[1..].split_at(32)
}

/// Whether one of the RSA keys has signed `message`, current or not.
pub(super) fn is_signed(message: &[u8], signature: &[u8]) -> bool {
    RSA.iter().any(|key| {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public())
            .verify(message, signature)
            .is_ok()
    })
}

fn components(index: usize) -> PublicKeyComponents<Vec<u8>> {
    signature::RsaKeyPair::public(&RSA[index]).into()
}

/// As long as the thumbprint of a certificate, which Entra uses.
fn thumbprint(public_key: &[u8]) -> String {
    encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, public_key).as_ref())
}
