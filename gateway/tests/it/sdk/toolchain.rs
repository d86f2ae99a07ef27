//! Builds what the SDKs need, under the target folder and only when it changed: virtual environments for Python,
//! `node_modules` for Node. Runs their scripts. Knows nothing of what the scripts check.

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
    /// Of Python too, and large: only who wants it waits for it.
    SemanticKernel,
    /// A scanner and no SDK, but got in the same way.
    Sslyze,
    Node,
    /// A browser and no SDK, driven from Node: what is installed is the means to drive it.
    Browser,
}

/// Why an SDK cannot be used here: for people.
type Unusable = String;

impl Sdk {
    /// Runs one of its scripts, which gets `settings` as JSON.
    ///
    /// # Panics
    /// As [`Sdk::call`].
    pub(crate) async fn run(self, script: &str, settings: Value) -> Ran {
        self.call(&[script, &settings.to_string()], &[]).await
    }

    /// Runs its interpreter with more in its environment. Where the SDK cannot be had, that is said and the test is
    /// skipped.
    ///
    /// # Panics
    /// It failed; its output is the message. Under `CI=true`: the SDK cannot be had.
    pub(crate) async fn call(self, arguments: &[&str], environment: &[(&str, &Path)]) -> Ran {
        let words: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let environment: Vec<(String, PathBuf)> = environment
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        // Not on a thread that the simulated resources need.
        let run = move || match self.ready() {
            Ok(mut command) => Ok(command.args(words).envs(environment).output()),
            Err(reason) => Err(reason),
        };
        let output = match tokio::task::spawn_blocking(run).await.unwrap() {
            Ok(output) => output.expect("the interpreter just ran"),
            Err(reason) => {
                let says = format!("a test needs {self:?}, which cannot be had: {reason}");
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{says}");
                // Not `println`, which the test runner hides when a test passes.
                writeln!(io::stderr(), "SKIPPED: {says}").expect("stderr is open");
                return Ran::Skipped;
            }
        };
        let text = text(&output);
        assert!(
            output.status.success(),
            "{self:?}: {}\n{text}",
            output.status
        );
        Ran::Passed(text)
    }

    /// The interpreter, to be given a script. Installs once in a process.
    fn ready(self) -> Result<Command, Unusable> {
        static INSTALLED: [OnceLock<Result<(), Unusable>>; 5] = [const { OnceLock::new() }; 5];
        INSTALLED[self as usize]
            .get_or_init(|| self.install())
            .clone()?;
        let mut command = match self {
            Self::Python | Self::SemanticKernel | Self::Sslyze => {
                let mut python = Command::new(self.home().join("bin/python"));
                // No `__pycache__` beside the sources.
                python.arg("-B").current_dir(self.sources());
                python
            }
            Self::Node | Self::Browser => {
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
        if matches!(self, Self::Browser) {
            succeed(Command::new("chromium").arg("--version"))?;
        }
        let home = self.home();
        let lock = File::create(home.with_extension("lock")).map_err(|e| e.to_string())?;
        lock.lock().map_err(|e| e.to_string())?;
        let (interpreter, specification) = match self {
            Self::Python => ("python3", "requirements.txt"),
            Self::SemanticKernel => ("python3", "semantic_kernel.txt"),
            Self::Sslyze => ("python3", "sslyze.txt"),
            Self::Node | Self::Browser => ("node", "package-lock.json"),
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
            Self::Python | Self::SemanticKernel | Self::Sslyze => {
                succeed(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
                let mut pip = Command::new(home.join("bin/python"));
                pip.args(["-m", "pip", "install", "--quiet", "--requirement"]);
                pip.arg(self.sources().join(specification));
                if matches!(self, Self::SemanticKernel) {
                    // 200 MB of what it brings along serves nothing that is tested here.
                    pip.arg("--no-deps");
                }
                succeed(&mut pip)?;
            }
            Self::Node | Self::Browser => {
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
        if !matches!(self, Self::Node | Self::Browser) {
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
            Self::SemanticKernel => "sdk-semantic-kernel",
            Self::Sslyze => "sslyze",
            Self::Node => "sdk-node",
            Self::Browser => "browser",
        })
    }

    fn sources(self) -> PathBuf {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
        here.join(match self {
            Self::Python | Self::SemanticKernel | Self::Sslyze => "sdk/python",
            Self::Node => "sdk/node",
            Self::Browser => "console",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ran {
    /// With this output.
    Passed(String),
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
