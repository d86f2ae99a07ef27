//! What a newcomer and a package see of the program.

use std::{
    path::Path,
    process::{Command, Output},
};

use rustix::fs::{CWD, Mode, mkfifoat};
use simulator::TestAuthority;

use crate::support::PATIENCE;

pub(super) fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tokenweir"))
        .args(arguments)
        .output()
        .expect("the binary was built")
}

const MODES: [&str; 11] = [
    "serve",
    "check",
    "reload",
    "upgrade",
    "status",
    "top",
    "schema",
    "keys",
    "demo",
    "completions",
    "man",
];

#[test]
fn help_manual_and_completions_know_every_mode() {
    for arguments in [
        &["--help"][..],
        &["man"],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
    ] {
        let output = run(arguments);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap().to_lowercase();
        for mode in MODES {
            assert!(text.contains(mode), "{arguments:?} does not know {mode}");
        }
        assert!(
            !text.contains("take-over") && !text.contains("take_over"),
            "{arguments:?}"
        );
    }
}

#[test]
fn exit_codes_are_those_of_sysexits() {
    for (arguments, code) in [
        (&["--version"][..], 0),
        (&["--nope"], 64),
        (&["nope"], 64),
        (&["check", "--config", "/nonexistent.yaml"], 78),
        (&["--config", "/nonexistent.yaml"], 78),
        (&["reload", "--socket", "/nonexistent.sock"], 69),
        (&["status", "--socket", "/nonexistent.sock"], 69),
        (&["status", "--url", "http://127.0.0.1:1"], 69),
        (&["status", "--url", "127.0.0.1:1"], 64),
        (&["status", "--token-file", "/nonexistent"], 64),
        (&["top", "--socket", "/nonexistent.sock"], 69),
        // Standard input is no gateway.
        (&["--take-over", "--config", "/nonexistent.yaml"], 69),
        (
            &["check", "--take-over", "--config", "/nonexistent.yaml"],
            78,
        ),
    ] {
        let output = run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        assert_eq!(
            output.stderr.is_empty(),
            code == 0,
            "{arguments:?}: {output:?}"
        );
        assert!(!output.stderr.contains(&b'\x1b'), "no colour in a file");
    }
}

/// Checks a configuration with these in it. Ends with another exit code than ours if it hangs.
fn check(folder: &Path, [listener, credential, endpoint]: [&str; 3], arguments: &[&str]) -> Output {
    let config = folder.join("config.yaml");
    let text = format!(
        "version: 1\nopen: true\nlisten: [{{ address: \"127.0.0.1:0\"{listener} }}]\n\
         credentials: {{ one: {credential} }}\n\
         endpoints: {{ a: {{ url: \"https://localhost:9\", credential: one{endpoint}, deployments: {{ m: {{}} }} }} }}\n"
    );
    std::fs::write(&config, text).unwrap();
    Command::new("timeout")
        .arg(PATIENCE.as_secs().to_string())
        .arg(env!("CARGO_BIN_EXE_tokenweir"))
        .arg("check")
        .arg("--config")
        .arg(config)
        .args(arguments)
        .output()
        .expect("coreutils are there")
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_an_error_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let pipe = place("pipe");
    mkfifoat(CWD, Path::new(&pipe), Mode::RUSR | Mode::WUSR).unwrap();
    let issued = TestAuthority::new().server(&["localhost"]);
    let issued = issued.write(folder.path(), "good").unwrap();
    let (certificate, key) = (issued.certificate.display(), issued.key.display());
    let listener = |certificate: &str, key: &str, more: &str| {
        let pair = format!("certificate: {certificate}, key: {key}");
        format!(", tls: {{ certificates: [{{ {pair} }}]{more} }}")
    };
    let (certificate, key) = (certificate.to_string(), key.to_string());
    let own = "{ api_key: { value: k } }";
    let secret = format!("{{ api_key: {{ file: {pipe} }} }}");
    let second =
        format!("{{ api_key: {{ primary: {{ value: k }}, secondary: {{ file: {pipe} }} }} }}");
    let clients = format!(", client_ca: {pipe}, client_certificate: required");
    let ca = format!(", tls: {{ ca: {pipe} }}");
    let shown = format!(", tls: {{ certificate: {pipe}, key: {key} }}");
    for parts in [
        ["", &secret, ""],
        ["", &second, ""],
        [&listener(&pipe, &key, ""), own, ""],
        [&listener(&certificate, &pipe, ""), own, ""],
        [&listener(&certificate, &key, &clients), own, ""],
        ["", own, &ca],
        ["", own, &shown],
    ] {
        let output = check(folder.path(), parts, &[]);
        let case = format!("{parts:?}: {output:?}");
        assert_eq!(output.status.code(), Some(78), "{case}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("it is no regular file"), "{case}");
    }
    // Read for every token, so not before it is asked for.
    let token = format!(
        "{{ workload_identity: {{ authority: \"http://127.0.0.1:9\", tenant_id: t, client_id: c, token_file: {pipe} }} }}"
    );
    let output = check(folder.path(), ["", &token, ""], &["--auth"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("it is no regular file"), "{output:?}");
}
