//! A gateway as its operator keeps it: a configuration that is rewritten, signals, log lines to wait for, a program
//! that is replaced on disk, and whatever processes come of it. It ends with all of them when it is dropped.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead as _, BufReader, pipe},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    clock::{now, sleep},
    fleet::{KEY, KEY_VARIABLE, MODEL, READY_WITHIN, Simulator, ask, document, program},
    process::{Guard, Signal, send},
    request::Target,
    stop::Stop,
};

/// How the messages begin that are waited for. One is told from the other by nothing else.
pub(crate) mod says {
    pub(crate) const RELOADED: &str = "the new configuration is in use";
    pub(crate) const NOT_RELOADED: &str = "the new configuration is not used";
    pub(crate) const UNCHANGED: &str = "the configuration has not changed";
    /// With `pid`, the new process.
    pub(crate) const HANDED_OVER: &str = "the new process serves";
    /// With `reason`.
    pub(crate) const NOT_HANDED_OVER: &str = "hand-over failed";
    /// With `cut`, how many.
    pub(crate) const CUT: &str = "requests were cut";
}

/// Our lines and no access log.
const LOG: &str = "log: { level: \"warn,gateway=info\" }\n";
const LINES_KEPT: usize = 20;
const LOOK_EVERY: Duration = Duration::from_millis(100);
const EXIT_LOOK_EVERY: Duration = Duration::from_micros(500);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Program {
    /// The gateway's program [default: tokenweir beside this one]
    #[arg(long = "program", value_name = "PATH")]
    path: Option<PathBuf>,
}

/// Where clients find the gateway: a listener for each protocol.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) http1: Target,
    pub(crate) http2: Target,
}

pub(crate) struct Service {
    pub(crate) front: Front,
    admin: Target,
    /// Listeners, log and what else concerns the process, as configuration.
    head: String,
    /// Of the process that was started here; those that it started are in its group.
    guard: Guard,
    /// The process that serves.
    pub(crate) pid: u32,
    lines: Receiver<String>,
    /// Keeps the queue open between two processes.
    writer: Sender<String>,
    last_lines: VecDeque<String>,
    folder: TempDir,
    stop: Stop,
}

impl Service {
    /// Returns when it accepts connections. `more`: further lines of configuration.
    pub(crate) fn start(
        program_file: &Program,
        simulators: &[Simulator],
        more: &str,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        Self::start_with_tls(program_file, simulators, more, "", stop)
    }

    /// `tls`: of the listener for HTTP/1.1, which then speaks both protocols; empty for plain text.
    pub(crate) fn start_with_tls(
        program_file: &Program,
        simulators: &[Simulator],
        more: &str,
        tls: &str,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let source = match &program_file.path {
            Some(path) => path.clone(),
            None => program("tokenweir")?,
        };
        fs::copy(&source, original(&folder)).with_context(|| {
            let source = source.display();
            format!("{source}: build it with -p gateway, or name one with --program")
        })?;
        fs::hard_link(original(&folder), running(&folder))?;
        // Bound together, so that they differ; should somebody take one before the gateway does, it says so.
        let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0"));
        let mut targets = Vec::new();
        for socket in sockets {
            let url = format!("http://{}", socket?.local_addr()?);
            targets.push(Target::new(&url, MODEL, "key-of-a-client")?);
        }
        let [http1, http2, admin] = <[Target; 3]>::try_from(targets).expect("there are three");
        let tls = if tls.is_empty() {
            String::new()
        } else {
            format!(", tls: {{ {tls} }}")
        };
        let head = format!(
            "listen: [{{ address: \"{}\"{tls} }}, {{ address: \"{}\", h2c: true }}]\n\
             admin: {{ address: \"{}\" }}\n{LOG}{more}",
            http1.authority, http2.authority, admin.authority
        );
        let text = document(&head, simulators.iter().map(|simulator| (simulator, 1)));
        write(folder.path(), &text)?;
        let (writer, lines) = mpsc::channel();
        let guard = launch(&folder, &writer)?;
        let mut service = Self {
            front: Front { http1, http2 },
            admin,
            head,
            pid: guard.id(),
            guard,
            lines,
            writer,
            last_lines: VecDeque::new(),
            folder,
            stop: stop.clone(),
        };
        let deadline = now() + READY_WITHIN;
        while TcpStream::connect(&service.front.http2.authority).is_err() {
            if service.guard.child().try_wait()?.is_some() || now() > deadline || stop.is_set() {
                bail!("the gateway does not listen; {}", service.heard());
            }
            sleep(LOOK_EVERY / 10);
        }
        Ok(service)
    }

    /// Kills it as a crash would, and starts it again at once, as systemd would. Does not wait until it listens.
    pub(crate) fn crash(&mut self) -> anyhow::Result<()> {
        send(self.pid, Signal::KILL)?;
        self.guard.child().wait()?;
        self.guard = launch(&self.folder, &self.writer)?;
        self.pid = self.guard.id();
        Ok(())
    }

    /// A configuration with these endpoints and weights, otherwise as at the start.
    pub(crate) fn document<'a>(
        &self,
        endpoints: impl IntoIterator<Item = (&'a Simulator, i32)>,
    ) -> String {
        document(&self.head, endpoints)
    }

    /// Replaces the configuration file.
    pub(crate) fn configure(&self, text: &str) -> anyhow::Result<()> {
        write(self.folder.path(), text)
    }

    /// Replaces the program by a shell script.
    pub(crate) fn break_program(&self, script: &str) -> anyhow::Result<()> {
        let path = self.folder.path().join("new");
        fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(fs::rename(path, running(&self.folder))?)
    }

    pub(crate) fn restore_program(&self) -> anyhow::Result<()> {
        let path = self.folder.path().join("new");
        fs::hard_link(original(&self.folder), &path)?;
        Ok(fs::rename(path, running(&self.folder))?)
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        send(self.pid, signal)
    }

    /// The next log line whose message begins with one of these; those before it are skipped.
    pub(crate) fn wait_for(&mut self, begins: &[&str], within: Duration) -> anyhow::Result<Value> {
        let deadline = now() + within;
        loop {
            let left = deadline.saturating_duration_since(now());
            match self.lines.recv_timeout(left.min(LOOK_EVERY)) {
                Ok(line) => {
                    let json: Value = serde_json::from_str(&line).unwrap_or_default();
                    self.last_lines.push_back(line);
                    if self.last_lines.len() > LINES_KEPT {
                        self.last_lines.pop_front();
                    }
                    let message = json["message"].as_str().unwrap_or_default();
                    if begins.iter().any(|begin| message.starts_with(begin)) {
                        return Ok(json);
                    }
                }
                Err(_) if self.stop.is_set() => bail!("interrupted"),
                Err(_) if left.is_zero() || self.living()?.is_empty() => {
                    bail!("the gateway did not say {begins:?}; {}", self.heard());
                }
                Err(_) => {}
            }
        }
    }

    /// The admin listener's word on each deployment.
    pub(crate) fn status(&self) -> anyhow::Result<Value> {
        let mut status: Value = ask(&self.admin, &self.admin.get("/status"), &self.stop)?;
        Ok(status["pools"].take())
    }

    /// When the process ended that was started here.
    pub(crate) fn wait_exit(&mut self, within: Duration) -> anyhow::Result<Instant> {
        let deadline = now() + within;
        while self.guard.child().try_wait()?.is_none() {
            if now() > deadline || self.stop.is_set() {
                bail!(
                    "the gateway did not end within {within:?}; {}",
                    self.heard()
                );
            }
            sleep(EXIT_LOOK_EVERY);
        }
        Ok(now())
    }

    /// Every process of it that has not ended.
    pub(crate) fn living(&self) -> anyhow::Result<Vec<u32>> {
        self.guard.living()
    }

    fn heard(&mut self) -> String {
        self.last_lines.extend(self.lines.try_iter());
        let lines: Vec<&str> = self.last_lines.iter().map(String::as_str).collect();
        format!("its last lines:\n{}", lines.join("\n"))
    }
}

/// The gateway starts its successor from the path that it was started from itself.
fn running(folder: &TempDir) -> PathBuf {
    folder.path().join("tokenweir")
}

fn original(folder: &TempDir) -> PathBuf {
    folder.path().join("original")
}

/// As a whole or not at all.
fn write(folder: &Path, text: &str) -> anyhow::Result<()> {
    let new = folder.join("new.yaml");
    fs::write(&new, text)?;
    Ok(fs::rename(new, folder.join("tokenweir.yaml"))?)
}

/// Its lines, and those of every process that it starts, go to `lines`.
fn launch(folder: &TempDir, lines: &Sender<String>) -> anyhow::Result<Guard> {
    let (reader, output) = pipe()?;
    let mut command = Command::new(running(folder));
    command
        .arg("--config")
        .arg(folder.path().join("tokenweir.yaml"))
        .env(KEY_VARIABLE, KEY)
        .stderr(output.try_clone()?)
        .stdout(output);
    let guard = Guard::start(&mut command)?;
    let lines = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    Ok(guard)
}
