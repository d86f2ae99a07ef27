//! The demo's applications: they ask for every model in turn, and note who answered.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

/// Time between two requests.
const PACE: Duration = Duration::from_millis(25);
const PATIENCE: Duration = Duration::from_secs(10);

/// What the applications saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Answers by model and endpoint.
    pub(super) served: BTreeMap<(String, String), u64>,
    pub(super) failed: u64,
    /// Answers that took more than one attempt.
    pub(super) failed_over: u64,
    /// The last failure, in words.
    pub(super) last_failure: Option<String>,
}

impl Tally {
    pub(super) fn requests(&self) -> u64 {
        self.served.values().sum::<u64>() + self.failed
    }

    pub(super) fn of(&self, model: &str, endpoint: &str) -> u64 {
        self.served
            .get(&(model.to_owned(), endpoint.to_owned()))
            .copied()
            .unwrap_or_default()
    }

    fn note(&mut self, model: &str, answer: anyhow::Result<Answer>) {
        match answer {
            Ok(Answer {
                status: 200,
                endpoint,
                attempts,
            }) => {
                *self.served.entry((model.to_owned(), endpoint)).or_default() += 1;
                self.failed_over += u64::from(attempts > 1);
            }
            Ok(Answer { status, .. }) => self.fail(format!("status {status} for {model}")),
            Err(error) => self.fail(format!("{error:#} for {model}")),
        }
    }

    fn fail(&mut self, words: String) {
        self.failed += 1;
        self.last_failure = Some(words);
    }
}

/// Applications that ask until this is dropped.
pub(super) struct Traffic {
    tally: Arc<Mutex<Tally>>,
    task: JoinHandle<()>,
}

impl Traffic {
    pub(super) fn start(gateway: SocketAddr, models: Vec<String>) -> Self {
        let tally = Arc::<Mutex<Tally>>::default();
        let noted = tally.clone();
        let task = tokio::spawn(async move {
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for model in models.iter().cycle() {
                pace.tick().await;
                let (noted, model) = (noted.clone(), model.clone());
                tokio::spawn(async move {
                    let answer = timeout(PATIENCE, ask(gateway, &model)).await;
                    let answer = answer
                        .context("no answer in time")
                        .and_then(|answer| answer);
                    noted.lock().note(&model, answer);
                });
            }
        });
        Self { tally, task }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.lock().clone()
    }

    /// Starts counting anew.
    pub(super) fn reset(&self) {
        *self.tally.lock() = Tally::default();
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Answer {
    status: u16,
    endpoint: String,
    attempts: u32,
}

/// One request over its own connection; the gateway's answer ends with it.
async fn ask(gateway: SocketAddr, model: &str) -> anyhow::Result<Answer> {
    let (path, body) = if model.contains("embedding") {
        (
            "/v1/embeddings",
            format!(r#"{{"model":"{model}","input":"hello"}}"#),
        )
    } else {
        let messages = r#"[{"role":"user","content":"hello"}]"#;
        (
            "/v1/chat/completions",
            format!(r#"{{"model":"{model}","messages":{messages}}}"#),
        )
    };
    let mut connection = TcpStream::connect(gateway).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {gateway}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    let head = String::from_utf8_lossy(&answer);
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse().ok())
        .context("no HTTP answer")?;
    let header = |name: &str| {
        head.lines()
            .take_while(|line| !line.is_empty())
            .find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
    };
    Ok(Answer {
        status,
        endpoint: header("x-tokenweir-endpoint").unwrap_or_default(),
        attempts: header("x-tokenweir-attempts")
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
    })
}
