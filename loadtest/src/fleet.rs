//! The programs of a scenario, each a process of its own beside this one: simulated resources, and the gateway with
//! a configuration in a folder that goes with it.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::{clock, process::Guard, stop::Stop};

pub(crate) const MODEL: &str = "gpt-4o";
/// Nobody checks it here; but a credential is put in, as in earnest.
const KEY_VARIABLE: &str = "LOADTEST_KEY";
const READY_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(crate) struct Simulator {
    pub(crate) name: String,
    pub(crate) url: String,
    _guard: Guard,
}

impl Simulator {
    /// `behaviour`: further options of the program.
    pub(crate) fn start(name: &str, behaviour: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(program("simulator")?);
        command
            .args(["--name", name, "--deployment", MODEL])
            .args(behaviour)
            .stdout(Stdio::piped());
        let mut guard = Guard::start(&mut command)?;
        let stdout = guard.child().stdout.take().expect("it is piped");
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url)?;
        if url.trim().is_empty() {
            bail!("the simulator ended before it listened");
        }
        Ok(Self {
            name: name.to_owned(),
            url: url.trim().to_owned(),
            _guard: guard,
        })
    }
}

pub(crate) struct Gateway {
    pub(crate) url: String,
    guard: Guard,
    _folder: TempDir,
}

pub(crate) struct GatewayOptions {
    pub(crate) threads: usize,
    pub(crate) access_log: bool,
    /// Further lines of configuration.
    pub(crate) config: &'static str,
}

impl Gateway {
    /// Returns when it accepts connections. What it logs goes to a file in its folder.
    pub(crate) fn start(
        simulators: &[Simulator],
        options: &GatewayOptions,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("tokenweir.yaml");
        // Free now; should somebody take it before the gateway does, the gateway says so.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let authority = format!("127.0.0.1:{port}");
        fs::write(&path, config(&authority, simulators, options))?;
        let log_path = folder.path().join("log");
        let log = File::create(&log_path)?;
        let mut command = Command::new(program("tokenweir")?);
        command
            .arg("--config")
            .arg(&path)
            .env(KEY_VARIABLE, "key-of-the-gateway")
            .stderr(log.try_clone()?)
            .stdout(log);
        let mut gateway = Self {
            url: format!("http://{authority}"),
            guard: Guard::start(&mut command)?,
            _folder: folder,
        };
        let deadline = clock::now() + READY_WITHIN;
        while TcpStream::connect(&authority).is_err() {
            if let Some(status) = gateway.guard.child().try_wait()? {
                let log = fs::read_to_string(&log_path)?;
                bail!("the gateway ended before it listened, {status}: {log}");
            }
            if clock::now() > deadline || stop.is_set() {
                bail!("the gateway does not listen");
            }
            clock::sleep(LOOK_EVERY);
        }
        Ok(gateway)
    }

    pub(crate) fn process(&self) -> u32 {
        self.guard.id()
    }
}

fn config(authority: &str, simulators: &[Simulator], options: &GatewayOptions) -> String {
    let level = if options.access_log { "info" } else { "warn" };
    let (threads, more) = (options.threads, options.config);
    let mut text = format!(
        "version: 1\nopen: true\nadmin: off\nlisten: [{{ address: \"{authority}\" }}]\nthreads: {threads}\n\
         log: {{ level: {level} }}\ncredentials: {{ fleet: {{ api_key: {{ env: {KEY_VARIABLE} }} }} }}\n\
         {more}endpoints:\n"
    );
    for Simulator { name, url, .. } in simulators {
        writeln!(
            text,
            "  {name}: {{ url: \"{url}\", credential: fleet, deployments: {{ {MODEL}: {{}} }} }}"
        )
        .expect("writing to a String does not fail");
    }
    text
}

/// Another program of this workspace, built into the same folder.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program lies")?;
    Ok(own.with_file_name(name))
}
