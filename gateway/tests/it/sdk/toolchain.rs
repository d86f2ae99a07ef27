//! Builds what the SDKs need, under the target folder and only when it changed: a virtual environment for
//! Python, `node_modules` for Node. Runs their scripts. Knows nothing of what the scripts check.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Sdk {
    Python,
    Node,
}

/// Why an SDK cannot be used here: for people.
type Unusable = String;

impl Sdk {
    /// Runs one of its scripts, which gets `settings` as JSON. Where the SDK cannot be had, that is said and
    /// the test is skipped.
    ///
    /// # Panics
    /// The script failed; its output is the message. Under `CI=true`: the SDK cannot be had.
    pub(crate) async fn run(self, script: &'static str, settings: Value) -> Ran {
        // Not on a thread that the simulated resources need.
        let run = move || match self.ready() {
            Ok(mut command) => Ok(command.arg(script).arg(settings.to_string()).output()),
            Err(reason) => Err(reason),
        };
        let output = match tokio::task::spawn_blocking(run).await.unwrap() {
            Ok(output) => output.expect("the interpreter just ran"),
            Err(reason) => {
                let says = format!("{script} cannot run, no {self:?} SDK: {reason}");
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{says}");
                // Not `println`, which the test runner hides when a test passes.
                writeln!(io::stderr(), "SKIPPED: {says}").expect("stderr is open");
                return Ran::Skipped;
            }
        };
        let text = text(&output);
        assert!(
            output.status.success(),
            "{script}: {}\n{text}",
            output.status
        );
        Ran::Passed
    }

    /// The interpreter, to be given a script. Installs once in a process.
    fn ready(self) -> Result<Command, Unusable> {
        static PYTHON: OnceLock<Result<(), Unusable>> = OnceLock::new();
        static NODE: OnceLock<Result<(), Unusable>> = OnceLock::new();
        let mut command = match self {
            Self::Python => {
                PYTHON.get_or_init(|| self.install()).clone()?;
                let mut python = Command::new(self.home().join("bin/python"));
                // No `__pycache__` beside the sources.
                python.arg("-B").current_dir(self.sources());
                python
            }
            Self::Node => {
                NODE.get_or_init(|| self.install()).clone()?;
                let mut node = Command::new("node");
                node.current_dir(self.home());
                node
            }
        };
        // No proxy, key or base URL of whoever runs the tests.
        command.env_clear();
        for name in ["PATH", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        Ok(command)
    }

    /// Brings `home` in line with the sources. Other test processes wait for the lock, then find it done.
    fn install(self) -> Result<(), Unusable> {
        let home = self.home();
        let lock = File::create(home.with_extension("lock")).map_err(|e| e.to_string())?;
        lock.lock().map_err(|e| e.to_string())?;
        let (interpreter, specification) = match self {
            Self::Python => ("python3", "requirements.txt"),
            Self::Node => ("node", "package-lock.json"),
        };
        let mut wanted = succeed(Command::new(interpreter).arg("--version"))?;
        let file = fs::read(self.sources().join(specification)).expect("it is part of the tests");
        for byte in Sha256::digest(&file) {
            write!(wanted, "{byte:02x}").expect("a String takes every write");
        }
        let marker = home.join("installed");
        if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
            return self.copy_scripts();
        }
        match fs::remove_dir_all(&home) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.to_string()),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(&home).map_err(|e| e.to_string())?;
        match self {
            Self::Python => {
                succeed(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
                let mut pip = Command::new(home.join("bin/python"));
                pip.args(["-m", "pip", "install", "--quiet", "--requirement"]);
                succeed(pip.arg(self.sources().join(specification)))?;
            }
            Self::Node => {
                self.copy_scripts()?;
                let mut npm = Command::new("npm");
                npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
                // By default it takes more than a minute to see that there is no network.
                npm.arg("--fetch-retry-mintimeout=1000");
                npm.arg("--fetch-retry-maxtimeout=5000");
                succeed(npm.current_dir(&home))?;
            }
        }
        fs::write(marker, wanted).map_err(|e| e.to_string())
    }

    /// A JavaScript module finds packages only in the folders above itself, so it must lie beside them. What is
    /// there already stays untouched: it may be running.
    fn copy_scripts(self) -> Result<(), Unusable> {
        if matches!(self, Self::Python) {
            return Ok(());
        }
        let copy = || -> io::Result<()> {
            for entry in fs::read_dir(self.sources())? {
                let entry = entry?;
                let (content, to) = (fs::read(entry.path())?, self.home().join(entry.file_name()));
                if fs::read(&to).ok().as_ref() != Some(&content) {
                    fs::write(to, content)?;
                }
            }
            Ok(())
        };
        copy().map_err(|error| format!("cannot copy the scripts: {error}"))
    }

    /// Where it is installed.
    fn home(self) -> PathBuf {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("it lies inside the target folder");
        target.join(match self {
            Self::Python => "sdk-python",
            Self::Node => "sdk-node",
        })
    }

    fn sources(self) -> PathBuf {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sdk");
        here.join(match self {
            Self::Python => "python",
            Self::Node => "node",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    Passed,
    Skipped,
}

/// What the command printed.
fn succeed(command: &mut Command) -> Result<String, Unusable> {
    let called = command_line(command);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Err(format!("cannot run {}: {error}", called)),
    };
    if output.status.success() {
        Ok(text(&output))
    } else {
        Err(format!("{} failed:\n{}", called, text(&output)))
    }
}

fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}
