//! What an identity simulator is: its tenant and who may have tokens. Plain data.

use std::path::PathBuf;
use std::time::Duration;

use crate::tls::ServerTls;

/// One identity simulator; listens on `port` of 127.0.0.1, 0 takes a free one.
#[derive(Clone, Debug)]
pub struct IdentityOptions {
    pub port: u16,
    pub tenant: String,
    /// The applications and managed identities of the tenant.
    pub clients: Vec<IdentityClient>,
    pub token_lifetime: Duration,
    /// What App Service expects as `X-IDENTITY-HEADER`.
    pub app_service_header: String,
    /// Where Azure Arc's agent writes the files that its callers must be able to read; without it that door
    /// is shut.
    pub arc_key_directory: Option<PathBuf>,
    /// The federated tokens that Entra takes for a client's; empty means any that are not empty.
    pub federated_tokens: Vec<String>,
    /// Publishes two more keys, one of an unknown type and one symmetric, which readers must skip.
    pub odd_keys: bool,
    /// Serves https in place of http.
    pub tls: Option<ServerTls>,
}

impl Default for IdentityOptions {
    fn default() -> Self {
        Self {
            port: 0,
            tenant: "72f988bf-0000-4000-8000-2d7cd011db47".to_owned(),
            clients: vec![IdentityClient::default()],
            token_lifetime: Duration::from_secs(3600),
            app_service_header: "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a".to_owned(),
            arc_key_directory: None,
            federated_tokens: Vec::new(),
            odd_keys: false,
            tls: None,
        }
    }
}

/// An application, or a managed identity of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityClient {
    pub client_id: String,
    pub object_id: String,
    /// Without one, Entra takes federated tokens only.
    pub secret: Option<String>,
    /// The machine's own identity, which one gets who names none. The others are user-assigned.
    pub system_assigned: bool,
    /// `/subscriptions/…/userAssignedIdentities/NAME`.
    pub resource_id: Option<String>,
}

/// The machine's own identity.
impl Default for IdentityClient {
    fn default() -> Self {
        Self {
            client_id: "c1c1c1c1-0000-4000-8000-000000000001".to_owned(),
            object_id: "0b0b0b0b-0000-4000-8000-000000000001".to_owned(),
            secret: None,
            system_assigned: true,
            resource_id: None,
        }
    }
}

impl IdentityClient {
    /// A user-assigned identity, or an application.
    #[must_use]
    pub fn new(client_id: &str, object_id: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            object_id: object_id.to_owned(),
            system_assigned: false,
            ..Self::default()
        }
    }

    #[must_use]
    pub fn secret(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self
    }

    #[must_use]
    pub fn system_assigned(mut self) -> Self {
        self.system_assigned = true;
        self
    }

    #[must_use]
    pub fn resource_id(mut self, id: &str) -> Self {
        self.resource_id = Some(id.to_owned());
        self
    }
}
