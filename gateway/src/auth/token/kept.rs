//! A token on its way to a successor process.

use std::os::unix::ffi::OsStrExt as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    clock::Timestamp,
    config::compiled::{Flow, IdentityId, Platform, TokenSource},
    secret::Secret,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub(super) source: Fingerprint,
    #[serde(with = "exposed")]
    pub(super) token: Secret,
    pub(super) fetched: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) refresh_at: Timestamp,
}

/// The one place where a secret is written out: it goes to the successor, over a socket that only the two have.
mod exposed {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::secret::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

/// SHA-256 of all that a token depends on, secrets included, so that a changed secret is another source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Fingerprint(String);

impl Fingerprint {
    pub(super) fn of(source: &TokenSource) -> Self {
        let mut fields: Vec<&[u8]> = vec![source.scope.as_bytes()];
        match &source.flow {
            Flow::ManagedIdentity { platform, identity } => {
                match platform {
                    Platform::Imds { url } => fields.extend([&b"imds"[..], url.as_bytes()]),
                    Platform::AppService { url, header } => fields.extend([
                        &b"app_service"[..],
                        url.as_bytes(),
                        header.expose().as_bytes(),
                    ]),
                    Platform::Arc { url, key_directory } => fields.extend([
                        &b"arc"[..],
                        url.as_bytes(),
                        key_directory.as_os_str().as_bytes(),
                    ]),
                }
                match identity {
                    IdentityId::System => fields.push(b"system"),
                    IdentityId::ClientId(id) => fields.extend([&b"client"[..], id.as_bytes()]),
                    IdentityId::ObjectId(id) => fields.extend([&b"object"[..], id.as_bytes()]),
                    IdentityId::ResourceId(id) => fields.extend([&b"resource"[..], id.as_bytes()]),
                }
            }
            Flow::WorkloadIdentity {
                authority,
                tenant,
                client_id,
                token_file,
            } => fields.extend([
                &b"workload_identity"[..],
                authority.as_bytes(),
                tenant.as_bytes(),
                client_id.as_bytes(),
                token_file.as_os_str().as_bytes(),
            ]),
            Flow::ClientSecret {
                authority,
                tenant,
                client_id,
                secret,
            } => fields.extend([
                &b"client_secret"[..],
                authority.as_bytes(),
                tenant.as_bytes(),
                client_id.as_bytes(),
                secret.expose().as_bytes(),
            ]),
        }
        let mut hash = Sha256::new();
        for field in fields {
            // With its length, so that nothing can move from one field into the next.
            hash.update(field.len().to_le_bytes());
            hash.update(field);
        }
        Self(hex::encode(hash.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, path::Path};

    use super::*;

    #[test]
    fn sources_that_differ_in_anything_have_different_fingerprints() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let managed = |platform, identity| Flow::ManagedIdentity { platform, identity };
        let imds = |url: &str| Platform::Imds { url: url.into() };
        let app_service = |url: &str, header| Platform::AppService {
            url: url.into(),
            header: secret(header),
        };
        let arc = |url: &str, folder: &str| Platform::Arc {
            url: url.into(),
            key_directory: Path::new(folder).into(),
        };
        let workload = |authority: &str, tenant: &str, client: &str, file| Flow::WorkloadIdentity {
            authority: authority.into(),
            tenant: tenant.into(),
            client_id: client.into(),
            token_file: Path::new(file).into(),
        };
        let client = |authority: &str, tenant: &str, client: &str, text| Flow::ClientSecret {
            authority: authority.into(),
            tenant: tenant.into(),
            client_id: client.into(),
            secret: secret(text),
        };
        let flows = [
            managed(imds("a"), IdentityId::System),
            managed(imds("b"), IdentityId::System),
            managed(imds("a"), IdentityId::ClientId("a".into())),
            managed(imds("a"), IdentityId::ClientId("b".into())),
            managed(imds("a"), IdentityId::ObjectId("a".into())),
            managed(imds("a"), IdentityId::ResourceId("a".into())),
            managed(app_service("a", "bc"), IdentityId::System),
            managed(app_service("ab", "c"), IdentityId::System),
            managed(app_service("a", "d"), IdentityId::System),
            managed(arc("a", "bc"), IdentityId::System),
            managed(arc("a", "d"), IdentityId::System),
            workload("a", "b", "c", "d"),
            workload("a", "b", "c", "e"),
            workload("a", "b", "e", "d"),
            workload("a", "e", "c", "d"),
            workload("e", "b", "c", "d"),
            client("a", "b", "c", "d"),
            client("a", "b", "c", "e"),
            client("a", "b", "e", "d"),
            client("a", "e", "c", "d"),
            client("e", "b", "c", "d"),
        ];
        let sources = flows.iter().flat_map(|flow| {
            ["one", "two"].map(|scope| TokenSource {
                flow: flow.clone(),
                scope: scope.into(),
            })
        });
        let of: Vec<Fingerprint> = sources.map(|source| Fingerprint::of(&source)).collect();
        assert_eq!(of.iter().collect::<HashSet<_>>().len(), of.len());
        assert!(of.iter().all(|it| it.0.len() == 64));
    }

    #[test]
    fn a_token_is_written_for_the_successor_and_shown_to_nobody() {
        let kept = Kept {
            source: Fingerprint("0f".to_owned()),
            token: Secret::new("eyJ.secret".to_owned()),
            fetched: Timestamp::from_micros(1),
            expires: Timestamp::from_micros(3),
            refresh_at: Timestamp::from_micros(2),
        };
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept);
        assert!(!format!("{kept:?}").contains("eyJ"));
    }
}
