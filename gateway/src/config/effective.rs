//! The configuration that is in use, as an operator would have to write it out in full: every default filled in, every
//! secret and every hash of a key left out. Pure.
//!
//! Every struct is taken apart without `..`, as in [`super::diff`]: a field that is added and not shown does not compile.

mod access;
mod policy;

use serde_yaml::{Mapping, Value};
use sha2::{Digest as _, Sha256};

use self::{access::access, policy::model};
use super::{
    compile::{IMDS_PATH, TRACES_PATH},
    compiled::{
        Admin, ApiKey, CertificateFiles, ClientCertificates, Compiled, Credential, CredentialKind,
        Deployment, Endpoint, EndpointTls, Flow, IdentityId, Limits, Listen, ListenTls, Log,
        Platform, TokenSource, Traces,
    },
    diff::words,
};

const REDACTED: &str = "<redacted>";
/// Bytes of the hash that are shown.
const HASH_BYTES: usize = 6;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// YAML.
    pub text: String,
    /// The beginning of the SHA-256 of the text, in hex: of nothing that is secret, so a key that is replaced changes
    /// it not, and nobody learns anything about one from it.
    pub hash: String,
}

impl Effective {
    #[must_use]
    pub fn of(compiled: &Compiled) -> Self {
        let text = serde_yaml::to_string(&whole(compiled)).expect("names and numbers are YAML");
        let digest = Sha256::digest(text.as_bytes());
        let hash = hex::encode(&digest[..HASH_BYTES]);
        Self { text, hash }
    }
}

fn whole(compiled: &Compiled) -> Value {
    let Compiled {
        listen,
        admin,
        threads,
        limits,
        drain_timeout,
        state_directory,
        hand_over_timeout,
        log,
        traces,
        response_headers,
        currency,
        endpoints,
        models,
        access: who,
    } = compiled;
    let mut credentials = Mapping::new();
    for endpoint in endpoints {
        let Credential { name, kind } = &endpoint.credential;
        if !matches!(kind, CredentialKind::Caller) {
            credentials.insert(text(name), credential(kind));
        }
    }
    let mut whole = vec![
        ("version", 1.into()),
        ("listen", list(listen, self::listen)),
        ("admin", admin.as_ref().map_or("off".into(), self::admin)),
        ("threads", number(*threads)),
        ("drain_timeout", words::span(drain_timeout).into()),
        ("hand_over_timeout", words::span(hand_over_timeout).into()),
        (
            "state_directory",
            or_null(state_directory.as_ref(), |path| text(&path.display())),
        ),
        ("response_headers", (*response_headers).into()),
        ("log", self::log(log)),
        ("traces", or_null(traces.as_ref(), self::traces)),
        ("currency", text(currency)),
        ("limits", self::limits(limits)),
        ("credentials", credentials.into()),
        (
            "endpoints",
            named(endpoints, |endpoint| &endpoint.name, self::endpoint),
        ),
        ("models", named(models, |model| &model.name, model)),
    ];
    whole.extend(access(who));
    map(whole)
}

fn listen(listen: &Listen) -> Value {
    let Listen { address, h2c, tls } = listen;
    map([
        ("address", text(address)),
        ("h2c", (*h2c).into()),
        ("tls", or_null(tls.as_ref(), listen_tls)),
    ])
}

fn listen_tls(tls: &ListenTls) -> Value {
    let ListenTls {
        certificates,
        clients,
    } = tls;
    let files = |CertificateFiles { certificate, key }: &CertificateFiles| {
        map([
            ("certificate", text(&certificate.display())),
            ("key", text(&key.display())),
        ])
    };
    let (ca, asked) = match clients {
        None => (Value::Null, Value::Null),
        Some(ClientCertificates { ca, required }) => {
            let asked = if *required { "required" } else { "optional" };
            (text(&ca.display()), asked.into())
        }
    };
    map([
        ("certificates", list(certificates, files)),
        ("client_ca", ca),
        ("client_certificate", asked),
    ])
}

fn admin(admin: &Admin) -> Value {
    let Admin {
        address,
        socket,
        token,
    } = admin;
    map([
        ("address", text(address)),
        (
            "socket",
            or_null(socket.as_ref(), |path| text(&path.display())),
        ),
        ("token", or_null(token.as_ref(), |_| secret())),
    ])
}

fn log(log: &Log) -> Value {
    let Log {
        level,
        format,
        file,
    } = log;
    map([
        ("level", level.as_str().into()),
        ("format", words::format(format).into()),
        ("file", or_null(file.as_ref(), |path| text(&path.display()))),
    ])
}

fn traces(traces: &Traces) -> Value {
    let Traces {
        url,
        sample_percent,
        headers,
        service_name,
    } = traces;
    let base = url.strip_suffix(TRACES_PATH).unwrap_or(url);
    map([
        ("otlp", text(base)),
        ("sample", words::percent(sample_percent).into()),
        ("service_name", text(service_name)),
        ("headers", named(headers, |(name, _)| name, |_| secret())),
    ])
}

fn limits(limits: &Limits) -> Value {
    let Limits {
        body_bytes_max,
        buffered_bytes_max,
        header_bytes_max,
        keep_alive,
        client_read,
        client_body,
    } = limits;
    map([
        ("body", words::size(body_bytes_max).into()),
        ("buffered", words::size(buffered_bytes_max).into()),
        ("header", words::size(header_bytes_max).into()),
        ("keep_alive", words::span(keep_alive).into()),
        ("client_read", words::span(client_read).into()),
        ("client_body", words::span(client_body).into()),
    ])
}

fn credential(kind: &CredentialKind) -> Value {
    match kind {
        CredentialKind::ApiKey(ApiKey {
            primary: _,
            secondary: None,
        }) => map([("api_key", secret())]),
        CredentialKind::ApiKey(ApiKey {
            primary: _,
            secondary: Some(_),
        }) => {
            let pair = map([("primary", secret()), ("secondary", secret())]);
            map([("api_key", pair)])
        }
        CredentialKind::Bearer(_) => map([("bearer", secret())]),
        CredentialKind::Token(source) => token(source),
        CredentialKind::Caller => "caller".into(),
        CredentialKind::None => "none".into(),
    }
}

fn token(source: &TokenSource) -> Value {
    let TokenSource { flow, scope } = source;
    let (kind, mut section) = match flow {
        Flow::ManagedIdentity { platform, identity } => {
            let (source, url, key_directory) = match platform {
                Platform::Imds { url } => {
                    let base = url.strip_suffix(IMDS_PATH).unwrap_or(url);
                    ("imds", base, Value::Null)
                }
                // Its header is a secret of the platform.
                Platform::AppService { url, header: _ } => ("app_service", &**url, Value::Null),
                Platform::Arc { url, key_directory } => {
                    ("arc", &**url, text(&key_directory.display()))
                }
            };
            let mut section = vec![("source", source.into()), ("url", text(url))];
            section.push(("key_directory", key_directory));
            section.extend(match identity {
                IdentityId::System => None,
                IdentityId::ClientId(id) => Some(("client_id", text(id))),
                IdentityId::ObjectId(id) => Some(("object_id", text(id))),
                IdentityId::ResourceId(id) => Some(("resource_id", text(id))),
            });
            ("managed_identity", section)
        }
        Flow::WorkloadIdentity {
            authority,
            tenant,
            client_id,
            token_file,
        } => {
            let section = vec![
                ("authority", text(authority)),
                ("tenant_id", text(tenant)),
                ("client_id", text(client_id)),
                ("token_file", text(&token_file.display())),
            ];
            ("workload_identity", section)
        }
        Flow::ClientSecret {
            authority,
            tenant,
            client_id,
            secret: _,
        } => {
            let section = vec![
                ("authority", text(authority)),
                ("tenant_id", text(tenant)),
                ("client_id", text(client_id)),
                ("secret", secret()),
            ];
            ("client_secret", section)
        }
    };
    section.push(("scope", text(scope)));
    map([(kind, map(section))])
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let Endpoint {
        name: _,
        kind,
        url,
        region,
        credential,
        api_version,
        http2,
        tls,
        deployments,
    } = endpoint;
    map([
        ("url", text(url)),
        ("kind", words::kind(kind).into()),
        ("region", or_null(region.as_ref(), text)),
        ("credential", text(&credential.name)),
        ("api_version", or_null(api_version.as_ref(), text)),
        ("http2", (*http2).into()),
        ("tls", endpoint_tls(tls)),
        (
            "deployments",
            named(deployments, |deployment| &deployment.model, deployment),
        ),
    ])
}

/// The files were read: what is left of them is what they held.
fn endpoint_tls(tls: &EndpointTls) -> Value {
    let EndpointTls {
        authorities,
        certificate,
        verify,
    } = tls;
    if *tls == EndpointTls::default() {
        return Value::Null;
    }
    let ca = (!authorities.is_empty()).then(|| format!("<{} certificates>", authorities.len()));
    let certificate = certificate.as_ref().map(|_| REDACTED);
    map([
        ("ca", or_null(ca.as_ref(), text)),
        ("certificate", or_null(certificate.as_ref(), text)),
        ("key", or_null(certificate.as_ref(), text)),
        ("insecure_skip_verify", (!verify).into()),
    ])
}

fn deployment(deployment: &Deployment) -> Value {
    let Deployment {
        model: _,
        name,
        priority,
        weight,
        price,
    } = deployment;
    map([
        ("deployment", text(name)),
        ("priority", (*priority).into()),
        ("weight", (*weight).into()),
        ("price", or_null(price.as_ref(), policy::price)),
    ])
}

fn secret() -> Value {
    map([("value", REDACTED.into())])
}

fn text<T: ToString + ?Sized>(value: &T) -> Value {
    value.to_string().into()
}

fn number(value: usize) -> Value {
    u64::try_from(value).unwrap_or(u64::MAX).into()
}

fn or_null<T>(value: Option<&T>, show: impl Fn(&T) -> Value) -> Value {
    value.map_or(Value::Null, show)
}

fn list<T>(items: &[T], show: impl Fn(&T) -> Value) -> Value {
    items.iter().map(show).collect::<Vec<_>>().into()
}

fn named<T, N: ToString>(
    items: &[T],
    name: impl Fn(&T) -> &N,
    show: impl Fn(&T) -> Value,
) -> Value {
    let entry = |item| (text(name(item)), show(item));
    items.iter().map(entry).collect::<Mapping>().into()
}

/// In this order, without what is not given.
fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    entries
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (Value::from(key), value))
        .collect::<Mapping>()
        .into()
}

#[cfg(test)]
mod tests;
