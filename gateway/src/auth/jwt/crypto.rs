//! Signatures of tokens, checked by ring: the library that TLS uses anyway, so that no second one is linked.
//! Two algorithms, both with public keys. It cannot sign, and it knows no algorithm with a shared secret, so a
//! token that asks for one cannot make a secret of a public key.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature::{Error as Refused, Verifier},
};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

static ON_RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(unsupported()),
    verifier_factory: verifier,
    // They make keys of other things: PEM files, private keys, thumbprints. Nothing here asks for that.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes jsonwebtoken use ring. The first call counts, every other changes nothing.
pub(super) fn install() {
    let _ = ON_RING.install_default();
}

fn unsupported() -> Error {
    ErrorKind::UnsupportedAlgorithm.into()
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match (algorithm, key.family(), key.kind()) {
        (Algorithm::RS256, AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Ok(Box::new(Rs256(RsaPublicKeyComponents {
                n: n.clone(),
                e: e.clone(),
            })))
        }
        (Algorithm::ES256, AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => {
            Ok(Box::new(Es256(UnparsedPublicKey::new(
                &ECDSA_P256_SHA256_FIXED,
                point.clone(),
            ))))
        }
        _ => Err(unsupported()),
    }
}

struct Rs256(RsaPublicKeyComponents<Vec<u8>>);

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Refused> {
        self.0
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .map_err(|_| Refused::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

struct Es256(UnparsedPublicKey<Vec<u8>>);

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Refused> {
        self.0
            .verify(message, signature)
            .map_err(|_| Refused::new())
    }
}

impl JwtVerifier for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_algorithms_with_their_own_kind_of_key_get_a_verifier() {
        let rsa = DecodingKey::from_rsa_raw_components(&[1; 256], &[1, 0, 1]);
        let point = DecodingKey::from_ec_der(&[4; 65]);
        let keys = [
            rsa,
            point,
            DecodingKey::from_secret(&[7; 32]),
            DecodingKey::from_rsa_der(&[1; 256]),
        ];
        let algorithms = [
            Algorithm::HS256,
            Algorithm::HS384,
            Algorithm::HS512,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::ES384,
            Algorithm::EdDSA,
            Algorithm::RS256,
            Algorithm::ES256,
        ];
        for algorithm in algorithms {
            for (place, key) in keys.iter().enumerate() {
                let expected = matches!(
                    (algorithm, place),
                    (Algorithm::RS256, 0) | (Algorithm::ES256, 1)
                );
                let made = verifier(&algorithm, key).is_ok();
                assert_eq!(made, expected, "{algorithm:?} with key {place}");
            }
        }
    }
}
