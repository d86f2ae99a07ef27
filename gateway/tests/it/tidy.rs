//! The rules of `ARCHITECTURE.md` that a machine can check: who may import what, and how long a file may get.

use std::{
    fs,
    path::{Path, PathBuf},
};

const LINES_MAX: usize = 500;

/// Words that may stand only in files below these places (of `src`).
const ONLY_IN: [(&str, &[&str]); 8] = [
    ("pingora_proxy::", &["proxy"]),
    ("Instant::now", &["clock.rs"]),
    ("SystemTime::now", &["clock.rs"]),
    ("clock_gettime", &["clock.rs"]),
    (
        "std::fs",
        &[
            "auth/files.rs",
            "config/load.rs",
            "log/output.rs",
            "server/sockets.rs",
            "server/tls/files.rs",
        ],
    ),
    (
        "fs::File",
        &[
            "auth/files.rs",
            "config/load.rs",
            "log/output.rs",
            "server/sockets.rs",
            "server/tls/files.rs",
        ],
    ),
    ("env::var", &["config/load.rs"]),
    (".register(", &["metrics.rs", "metrics"]),
];

/// Words that must not stand below these places.
const NEVER_IN: [(&str, &[&str]); 8] = [
    (
        "pingora",
        &["policy", "api", "config", "ids.rs", "secret.rs"],
    ),
    (
        "tokio",
        &[
            "policy", "api", "config", "state", "state.rs", "pool.rs", "ids.rs",
        ],
    ),
    (
        "tracing::",
        &[
            "policy",
            "api",
            "config",
            "state",
            "state.rs",
            "pool.rs",
            "course.rs",
        ],
    ),
    ("fastrand", &["policy", "api", "config", "state"]),
    (
        "prometheus",
        &["policy", "api", "config", "state", "pool.rs"],
    ),
    ("clock::now", &["policy", "api", "state"]),
    ("parking_lot", &["policy", "api", "config"]),
    (
        "simulator",
        &[
            "policy",
            "api",
            "config",
            "proxy",
            "state",
            "server.rs",
            "snapshot.rs",
        ],
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Code without comments: they may speak of anything.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

#[test]
fn imports_keep_to_the_architecture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 40, "the sources were not found");
    let mut found = Vec::new();
    for file in &files {
        let place = file.strip_prefix(&root).unwrap();
        let is_below = |places: &[&str]| places.iter().any(|below| place.starts_with(below));
        for (number, line) in code(&fs::read_to_string(file).unwrap()) {
            let strays = ONLY_IN
                .iter()
                .filter(|(word, allowed)| line.contains(word) && !is_below(allowed));
            let banned = NEVER_IN
                .iter()
                .filter(|(word, places)| line.contains(word) && is_below(places));
            for (word, _) in strays.chain(banned) {
                found.push(format!("{}:{number}: {word}", place.display()));
            }
        }
    }
    assert!(found.is_empty(), "out of place:\n{}", found.join("\n"));
}

#[test]
fn no_file_is_longer_than_a_person_reads_at_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned();
    let mut files = Vec::new();
    for folder in ["gateway/src", "gateway/tests", "loadtest", "benches"] {
        sources(&root.join(folder), &mut files);
    }
    let lines = |file: &PathBuf| fs::read_to_string(file).unwrap().lines().count();
    let long: Vec<String> = files
        .iter()
        .filter(|file| lines(file) > LINES_MAX)
        .map(|file| format!("{} has {} lines", file.display(), lines(file)))
        .collect();
    assert!(long.is_empty(), "split these:\n{}", long.join("\n"));
}
