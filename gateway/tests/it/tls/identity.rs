//! Who a client is by its certificate, with the program and its configuration file.

use gateway::config::client_key::{format_key_hash, key_hash};
use reqwest::Response;
use serde_json::Value;
use simulator::{ClientName, Issued};

use crate::support::{CHAT, Fleet, Seen, tls::Trust};

const PATH: &str = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";
const KEY_OF_A: &str = "tw-of-team-a";
const KEY_OF_B: &str = "tw-of-team-b";

struct Guarded {
    trust: Trust,
    fleet: Fleet,
}

impl Guarded {
    async fn start(whether: &str) -> Self {
        let trust = Trust::new();
        let hash = |key| format_key_hash(&key_hash(key));
        let config = format!(
            "{}clients:\n  \
             team-a: {{ keys: [\"{}\"], certificates: [\"cn:team-a\"] }}\n  \
             team-b: {{ keys: [\"{}\"], certificates: [\"dns:b.example.com\", \"uri:spiffe://example.com/b\", \
             \"email:Team-B@Example.com\"] }}\n",
            trust.listen(&trust.clients(whether)),
            hash(KEY_OF_A),
            hash(KEY_OF_B)
        );
        let fleet = Fleet::start(&config).await;
        Self { trust, fleet }
    }

    async fn ask(
        &self,
        certificate: Option<&Issued>,
        key: Option<&str>,
    ) -> reqwest::Result<Response> {
        let client = self.trust.client(certificate).build().unwrap();
        let request = client
            .post(self.fleet.gateway.https_url(PATH))
            .header("content-type", "application/json")
            .body(CHAT);
        let request = match key {
            None => request,
            Some(key) => request.header("api-key", key),
        };
        request.send().await
    }

    /// Status and code of the answer, and the client in the access log.
    async fn seen(
        &mut self,
        certificate: Option<&Issued>,
        key: Option<&str>,
    ) -> (u16, String, Value) {
        let seen = Seen::read(self.ask(certificate, key).await.unwrap()).await;
        let mut line = self.fleet.gateway.next_access();
        assert_eq!(line["status"], seen.status);
        (seen.status, seen.code(), line["client"].take())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_a_certificate_says_which_client_it_is() {
    let mut guarded = Guarded::start("required").await;
    let authority = &guarded.trust.authority;
    let named = |names: &[ClientName<'_>]| authority.client("somebody", names);
    let a = authority.client("team-a", &[]);
    let stranger = authority.client("team-c", &[ClientName::Dns("c.example.com")]);
    let (dns, uri, email) = (
        named(&[ClientName::Dns("b.example.com")]),
        named(&[ClientName::Uri("spiffe://example.com/b")]),
        named(&[ClientName::Email("tEAM-b@eXAMPLE.com")]),
    );
    let lower = named(&[ClientName::Email("team-b@example.com")]);
    let twice = named(&[
        ClientName::Dns("b.example.com"),
        ClientName::Email("Team-B@Example.com"),
    ]);
    let of_two = authority.client("team-a", &[ClientName::Dns("b.example.com")]);
    let client = |name: &str| (200, String::new(), Value::from(name));
    let refused = |status, code: &str| (status, code.to_owned(), Value::Null);
    for (what, certificate, key, expected) in [
        ("a common name", &a, None, client("team-a")),
        ("a host name", &dns, None, client("team-b")),
        ("a URI", &uri, None, client("team-b")),
        ("an address", &email, None, client("team-b")),
        ("in lower case", &lower, None, client("team-b")),
        ("two names of one client", &twice, None, client("team-b")),
        (
            "names of two clients",
            &of_two,
            None,
            refused(400, "conflicting_credentials"),
        ),
        (
            "and the key of one of them",
            &of_two,
            Some(KEY_OF_A),
            refused(400, "conflicting_credentials"),
        ),
        ("and its own key", &a, Some(KEY_OF_A), client("team-a")),
        (
            "and the key of another",
            &a,
            Some(KEY_OF_B),
            refused(400, "conflicting_credentials"),
        ),
        (
            "and a wrong key",
            &a,
            Some("tw-of-nobody"),
            refused(401, "invalid_api_key"),
        ),
        (
            "unknown names",
            &stranger,
            None,
            refused(401, "unknown_certificate"),
        ),
        (
            "unknown names and a key",
            &stranger,
            Some(KEY_OF_B),
            client("team-b"),
        ),
    ] {
        let seen = guarded.seen(Some(certificate), key).await;
        assert_eq!(seen, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_certificate_is_let_in_by_a_key_only_where_none_is_required() {
    for (whether, served) in [("required", false), ("optional", true)] {
        let mut guarded = Guarded::start(whether).await;
        for (key, status) in [(Some(KEY_OF_B), 200), (None, 401)] {
            let answer = guarded.ask(None, key).await;
            let answer = answer.map(|answer| answer.status().as_u16()).ok();
            assert_eq!(answer, served.then_some(status), "{whether}, {key:?}");
        }
        if !served {
            // Neither of them was a request.
            let known = guarded.trust.authority.client("team-a", &[]);
            let seen = guarded.seen(Some(&known), None).await;
            assert_eq!(seen, (200, String::new(), Value::from("team-a")));
        }
        let requests: u64 = guarded.fleet.requests("gpt-4o").iter().sum();
        assert_eq!(requests, 1, "{whether}");
    }
}
