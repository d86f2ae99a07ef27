use std::path::Path;

use super::*;
use crate::{
    config::{
        compile,
        secrets::{SecretError, SecretSource},
    },
    secret::Secret,
};

const SECRET: &str = "hunter2-hunter2-hunter2";

/// Every secret is there.
struct Fake(&'static str);

impl SecretSource for Fake {
    fn env(&self, name: &str) -> Result<Secret, SecretError> {
        if name == "STATE_DIRECTORY" || name.starts_with("AZURE_") {
            return Err(SecretError::Absent);
        }
        Ok(Secret::new(self.0.to_owned()))
    }

    fn file(&self, _: &Path) -> Result<Secret, SecretError> {
        self.env("")
    }

    fn credential(&self, _: &str) -> Result<Secret, SecretError> {
        self.env("")
    }
}

const TEXT: &str = "
version: 1
listen: [{ address: 127.0.0.1:8080 }, { address: '[::1]:8081', h2c: true }]
admin: { socket: /run/a.sock, token: { env: TOKEN } }
credentials:
  key: { api_key: { env: KEY } }
  pair: { api_key: { primary: { env: A }, secondary: { env: B } } }
  fixed: { bearer: { env: KEY } }
  machine: { managed_identity: { client_id: c } }
  cluster: { workload_identity: { tenant_id: t, client_id: c, token_file: /t } }
  app: { client_secret: { tenant_id: t, client_id: c, secret: { env: S } } }
endpoints:
  a: { url: 'https://a.example:444/x', credential: key, region: r, deployments: { m: { weight: 3, priority: 2 } } }
  b: { url: https://b, credential: pair, deployments: { m: { deployment: n } } }
  c: { url: 'http://[::1]:80', kind: openai, credential: fixed, deployments: { m: {} } }
  d: { url: https://d, credential: machine, deployments: { m: {} } }
  e: { url: https://e, credential: cluster, deployments: { m: {} } }
  f: { url: https://f, credential: app, deployments: { m: {}, o: {} } }
  g: { url: https://g, credential: caller, deployments: { m: {} } }
  h: { url: https://h, credential: none, deployments: { o: {} } }
models:
  m: { aliases: [mm], circuit_breaker: { statuses: [429, 500-504] } }
  o: { circuit_breaker: off, timeouts: { read: 1500ms } }
";

const CLIENTS: &str = "
clients:
  team-a: { keys: ['sha256:0123456789012345678901234567890123456789012345678901234567890123'], models: [mm] }
  team-b: { certificates: [cn:b], explain: true }
  robots: {}
jwt: [{ issuer: https://i.example, audience: a, rules: [{ client: robots, roles: [r, s] }] }]
";

fn effective(text: &str, secret: &'static str) -> (Compiled, Effective) {
    let (compiled, _) = compile(text, &Fake(secret)).unwrap_or_else(|errors| {
        let errors: Vec<_> = errors.iter().map(|error| error.render("c")).collect();
        panic!("{}\n{text}", errors.join("\n"))
    });
    let effective = Effective::of(&compiled);
    (compiled, effective)
}

#[test]
fn what_is_shown_means_the_same_but_for_its_secrets() {
    let text = format!("open: true\nexplain: true\ndefault_model: m\n{TEXT}");
    let (compiled, shown) = effective(&text, SECRET);
    // A secret of the file's own, as long as a token must be.
    let again = shown.text.replace(REDACTED, SECRET);
    let (compiled_again, shown_again) = effective(&again, SECRET);
    assert_eq!(shown_again, shown);
    assert_eq!(compiled_again, compiled);
}

#[test]
fn no_secret_and_no_hash_of_a_key_is_shown_and_none_changes_the_hash() {
    let text = format!("{TEXT}{CLIENTS}");
    let (_, shown) = effective(&text, SECRET);
    for hidden in [SECRET, "hunter2", "0123456789"] {
        assert!(!shown.text.contains(hidden), "{}", shown.text);
    }
    for visible in ["team-a", "<redacted>", "cn:b", "client: robots", "500-504"] {
        assert!(shown.text.contains(visible), "{visible}: {}", shown.text);
    }
    assert_eq!(shown.hash.len(), 12);
    assert_eq!(effective(&text, "another-one-another-one").1, shown);
    let (_, other) = effective(&text.replace("weight: 3", "weight: 4"), SECRET);
    assert_ne!(other.hash, shown.hash);
}
