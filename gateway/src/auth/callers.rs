//! Who a caller is, by what it shows: a key, a certificate, a token. Decides between them; must not know connections.
//!
//! Whatever is shown is looked up by its SHA-256, so that a wrong key takes as long as an unknown one, as far as
//! somebody who cannot choose the hash can see.

use std::{collections::HashMap, time::Duration};

use super::{
    Auth,
    jwt::{Denied, Verified, Verifier},
};
use crate::{
    api::{credential::Presented, error::ApiError},
    config::{
        client_key::key_hash,
        compiled::{CertificateName, Clients},
    },
};

/// Who may call, linked.
pub struct Callers {
    by_key: HashMap<[u8; 32], Holder>,
    by_certificate: HashMap<CertificateName, usize>,
    verifier: Verifier,
}

impl std::fmt::Debug for Callers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callers")
            .field("keys", &self.by_key.len())
            .field("certificates", &self.by_certificate.len())
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Holder {
    client: usize,
    /// Seconds since 1970.
    not_after: Option<u64>,
}

/// A caller that was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Place in [`Clients::list`].
    pub client: usize,
    /// What it showed is a token for Azure, which may be handed on.
    pub for_azure: bool,
}

/// Why a caller is nobody: what it is told, and what only the log says.
#[derive(Debug)]
pub struct Stranger {
    pub error: ApiError,
    pub wait: Option<Duration>,
    pub reason: Option<String>,
}

impl From<ApiError> for Stranger {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            wait: None,
            reason: None,
        }
    }
}

impl Callers {
    /// Must be called inside a tokio runtime: new key sets start being fetched.
    #[must_use]
    pub fn link(clients: &Clients, auth: &Auth) -> Self {
        let (mut by_key, mut by_certificate) = (HashMap::new(), HashMap::new());
        for (place, client) in clients.list.iter().enumerate() {
            for key in &client.keys {
                let holder = Holder {
                    client: place,
                    not_after: key.not_after,
                };
                by_key.insert(key.hash, holder);
            }
            for name in &client.certificates {
                by_certificate.insert(name.clone(), place);
            }
        }
        Self {
            by_key,
            by_certificate,
            verifier: Verifier::new(clients, &auth.key_sets),
        }
    }

    /// `certificate`: the names in the certificate of its connection.
    ///
    /// # Errors
    /// 400: it shows itself as two clients. 401: it shows nothing, or something that is not good. 403: its token means
    /// no client. 503: whether its token is good cannot be known now.
    pub async fn recognise(
        &self,
        shown: Option<Presented<'_>>,
        certificate: &[CertificateName],
        unix_now: Duration,
    ) -> Result<Caller, Stranger> {
        let mut clients = certificate
            .iter()
            .filter_map(|name| self.by_certificate.get(name).copied());
        let by_certificate = clients.next();
        if clients.any(|other| Some(other) != by_certificate) {
            return Err(Stranger {
                reason: Some("the certificate has names of several clients".to_owned()),
                ..ApiError::conflicting_credentials().into()
            });
        }
        let Some(shown) = shown else {
            return match by_certificate {
                Some(client) => Ok(Caller {
                    client,
                    for_azure: false,
                }),
                None if certificate.is_empty() => Err(ApiError::missing_api_key().into()),
                None => Err(Stranger {
                    reason: Some("no client has a name of this certificate".to_owned()),
                    ..ApiError::unknown_certificate().into()
                }),
            };
        };
        let caller = self.by_credential(shown, unix_now).await?;
        match by_certificate {
            Some(client) if client != caller.client => {
                Err(ApiError::conflicting_credentials().into())
            }
            Some(_) | None => Ok(caller),
        }
    }

    async fn by_credential(
        &self,
        shown: Presented<'_>,
        unix_now: Duration,
    ) -> Result<Caller, Stranger> {
        let hash = key_hash(shown.text);
        if let Some(holder) = self.by_key.get(&hash) {
            let expired = holder
                .not_after
                .is_some_and(|end| unix_now.as_secs() >= end);
            return if expired {
                Err(ApiError::expired_api_key().into())
            } else {
                Ok(Caller {
                    client: holder.client,
                    for_azure: false,
                })
            };
        }
        if !shown.is_bearer || self.verifier.is_empty() {
            return Err(ApiError::invalid_api_key().into());
        }
        let verified = match self.verifier.known(&hash, unix_now) {
            Some(verified) => Ok(verified),
            None => self.verifier.verify(shown.text, &hash, unix_now).await,
        };
        match verified {
            Ok(Verified { client, for_azure }) => Ok(Caller { client, for_azure }),
            Err(denied) => Err(stranger(denied)),
        }
    }
}

fn stranger(denied: Denied) -> Stranger {
    match denied {
        Denied::NotAToken => ApiError::invalid_api_key().into(),
        Denied::Invalid(reason) => Stranger {
            reason: Some(reason.to_string()),
            ..ApiError::invalid_token().into()
        },
        Denied::NoRule { missing } => Stranger {
            reason: Some(missing),
            ..ApiError::access_denied().into()
        },
        Denied::KeysUnavailable { retry_after } => Stranger {
            wait: Some(retry_after),
            reason: Some("the keys of the token's issuer cannot be had".to_owned()),
            ..ApiError::identity_unavailable().into()
        },
    }
}
