//! Credentials, endpoints and their deployments.

use std::collections::BTreeMap;

use super::{Alike, Lines, Pairs, Subject, pairs, words};
use crate::{
    config::compiled::{Credential, CredentialKind, Deployment, Endpoint, EndpointTls, Flow},
    ids::CredentialName,
};

pub(super) fn changes(old: &[Endpoint], new: &[Endpoint], lines: &mut Lines) {
    credentials(old, new, lines);
    let Pairs {
        added,
        removed,
        kept,
        reordered,
    } = pairs(old, new, |endpoint| &endpoint.name);
    for endpoint in added {
        lines.add(format!("endpoint {} added", endpoint.name));
    }
    for endpoint in removed {
        lines.add(format!("endpoint {} removed", endpoint.name));
    }
    for (old, new) in kept {
        endpoint(old, new, lines);
    }
    if reordered {
        lines.add("endpoints reordered".to_owned());
    }
}

/// Those that are used before and after: by whom is said at the endpoints.
fn credentials(old: &[Endpoint], new: &[Endpoint], lines: &mut Lines) {
    let new = used(new);
    for (name, old) in used(old) {
        match new.get(name) {
            Some(&new) if new != old => lines.add(format!("credential {name} {}", edit(old, new))),
            Some(_) | None => {}
        }
    }
}

fn used(endpoints: &[Endpoint]) -> BTreeMap<&CredentialName, &CredentialKind> {
    let credentials = endpoints.iter().map(|endpoint| &endpoint.credential);
    credentials
        .map(|Credential { name, kind }| (name, kind))
        .collect()
}

/// Says nothing about the secrets, not even how long they are.
fn edit(old: &CredentialKind, new: &CredentialKind) -> String {
    let word = |kind: &CredentialKind| match kind {
        CredentialKind::ApiKey(_) => "api_key",
        CredentialKind::Bearer(_) => "bearer",
        CredentialKind::Token(source) => match source.flow {
            Flow::ManagedIdentity { .. } => "managed_identity",
            Flow::WorkloadIdentity { .. } => "workload_identity",
            Flow::ClientSecret { .. } => "client_secret",
        },
        CredentialKind::Caller => "caller",
        CredentialKind::None => "none",
    };
    let (old, new) = (word(old), word(new));
    if old == new {
        "changed".to_owned()
    } else {
        format!("{old} → {new}")
    }
}

fn endpoint(old: &Endpoint, new: &Endpoint, lines: &mut Lines) {
    let Endpoint {
        name,
        kind,
        url,
        region,
        credential,
        api_version,
        http2,
        tls,
        deployments,
    } = old;
    let key = |key: &str| format!("endpoint {name} {key}");
    lines.key(&key("kind"), kind, &new.kind, words::kind);
    lines.key(&key("url"), url, &new.url, words::plain);
    lines.key(&key("region"), region, &new.region, words::or("none"));
    lines.key(
        &key("credential"),
        &credential.name,
        &new.credential.name,
        words::plain,
    );
    lines.key(
        &key("api_version"),
        api_version,
        &new.api_version,
        words::or("none"),
    );
    lines.key(&key("http2"), http2, &new.http2, words::plain);
    self::tls(&key("tls"), tls, &new.tls, lines);
    self::deployments(name.as_str(), deployments, &new.deployments, lines);
}

fn tls(endpoint: &str, old: &EndpointTls, new: &EndpointTls, lines: &mut Lines) {
    let EndpointTls {
        authorities,
        certificate,
        verify,
    } = old;
    let none_or = |is_some: bool| if is_some { "given" } else { "none" };
    for (key, is_same, was, is) in [
        (
            "ca",
            *authorities == new.authorities,
            !authorities.is_empty(),
            !new.authorities.is_empty(),
        ),
        (
            "certificate",
            *certificate == new.certificate,
            certificate.is_some(),
            new.certificate.is_some(),
        ),
    ] {
        if is_same {
        } else if was == is {
            lines.add(format!("{endpoint}.{key} changed"));
        } else {
            lines.add(format!(
                "{endpoint}.{key} {} → {}",
                none_or(was),
                none_or(is)
            ));
        }
    }
    let skip = |verify: &bool| (!verify).to_string();
    let key = format!("{endpoint}.insecure_skip_verify");
    lines.key(&key, verify, &new.verify, skip);
}

fn deployments(endpoint: &str, old: &[Deployment], new: &[Deployment], lines: &mut Lines) {
    let Pairs {
        added,
        removed,
        kept,
        reordered,
    } = pairs(old, new, |deployment| &deployment.model);
    for deployment in added {
        lines.add(format!("{endpoint}.{} added", deployment.model));
    }
    for deployment in removed {
        lines.add(format!("{endpoint}.{} removed", deployment.model));
    }
    let mut alike = Alike::new();
    for (old, new) in &kept {
        let Deployment {
            model,
            name,
            priority,
            weight,
            price,
        } = old;
        let mut edits = Lines::default();
        edits.key(" deployment", name, &new.name, words::plain);
        edits.key(" priority", priority, &new.priority, words::plain);
        edits.key(" weight", weight, &new.weight, words::plain);
        edits.key(" price", price, &new.price, words::or("as the model"));
        for edit in edits.0 {
            alike.entry(edit).or_default().push(model.as_str());
        }
    }
    let subject = Subject {
        one: &format!("{endpoint}."),
        several: &format!("{endpoint} deployments "),
        all: &format!("every deployment of {endpoint}"),
        count: kept.len(),
    };
    lines.alike(&alike, &subject);
    if reordered {
        lines.add(format!("endpoint {endpoint} deployments reordered"));
    }
}
