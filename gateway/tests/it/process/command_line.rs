//! What a newcomer and a package see of the program.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tokenweir"))
        .args(arguments)
        .output()
        .expect("the binary was built")
}

const MODES: [&str; 10] = [
    "serve",
    "check",
    "reload",
    "upgrade",
    "status",
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
