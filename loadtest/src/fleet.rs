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
use serde_json::Value;
use tempfile::TempDir;

use crate::{clock, connection::Connection, process::Guard, request::Target, stop::Stop};

pub(crate) const MODEL: &str = "gpt-4o";
/// Nobody checks it here; but a credential is put in, as in earnest.
pub(crate) const KEY_VARIABLE: &str = "LOADTEST_KEY";
pub(crate) const KEY: &str = "key-of-the-gateway";
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(10);
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

    /// Adds a fault, in the simulator's own words.
    pub(crate) fn fail(&self, fault: &Value, stop: &Stop) -> anyhow::Result<()> {
        let own = Target::new(&self.url, MODEL, "")?;
        ask(&own, &own.post("/_sim/faults", &fault.to_string()), stop).map(drop)
    }
}

/// A JSON answer of a simulator about itself, or of a gateway's admin listener.
///
/// # Errors
/// It is not 200, or no JSON.
pub(crate) fn ask(target: &Target, request: &[u8], stop: &Stop) -> anyhow::Result<Value> {
    let mut body = Vec::new();
    let answer = Connection::open(&target.authority, stop)?
        .exchange(request, |piece| body.extend_from_slice(piece))?;
    let (authority, status) = (&target.authority, answer.status);
    anyhow::ensure!(status == 200, "{authority} refused: {status}");
    serde_json::from_slice(&body).with_context(|| format!("{authority}: not JSON"))
}

pub(crate) struct Gateway {
    pub(crate) url: String,
    /// Where operators look.
    pub(crate) admin: Option<String>,
    guard: Guard,
    _folder: TempDir,
}

pub(crate) struct GatewayOptions {
    pub(crate) threads: usize,
    pub(crate) access_log: bool,
    /// Operators may look.
    pub(crate) admin: bool,
    /// Further lines of configuration.
    pub(crate) config: String,
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
        let [authority, admin] = [(); 2].map(|()| free());
        let (authority, admin) = (authority?, admin?);
        let admin = options.admin.then_some(admin);
        fs::write(
            &path,
            config(&authority, admin.as_deref(), simulators, options),
        )?;
        let log_path = folder.path().join("log");
        let log = File::create(&log_path)?;
        let mut command = Command::new(program("tokenweir")?);
        command
            .arg("--config")
            .arg(&path)
            .env(KEY_VARIABLE, KEY)
            .stderr(log.try_clone()?)
            .stdout(log);
        let mut gateway = Self {
            url: format!("http://{authority}"),
            admin: admin.map(|admin| format!("http://{admin}")),
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

fn free() -> anyhow::Result<String> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok(address.to_string())
}

fn config(
    authority: &str,
    admin: Option<&str>,
    simulators: &[Simulator],
    options: &GatewayOptions,
) -> String {
    let level = if options.access_log { "info" } else { "warn" };
    let (threads, more) = (options.threads, &options.config);
    let admin = admin.map_or_else(
        || "off".to_owned(),
        |admin| format!("{{ address: \"{admin}\" }}"),
    );
    let head = format!(
        "admin: {admin}\nlisten: [{{ address: \"{authority}\" }}]\nthreads: {threads}\nlog: {{ level: {level} }}\n{more}"
    );
    let endpoints = simulators.iter().map(|simulator| (simulator, 1));
    document(&head, endpoints)
}

/// A configuration: `head` is what concerns the process and its policy, each endpoint has its weight.
pub(crate) fn document<'a>(
    head: &str,
    endpoints: impl IntoIterator<Item = (&'a Simulator, i32)>,
) -> String {
    let mut text = format!(
        "version: 1\nopen: true\n{head}\
         credentials: {{ fleet: {{ api_key: {{ env: {KEY_VARIABLE} }} }} }}\nendpoints:\n"
    );
    for (Simulator { name, url, .. }, weight) in endpoints {
        writeln!(
            text,
            "  {name}: {{ url: \"{url}\", credential: fleet, weight: {weight}, deployments: {{ {MODEL}: {{}} }} }}"
        )
        .expect("writing to a String does not fail");
    }
    text
}

/// Another program of this workspace, built into the same folder.
pub(crate) fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program lies")?;
    Ok(own.with_file_name(name))
}
