//! Prometheus as a process of a test: it scrapes one target each second, and evaluates rules.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use serde_json::{Value, json};

use crate::support::{PATIENCE, client};

/// A program of Debian's package `prometheus`. Where it is missing, that is said and the test is to be skipped.
///
/// # Panics
/// Under `CI=true`: it is missing.
pub(super) fn tool(name: &str) -> Option<Command> {
    let Err(error) = Command::new(name).arg("--version").output() else {
        return Some(Command::new(name));
    };
    let says = format!("a test needs {name}, of Debian's package prometheus: {error}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{says}");
    // Not `println`, which the test runner hides when a test passes.
    writeln!(io::stderr(), "SKIPPED: {says}").expect("stderr is open");
    None
}

pub(super) struct Prometheus {
    child: Child,
    url: String,
    client: reqwest::Client,
    /// With its configuration and data.
    _folder: tempfile::TempDir,
}

impl Prometheus {
    pub(super) fn start(mut program: Command, target: SocketAddr, rules: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // JSON is YAML too.
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{
                "job_name": "tokenweir",
                "static_configs": [{ "targets": [target.to_string()] }],
            }],
        });
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config.to_string()).expect("the folder is ours");
        let data = folder.path().join("data");
        let child = program
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was found");
        let mut prometheus = Self {
            child,
            url: String::new(),
            client: client(),
            _folder: folder,
        };
        prometheus.url = format!("http://{}/api/v1", prometheus.listening());
        prometheus
    }

    /// The address that it logs.
    fn listening(&mut self) -> String {
        let stderr = self.child.stderr.take().expect("it is piped");
        let (lines, log) = mpsc::channel();
        // Until it ends: who does not read what it logs stops it.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut said = String::new();
        loop {
            let Ok(line) = log.recv_timeout(PATIENCE) else {
                panic!("it does not listen:\n{said}");
            };
            if let Some((_, address)) = line.split_once(r#"msg="Listening on" address="#) {
                return address.to_owned();
            }
            said += &format!("{line}\n");
        }
    }

    /// The values of the series that an expression gives now.
    pub(super) async fn query(&self, expression: &str) -> Vec<f64> {
        let url = format!("{}/query", self.url);
        let request = self.client.post(url).form(&[("query", expression)]);
        let data = answer(request, expression).await;
        let series = data["result"].as_array().expect("a vector").iter();
        series
            .map(|series| {
                let value = series["value"][1].as_str().expect("a sample");
                value.parse().expect("a number")
            })
            .collect()
    }

    /// Every rule, with how its last evaluation went.
    pub(super) async fn rules(&self) -> Vec<Value> {
        let request = self.client.get(format!("{}/rules", self.url));
        let data = answer(request, "the rules").await;
        let groups = data["groups"].as_array().expect("groups").iter();
        groups
            .flat_map(|group| group["rules"].as_array().expect("rules").clone())
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn answer(request: reqwest::RequestBuilder, asked: &str) -> Value {
    let answer = request.send().await.expect("it answers");
    let mut answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["status"], "success", "{asked}: {answer}");
    answer["data"].take()
}
