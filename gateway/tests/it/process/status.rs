//! `tokenweir status`: what it says to people and to scripts, on the socket and on the address.

use std::process::Output;

use serde_json::Value;

use super::{command_line::run, terminal::Terminal};
use crate::support::{ADMIN_TOKEN, Fleet, WITH_ADMIN_TOKEN};

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_is_served_to_people_and_to_scripts() {
    let fleet = Fleet::start(WITH_ADMIN_TOKEN).await;
    let gateway = &fleet.gateway;
    for (order, code, second_line) in [
        (None, 0, "everything is served"),
        (
            Some(["drain", "aoi-2"]),
            0,
            "4 of 7 deployments healthy; every model is served",
        ),
        (Some(["disable", "aoi-3"]), 1, "gpt-4o-mini is not served"),
    ] {
        if let Some([verb, endpoint]) = order {
            let done = gateway.ask(&["endpoint", verb, endpoint]);
            assert!(done.status.success(), "{done:?}");
        }
        let output = gateway.ask(&["status"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert_eq!(text.lines().nth(1), Some(second_line), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        let table = text.lines().filter(|line| !line.starts_with("endpoint "));
        assert!(table.into_iter().all(|line| line.chars().count() <= 80));

        let output = gateway.ask(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{status}");
        assert_eq!(status["pools"].as_array().map(Vec::len), Some(3));
    }
    let text = said(&gateway.ask(&["status"]));
    for line in [
        "gpt-4o-mini  none of 2 usable  round_robin\n",
        "  1 aoi-1      ● healthy    -                 0\n",
        "  1 aoi-2      ○ disabled   drained           0\n",
        "  1 aoi-3      ○ disabled   by operator       0\n",
        "endpoint aoi-2: drained by operator, requests left: 0; `tokenweir endpoint enable aoi-2` ends that\n",
        "endpoint aoi-3: disabled by operator,",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }

    let socket = gateway.admin_socket().display().to_string();
    let mut terminal = Terminal::start(&["status", "--socket", &socket], &[]);
    terminal.until("\x1b[38;5;2m● healthy");
    terminal.until("`tokenweir endpoint enable aoi-3` ends that");
    assert_eq!(terminal.ended().code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_and_switches_can_be_asked_on_the_address_with_the_token_of_a_file() {
    let fleet = Fleet::start(WITH_ADMIN_TOKEN).await;
    let gateway = &fleet.gateway;
    let url = format!("http://{}/", gateway.admin);
    let file = |name: &str, text: &str| {
        let file = gateway.folder().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let (good, bad) = (file("good", &format!("{ADMIN_TOKEN}\n")), file("bad", "no"));
    for (token, code, text) in [
        (&[][..], 69, "give a file with it, `--token-file`"),
        (&["--token-file", &bad], 69, "is not the gateway's"),
        (&["--token-file", "/nonexistent"], 69, "/nonexistent"),
        (&["--token-file", &good], 0, ""),
    ] {
        for question in [
            &["status"][..],
            &["explain", "--model", "gpt-4o"],
            &["endpoint", "drain", "aoi-1"],
            &["endpoint", "enable", "aoi-1"],
            &["log-level", "info"],
        ] {
            let output = run(&[question, &["--url", &url], token].concat());
            let said = said(&output);
            assert_eq!(output.status.code(), Some(code), "{question:?}: {said}");
            assert!(said.contains(text), "{question:?}: {said}");
        }
    }
    let here = said(&gateway.ask(&["status"]));
    let there = said(&run(&["status", "--url", &url, "--token-file", &good]));
    // How long it is up is in the first line.
    let rest = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_eq!(rest(&here), rest(&there));
    // Only those who may open the socket take the whole process in hand.
    let reload = run(&["reload", "--url", &url]);
    assert_eq!(reload.status.code(), Some(64), "{reload:?}");
}
