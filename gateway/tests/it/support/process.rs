//! The gateway as a process: signals, orders, a new configuration, a successor, its end.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    sync::mpsc::RecvTimeoutError,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::Instant;

use super::{ADMIN_SOCKET, CONFIG, Gateway, PATIENCE, PROGRAM};

impl Gateway {
    /// Sends a signal to the process that serves.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.serving(), signal).expect("it runs");
    }

    /// Tells it to stop, and waits until it drains.
    pub(crate) fn begin_to_drain(&mut self) {
        self.signal(Signal::TERM);
        let message = "no longer accepting; finishing the running requests";
        self.next_event(|event| event["message"] == message);
    }

    /// The process that serves.
    pub(crate) fn serving(&self) -> Pid {
        let first = Pid::from_child(&self.child);
        self.successors.last().copied().unwrap_or(first)
    }

    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.folder.path().join(ADMIN_SOCKET)
    }

    /// Its own, in which it was started.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join(CONFIG)
    }

    /// Writes the configuration anew, each `old` text replaced; from the one it was started with.
    pub(crate) fn rewrite(&self, replacements: &[(&str, &str)]) {
        let mut text = self.config.clone();
        for (old, new) in replacements {
            assert!(text.contains(old), "nothing to replace: {old} in\n{text}");
            text = text.replace(old, new);
        }
        std::fs::write(self.config_file(), text).expect("the folder is ours");
    }

    /// Writes the configuration anew, and has it read.
    pub(crate) fn reload(&mut self, replacements: &[(&str, &str)]) {
        self.rewrite(replacements);
        self.signal(Signal::HUP);
        self.next_event(|event| {
            let message = event["message"].as_str().unwrap_or_default();
            message.contains("the new configuration is ")
                || message == "the configuration has not changed"
        });
    }

    /// Runs a command of the program that asks the running gateway.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tokenweir"))
            .args(arguments)
            .arg("--socket")
            .arg(self.admin_socket())
            .output()
            .expect("the binary was built")
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join(PROGRAM)
    }

    /// Puts a shell script in the place of the program; `None` puts the program back.
    pub(crate) fn install(&self, script: Option<&str>) {
        use std::os::unix::fs::PermissionsExt as _;
        let program = self.program();
        std::fs::remove_file(&program).expect("it is there");
        match script {
            None => symlink(env!("CARGO_BIN_EXE_tokenweir"), program).expect("the folder is ours"),
            Some(script) => {
                std::fs::write(&program, format!("#!/bin/sh\n{script}\n"))
                    .expect("the folder is ours");
                let mode = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(program, mode).expect("the file is ours");
            }
        }
    }

    /// Waits until a process has taken over.
    pub(crate) fn handed_over(&mut self) {
        let event = self.next_event(|event| event["message"] == "the new process serves");
        let pid = event["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).expect("a process");
        self.successors.push(pid);
    }

    /// Has a process take over and waits until it serves, wherever the one before it logs to.
    pub(crate) fn upgrade(&mut self) {
        let output = self.ask(&["upgrade"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let pid = said.split(' ').nth(1).and_then(|pid| pid.parse().ok());
        let pid = pid.and_then(Pid::from_raw);
        self.successors
            .push(pid.unwrap_or_else(|| panic!("{output:?}")));
    }

    /// Why the next hand-over failed.
    pub(crate) fn refusal(&mut self) -> String {
        let message = "hand-over failed, this process serves on";
        let event = self.next_event(|event| event["message"] == message);
        event["reason"].as_str().expect("a reason").to_owned()
    }

    /// Whether the process that was started first has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_some()
    }

    /// What it logged at the end may still be on its way to us. Where another process logs to the same place, that has
    /// no end.
    fn read_last_lines(&mut self) {
        if self.successors.is_empty() {
            while let Ok(event) = self.log.recv_timeout(PATIENCE) {
                self.seen.push(event);
            }
        }
    }

    /// Waits until the process that was started first has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                self.read_last_lines();
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            tokio::task::yield_now().await;
        }
    }

    /// Waits until every process that could write to its log has ended.
    pub(crate) fn gone(&mut self) {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(event) => self.seen.push(event),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("a process is left"),
            }
        }
    }

    /// All lines that it has logged with this message.
    /// Waits until every request of the configuration before the last reload has ended. That may have been logged
    /// before the reload itself was.
    pub(crate) fn forgets_the_old_configuration(&mut self) {
        let message = "the last request of the previous configuration has ended";
        let reloads = self.logged_events("the new configuration is in use").len();
        let deadline = Instant::now() + PATIENCE;
        while self.logged_events(message).len() < reloads {
            assert!(Instant::now() < deadline, "it is not forgotten");
            self.next_event(|_| true);
        }
    }

    pub(crate) fn logged_events(&mut self, message: &str) -> Vec<Value> {
        self.seen.extend(self.log.try_iter());
        let fits = |event: &&Value| event["message"] == message;
        self.seen.iter().filter(fits).cloned().collect()
    }
}
