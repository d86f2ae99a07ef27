//! Identity on both sides as the operator writes it: credentials, clients, issuers of tokens, TLS.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    InlineSecret, List, Words,
    values::{KeyHash, Moment},
};
use crate::config::duration::{ANY, Span};

/// One credential: exactly one of the keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(in crate::config) struct RawCredential {
    /// Sent as `api-key` to azure endpoints, as a bearer token to openai ones.
    pub(in crate::config) api_key: Option<RawApiKey>,
    /// Sent as a bearer token.
    pub(in crate::config) bearer: Option<RawSecret>,
    /// Tokens for the identity that Azure gives to the machine; `{}` for its own on a virtual machine.
    pub(in crate::config) managed_identity: Option<RawManagedIdentity>,
    /// Tokens in exchange for a federated one, as in Kubernetes.
    pub(in crate::config) workload_identity: Option<RawWorkloadIdentity>,
    /// Tokens for an app registration with a secret.
    pub(in crate::config) client_secret: Option<RawClientSecret>,
}

/// Where a secret is: exactly one of the keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(in crate::config) struct RawSecret {
    /// Name of an environment variable.
    pub(in crate::config) env: Option<String>,
    /// Path of a file, from the folder of this one; line ends at its end do not count.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) file: Option<PathBuf>,
    /// Name of a credential that systemd passes (`LoadCredential=NAME:FILE` in the unit).
    pub(in crate::config) credential: Option<String>,
    /// The secret itself; better not in this file.
    pub(in crate::config) value: Option<InlineSecret>,
}

/// A secret, or two of which either works.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 2))]
pub(in crate::config) struct RawApiKey {
    /// Name of an environment variable.
    pub(in crate::config) env: Option<String>,
    /// Path of a file, from the folder of this one; line ends at its end do not count.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) file: Option<PathBuf>,
    /// Name of a credential that systemd passes (`LoadCredential=NAME:FILE` in the unit).
    pub(in crate::config) credential: Option<String>,
    /// The secret itself; better not in this file.
    pub(in crate::config) value: Option<InlineSecret>,
    /// The key that is used, in place of the four above.
    pub(in crate::config) primary: Option<RawSecret>,
    /// Used from the first time that the endpoint refuses the primary one.
    pub(in crate::config) secondary: Option<RawSecret>,
}

/// The identity of the machine: its own, or a user-assigned one by one of three ids.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawManagedIdentity {
    /// Who gives the tokens: `imds` on a virtual machine, `app_service` also in Container Apps, `arc` on a machine
    /// connected by Azure Arc.
    #[schemars(extend("default" = "imds"))]
    pub(in crate::config) source: Option<RawPlatform>,
    /// A user-assigned identity by its client id.
    pub(in crate::config) client_id: Option<String>,
    /// A user-assigned identity by its object (principal) id.
    pub(in crate::config) object_id: Option<String>,
    /// A user-assigned identity by its resource id.
    pub(in crate::config) resource_id: Option<String>,
    /// What the tokens are for.
    #[schemars(extend("default" = "https://cognitiveservices.azure.com/.default"))]
    pub(in crate::config) scope: Option<String>,
    /// Where it is asked, in place of `http://169.254.169.254`, or of `IDENTITY_ENDPOINT` from the environment.
    pub(in crate::config) url: Option<String>,
    /// Arc only: the folder from which the agent may ask to see files.
    #[schemars(with = "Option<String>", extend("default" = "/var/opt/azcmagent/tokens"))]
    pub(in crate::config) key_directory: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum RawPlatform {
    Imds,
    AppService,
    Arc,
}

/// A federated token that Entra exchanges. What is left out comes from the environment, as Azure's webhook sets it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawWorkloadIdentity {
    /// In place of `AZURE_TENANT_ID`.
    pub(in crate::config) tenant_id: Option<String>,
    /// In place of `AZURE_CLIENT_ID`.
    pub(in crate::config) client_id: Option<String>,
    /// In place of `AZURE_FEDERATED_TOKEN_FILE`; read again for each token.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) token_file: Option<PathBuf>,
    /// In place of `AZURE_AUTHORITY_HOST` and `https://login.microsoftonline.com`.
    pub(in crate::config) authority: Option<String>,
    /// What the tokens are for.
    #[schemars(extend("default" = "https://cognitiveservices.azure.com/.default"))]
    pub(in crate::config) scope: Option<String>,
}

/// An app registration with a secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawClientSecret {
    #[schemars(required)]
    /// The directory (tenant) id, or one of its domains.
    pub(in crate::config) tenant_id: Option<String>,
    /// The application (client) id.
    #[schemars(required)]
    pub(in crate::config) client_id: Option<String>,
    /// Its secret.
    #[schemars(required)]
    pub(in crate::config) secret: Option<RawSecret>,
    /// Where tokens are asked for; another one in sovereign clouds.
    #[schemars(extend("default" = "https://login.microsoftonline.com"))]
    pub(in crate::config) authority: Option<String>,
    /// What the tokens are for.
    #[schemars(extend("default" = "https://cognitiveservices.azure.com/.default"))]
    pub(in crate::config) scope: Option<String>,
}

/// Who may call. What shows that a caller is this client: keys, names in client certificates, rules under `jwt`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawClient {
    /// Hashes of its keys, `sha256:` and 64 hex digits. Two while a key is being changed.
    pub(in crate::config) keys: Option<List<RawKey>>,
    /// Names in client certificates: `cn:NAME` (of the subject), `dns:NAME`, `uri:URI`, `email:ADDRESS`.
    pub(in crate::config) certificates: Option<Words>,
    /// Models or aliases it may use; all if left out.
    pub(in crate::config) models: Option<List<String>>,
    /// The model that the name `auto` means.
    pub(in crate::config) default_model: Option<String>,
    /// It may send `x-tokenweir-explain: 1`, and is told why its request went where it did.
    #[schemars(extend("default" = false))]
    pub(in crate::config) explain: Option<bool>,
}

/// The hash of a key, alone or with an end.
#[derive(Debug)]
pub(in crate::config) struct RawKey {
    pub(in crate::config) hash: Option<KeyHash>,
    pub(in crate::config) not_after: Option<Moment>,
}

/// A key with an end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawKeyWithEnd {
    /// `sha256:` and 64 hex digits.
    #[schemars(required)]
    hash: Option<KeyHash>,
    /// Refused from then on: `2027-01-31T12:00:00Z`, or `2027-01-31` for the end of that day in UTC.
    not_after: Option<Moment>,
}

impl<'de> Deserialize<'de> for RawKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = RawKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key hash, or a mapping with `hash` and `not_after`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(RawKey {
                    hash: Some(KeyHash::parse(text)?),
                    not_after: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let RawKeyWithEnd { hash, not_after } =
                    RawKeyWithEnd::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawKey { hash, not_after })
            }
        }

        deserializer.deserialize_any(KeyVisitor)
    }
}

impl JsonSchema for RawKey {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RawKey".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (hash, with_end) = (
            generator.subschema_for::<KeyHash>(),
            generator.subschema_for::<RawKeyWithEnd>(),
        );
        schemars::json_schema!({ "anyOf": [hash, with_end] })
    }
}

/// An issuer of tokens, and which client a token means.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawIssuer {
    /// The `iss` of its tokens, exactly. A list where it has several: Entra's tokens of version 1 and 2 differ.
    #[schemars(required)]
    pub(in crate::config) issuer: Option<Words>,
    /// The `aud` of tokens that are meant for this gateway; one, or any of several.
    pub(in crate::config) audience: Option<Words>,
    /// Its discovery document. Left out: the first issuer and `/.well-known/openid-configuration`.
    pub(in crate::config) discovery: Option<String>,
    /// Its key set, in place of the one that the discovery document names.
    pub(in crate::config) jwks_uri: Option<String>,
    /// Signatures that are accepted, whatever a token says.
    #[schemars(extend("default" = ["RS256"]))]
    pub(in crate::config) algorithms: Option<List<RawAlgorithm>>,
    /// How far its clock and ours may be apart.
    #[schemars(extend("default" = "60s"))]
    pub(in crate::config) leeway: Option<Span<ANY>>,
    /// Also accept tokens that were issued for Azure itself, which unchanged Azure SDKs send. Only such a token is
    /// handed on to endpoints with `credential: caller`.
    #[schemars(extend("default" = false))]
    pub(in crate::config) accept_azure_audience: Option<bool>,
    /// Which client a token means: the first rule that fits. At least one.
    #[schemars(required, length(min = 1))]
    pub(in crate::config) rules: Option<List<RawRule>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::config) enum RawAlgorithm {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "ES256")]
    Es256,
}

/// All claims that are named must fit, each with one of its values.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawRule {
    /// A name from `clients`.
    #[schemars(required)]
    pub(in crate::config) client: Option<String>,
    /// App roles.
    pub(in crate::config) roles: Option<Words>,
    /// Delegated permissions.
    pub(in crate::config) scp: Option<Words>,
    /// The application that asked for the token: `azp`, in version 1 `appid`.
    #[serde(alias = "appid")]
    pub(in crate::config) azp: Option<Words>,
    /// The user or service principal.
    pub(in crate::config) oid: Option<Words>,
    /// Object ids of groups.
    pub(in crate::config) groups: Option<Words>,
}

/// TLS of a listener. Changed files are taken without a restart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawListenTls {
    /// At least one. The one for the name that a client asks for is shown, or else the first.
    #[schemars(required, length(min = 1))]
    pub(in crate::config) certificates: Option<List<RawCertificateFiles>>,
    /// PEM file of the authorities whose client certificates are accepted; left out: none is asked for.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is refused.
    #[schemars(extend("default" = "required"))]
    pub(in crate::config) client_certificate: Option<RawClientCertificate>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum RawClientCertificate {
    Required,
    Optional,
}

/// A certificate and its key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawCertificateFiles {
    /// PEM file with the certificate first, then those that lead to an authority.
    #[schemars(required, with = "Option<String>")]
    pub(in crate::config) certificate: Option<PathBuf>,
    /// PEM file with its private key.
    #[schemars(required, with = "Option<String>")]
    pub(in crate::config) key: Option<PathBuf>,
}

/// TLS toward an endpoint. Files are read at a reload.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawEndpointTls {
    /// PEM file of the authorities that are trusted for this endpoint, in place of the system's.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) ca: Option<PathBuf>,
    /// PEM file of the certificate that is shown to the endpoint, first, and those that lead to its authority.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) certificate: Option<PathBuf>,
    /// PEM file with its private key.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) key: Option<PathBuf>,
    /// Take whoever answers for the endpoint: only for a loopback address.
    #[schemars(extend("default" = false))]
    pub(in crate::config) insecure_skip_verify: Option<bool>,
}
