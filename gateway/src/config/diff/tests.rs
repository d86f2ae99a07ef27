use std::{fmt::Write as _, path::Path, sync::LazyLock};

use proptest::prelude::*;
use rcgen::{CertifiedKey, KeyPair};

use super::*;
use crate::{
    config::{
        compile,
        secrets::{SecretError, SecretSource},
    },
    secret::Secret,
};

const SECRET: &str = "hunter2";

/// Every secret is there, and another one for each name.
struct Fake;

impl SecretSource for Fake {
    fn env(&self, name: &str) -> Result<Secret, SecretError> {
        if name == "STATE_DIRECTORY" {
            return Err(SecretError::Absent);
        }
        Ok(Secret::new(format!("{SECRET}-{name}")))
    }

    /// Certificates, and keys where the file is called so.
    fn file(&self, path: &Path) -> Result<Secret, SecretError> {
        static PAIRS: LazyLock<[CertifiedKey<KeyPair>; 2]> = LazyLock::new(|| {
            [(); 2].map(|()| rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap())
        });
        let name = path.to_string_lossy();
        let pair = &PAIRS[usize::from(name.contains("other"))];
        Ok(Secret::new(if name.contains("key") {
            pair.signing_key.serialize_pem()
        } else {
            pair.cert.pem()
        }))
    }

    fn credential(&self, name: &str) -> Result<Secret, SecretError> {
        self.env(name)
    }
}

/// Something of everything. `KEY1` and its like become hashes.
const BASE: &str = "
version: 1
listen: [{ address: 127.0.0.1:8080 }, { address: 127.0.0.1:8081 }]
log: { level: info }
limits: { body: 32MiB }
traces: { otlp: http://collector:4318, headers: { x-key: { env: OTLP } } }
credentials:
  west: { api_key: { env: WEST } }
  east: { api_key: { env: EAST } }
endpoints:
  aoi-1: { url: https://a, region: swedencentral, credential: west, deployments: { gpt-4o: { deployment: gpt4 }, mini: {}, emb: {} } }
  aoi-2: { url: https://b, region: westeurope, credential: east, deployments: { gpt-4o: {}, mini: {}, emb: {}, dall: {} } }
  vllm: { url: 'http://[::1]:8000', kind: openai, region: swedencentral, credential: none, deployments: { mini: {} } }
defaults: { timeouts: { total: 30m } }
models:
  gpt-4o: { aliases: [gpt-4-turbo, gpt-4] }
  dall: { aliases: [pictures] }
clients:
  team-a: { keys: [KEY1, KEY2], models: [gpt-4o, dall], default_model: gpt-4o }
  team-b: { keys: [KEY3] }
  robots: {}
jwt: [{ issuer: https://i.example, audience: a, rules: [{ client: robots, roles: [r, s] }] }]
";

const CASES: &str = include_str!("tests/cases.txt");

/// One block of [`CASES`].
#[derive(Debug)]
struct Case {
    edits: Vec<(String, String)>,
    changes: Vec<&'static str>,
    consequences: Vec<&'static str>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for block in CASES.split("\n\n") {
        let lines = block.lines().filter(|line| !line.starts_with('#'));
        let (said, edits): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("  "));
        let (consequences, changes): (Vec<&str>, Vec<&str>) =
            said.iter().partition(|line| line.starts_with("  ! "));
        let edit = |line: &str| {
            let (from, to) = line.split_once(" =>").expect(line);
            (from.to_owned(), to.trim_start().replace("\\n", "\n"))
        };
        if !edits.is_empty() {
            cases.push(Case {
                edits: edits.into_iter().map(edit).collect(),
                changes: changes.iter().map(|line| &line[2..]).collect(),
                consequences: consequences.iter().map(|line| &line[4..]).collect(),
            });
        }
    }
    assert!(cases.len() > 60, "the cases were not found");
    cases
}

fn edited(edits: &[(String, String)]) -> String {
    edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` does not stand in\n{text}");
        text.replacen(from, to, 1)
    })
}

fn compiled(text: &str) -> Option<Compiled> {
    let key = |text: String, n: usize| {
        text.replace(
            &format!("KEY{n}"),
            &format!("sha256:{}", n.to_string().repeat(64)),
        )
    };
    let text = (1..=6).fold(text.to_owned(), key);
    Some(compile(&text, &Fake).ok()?.0)
}

fn texts(diff: &Diff) -> Vec<&str> {
    diff.changes
        .iter()
        .map(|change| change.text.as_str())
        .collect()
}

/// The changes tell two configurations apart exactly if they differ, and nothing that is secret is shown.
fn check(old: &Compiled, new: &Compiled) -> Diff {
    let diff = diff(old, new);
    assert_eq!(diff.changes.is_empty(), old == new, "{diff:#?}");
    if old == new {
        assert!(diff.consequences.is_empty(), "{diff:#?}");
    }
    for change in &diff.changes {
        let says_so = change.text.ends_with(": needs restart");
        assert_eq!(change.needs_restart, says_so, "{change:?}");
    }
    let shown = format!("{diff:?}").to_lowercase();
    for secret in [SECRET, "11111111", "22222222", "33333333", "sha256"] {
        assert!(!shown.contains(secret), "`{secret}` is shown: {diff:#?}");
    }
    diff
}

#[test]
fn every_edit_is_said_as_people_read_it() {
    let base = compiled(BASE).unwrap();
    for case in cases() {
        let text = edited(&case.edits);
        let new = compiled(&text).unwrap_or_else(|| panic!("does not compile:\n{text}"));
        let diff = check(&base, &new);
        assert_eq!(texts(&diff), case.changes, "{:#?}", case.edits);
        assert_eq!(diff.consequences, case.consequences, "{:#?}", case.edits);
    }
}

#[test]
fn any_two_configurations_have_changes_exactly_if_they_differ() {
    let all: Vec<_> = cases()
        .iter()
        .map(|case| compiled(&edited(&case.edits)).unwrap())
        .collect();
    for old in &all {
        for new in &all {
            check(old, new);
        }
    }
}

proptest! {
    /// Many edits at once, as far as they go together.
    #[test]
    fn so_have_any_two_that_differ_in_many_places(
        picks in prop::collection::vec((0..cases().len(), any::<bool>()), 1..12),
    ) {
        let cases = cases();
        let mut texts = [BASE.to_owned(), BASE.to_owned()];
        for (pick, side) in picks {
            let text = &mut texts[usize::from(side)];
            let next = cases[pick].edits.iter().fold(text.clone(), |text, (from, to)| text.replacen(from, to, 1));
            if compiled(&next).is_some() {
                *text = next;
            }
        }
        let [old, new] = texts.map(|text| compiled(&text).unwrap());
        check(&old, &new);
    }
}

fn open(text: &str) -> Compiled {
    let closed = text.find("clients:").unwrap();
    compiled(&format!("{}open: true\n", &text[..closed])).unwrap()
}

#[test]
fn an_open_gateway_that_is_closed_says_who_is_refused() {
    let diff = check(&open(BASE), &compiled(BASE).unwrap());
    assert_eq!(
        texts(&diff),
        [
            "open true → false",
            "client team-a added",
            "client team-b added",
            "client robots added",
            "jwt https://i.example added"
        ]
    );
    assert_eq!(
        diff.consequences,
        ["requests without the key of a client are refused"]
    );
}

#[test]
fn an_open_gateway_loses_a_model_for_everybody_in_one_line() {
    let without = BASE.replace(", emb: {}", "");
    let diff = check(&open(BASE), &open(&without));
    assert_eq!(texts(&diff), ["aoi-1.emb removed", "aoi-2.emb removed"]);
    assert_eq!(
        diff.consequences,
        ["model emb is no longer served by anybody"]
    );
}

#[test]
fn a_diff_travels_as_json() {
    let new = compiled(&BASE.replace("level: info", "format: text")).unwrap();
    let diff = check(&compiled(BASE).unwrap(), &new);
    let json = serde_json::to_string(&diff).unwrap();
    assert_eq!(
        json,
        r#"{"changes":[{"text":"log.format auto → text: needs restart","needs_restart":true}],"consequences":[]}"#
    );
    assert_eq!(serde_json::from_str::<Diff>(&json).unwrap(), diff);
}

/// 10,000 deployments, each of a model of its own; every second one of 100 endpoints is drained.
#[test]
fn a_large_fleet_is_compared() {
    let mut texts = ["", ""].map(|_| {
        "version: 1\nopen: true\nlisten: [{ address: 127.0.0.1:1 }]\nendpoints:\n".to_owned()
    });
    for number in 0..100 {
        let models: String = (0..100).fold(String::new(), |mut text, model| {
            write!(text, "m{}: {{}}, ", model * 100 + number).unwrap();
            text
        });
        for (text, weight) in texts.iter_mut().zip([1, number % 2]) {
            writeln!(text, "  e{number}: {{ url: 'https://e{number}', credential: none, weight: {weight}, deployments: {{ {models} }} }}").unwrap();
        }
    }
    let [old, new] = texts.map(|text| compiled(&text).unwrap());
    let diff = check(&old, &new);
    assert_eq!(diff.changes.len(), 50);
    assert_eq!(diff.consequences.len(), 5000);
}
