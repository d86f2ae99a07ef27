//! How the gateway shows itself to a provider.

use std::{path::Path, sync::Arc};

use crate::{ids::CredentialName, secret::Secret};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub name: CredentialName,
    pub kind: CredentialKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// Sent as `api-key: …` to azure endpoints and as `authorization: Bearer …` to openai ones.
    ApiKey(ApiKey),
    /// Sent as `authorization: Bearer …`.
    Bearer(Secret),
    /// Fetched in the background and sent as `authorization: Bearer …`.
    Token(TokenSource),
    /// The caller's own credential is handed on, if it is not one of the gateway's.
    Caller,
    /// Nothing is sent.
    None,
}

/// A key, and another one that is as good while the provider's keys are being changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub primary: Secret,
    pub secondary: Option<Secret>,
}

/// Where tokens come from, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSource {
    pub flow: Flow,
    /// As Entra takes it: `https://cognitiveservices.azure.com/.default`.
    pub scope: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    ManagedIdentity {
        platform: Platform,
        identity: IdentityId,
    },
    /// The token of a Kubernetes service account or another federated one, exchanged at Entra.
    WorkloadIdentity {
        /// `https://login.microsoftonline.com`, without a slash at the end.
        authority: Arc<str>,
        tenant: Arc<str>,
        client_id: Arc<str>,
        /// Rotates: read again for each token.
        token_file: Arc<Path>,
    },
    ClientSecret {
        authority: Arc<str>,
        tenant: Arc<str>,
        client_id: Arc<str>,
        secret: Secret,
    },
}

/// What answers for a managed identity; each URL is complete up to its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platform {
    /// The Instance Metadata Service of a virtual machine.
    Imds { url: Arc<str> },
    /// App Service, Functions, Container Apps: `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`.
    AppService { url: Arc<str>, header: Secret },
    /// The agent of Azure Arc, which wants to see that its caller may read its key files.
    Arc {
        url: Arc<str>,
        /// The only folder from which a file is shown.
        key_directory: Arc<Path>,
    },
}

/// Which of a machine's identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityId {
    System,
    ClientId(Arc<str>),
    ObjectId(Arc<str>),
    ResourceId(Arc<str>),
}
