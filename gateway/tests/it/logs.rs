//! What is logged, how, and where it goes.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use simulator::Fault;
use tokio::time::Instant;

use crate::support::{CHAT, Fleet, PATIENCE, client, raw};

const GPT: &str = "gpt-4o";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_leaves_one_line_in_which_nobody_can_write() {
    let mut fleet = Fleet::in_order("").await;
    fleet.aoi(1).inject(Fault::status(429).on(GPT));
    let url = fleet.chat_url(GPT);
    let ms = ("x-ms-client-request-id", "c-1");
    for (sent, client_request_id, ms_client_request_id) in [
        (&[ms][..], json!("c-1"), json!(null)),
        (
            &[("x-request-id", "two words"), ms],
            json!("c-1"),
            json!(null),
        ),
        (&[("x-request-id", "\"=\\")], json!("\"=\\"), json!(null)),
        (&[("x-request-id", "r-1"), ms], json!("r-1"), json!("c-1")),
    ] {
        let mut request = client().post(format!("{url}&secret=canary")).body(CHAT);
        for (name, value) in sent {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let line = fleet.gateway.next_access();
        assert_eq!(line["client_request_id"], client_request_id, "{line}");
        assert_eq!(line["ms_client_request_id"], ms_client_request_id, "{line}");
        assert_eq!(
            line["request_id"],
            answer.headers()["x-request-id"].to_str().unwrap()
        );
        assert_eq!(
            line["path"],
            format!("/openai/deployments/{GPT}/chat/completions")
        );
    }
    let first = fleet.gateway.logged_events("request").remove(0);
    let attempts = first["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 2, "{first}");
    assert_eq!(attempts[0]["outcome"], "throttled");
    assert_eq!(attempts[0]["status"], 429);
    assert_eq!(attempts[1]["endpoint"], "aoi-2");

    let path = format!("/{}", "x".repeat(2000));
    let request = format!("GET {path}?canary=1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    raw(fleet.gateway.address, request.as_bytes(), |_| false).await;
    assert_eq!(fleet.gateway.next_access()["path"], path[..512]);
    assert!(!fleet.gateway.logged().contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_is_switched_off_and_on_by_a_reload() {
    let mut fleet = Fleet::start("log: { level: info }").await;
    for (level, lines) in [("'info,access=off'", 0), ("info", 1)] {
        fleet
            .gateway
            .rewrite(&[("level: info", &format!("level: {level}"))]);
        // Returns when it is done.
        let reload = fleet.gateway.ask(&["reload"]);
        assert!(reload.status.success(), "{reload:?}");
        assert_eq!(fleet.chat(GPT).await.status(), 200);
        if lines > 0 {
            let _ = fleet.gateway.next_access();
        }
        let logged = fleet.gateway.logged_events("request");
        assert_eq!(logged.len(), lines, "{level}");
    }
}

/// A gateway without traffic that logs to a file.
struct Logging {
    child: Child,
    folder: tempfile::TempDir,
}

impl Logging {
    fn start(log: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = log.replace("FOLDER", &folder.path().display().to_string());
        let config = format!(
            "version: 1\nopen: true\nlisten: [{{ address: 127.0.0.1:0 }}]\nadmin: off\nlog: {log}\n\
             endpoints: {{ a: {{ url: http://127.0.0.1:1, credential: none, deployments: {{ m: {{}} }} }} }}\n"
        );
        fs::write(folder.path().join("config"), config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tokenweir"))
            .arg("--config")
            .arg(folder.path().join("config"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Has it read its configuration again.
    fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_is_changed_by_hand_is_told_whatever_it_lets_pass() {
    let mut fleet = Fleet::start("log: { level: info }").await;
    for (before, after) in [
        ("info", "off"),
        ("off", "info,gateway=off"),
        ("info,gateway=off", "info"),
    ] {
        assert!(fleet.gateway.ask(&["log-level", after]).status.success());
        let told = fleet
            .gateway
            .next_event(|event| event["target"] == "gateway::admin::level");
        assert_eq!(
            (&told["before"], &told["after"]),
            (&before.into(), &after.into()),
            "{told}"
        );
        assert!(
            told["by"].as_str().unwrap().starts_with("unix uid "),
            "{told}"
        );
    }
}

/// What is in a file once it contains `text`.
async fn until(path: &Path, text: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = fs::read_to_string(path).unwrap_or_default();
        if found.contains(text) && found.ends_with('\n') {
            return found;
        }
        assert!(Instant::now() < deadline, "no `{text}` in {found}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_moved_away_is_opened_again_by_every_reload() {
    let gateway = Logging::start("{ file: FOLDER/log, format: logfmt }");
    let [log, first, second] = ["log", "log.1", "log.2"].map(|name| gateway.path(name));
    until(&log, "message=listening address=127.0.0.1:").await;

    fs::rename(&log, &first).unwrap();
    gateway.hang_up();
    until(&log, "the configuration has not changed").await;
    assert!(!fs::read_to_string(&first).unwrap().contains("changed"));

    // Also where there is nothing new to use.
    fs::write(gateway.path("config"), "nonsense").unwrap();
    fs::rename(&log, &second).unwrap();
    gateway.hang_up();
    until(&log, "the new configuration is not used").await;
    assert!(!fs::read_to_string(&second).unwrap().contains("not used"));

    // And where it cannot be: lines go on where they went.
    fs::rename(&log, &first).unwrap();
    fs::create_dir(&log).unwrap();
    gateway.hang_up();
    let text = until(&first, "cannot open `log.file` again").await;
    assert!(text.contains("level=ERROR"), "{text}");
}

#[test]
fn a_log_file_that_cannot_be_opened_is_a_mistake_in_the_configuration() {
    let mut gateway = Logging::start("{ file: FOLDER/nothing/log }");
    let status = gateway.child.wait().unwrap();
    assert_eq!(status.code(), Some(78));
    let mut errors = String::new();
    let stderr = gateway.child.stderr.as_mut().expect("it is piped");
    stderr.read_to_string(&mut errors).unwrap();
    let path = gateway.path("nothing/log").display().to_string();
    assert!(
        errors.contains(&format!("log.file: cannot open {path}: No such file")),
        "{errors}"
    );
}
