//! A hand-over in the middle of traffic: what the two processes log and trace is together what one would have.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Collector, GPT, PARENT, SpanKind};
use crate::support::{
    CHAT, PATIENCE, Seen, client,
    provider::{Provider, STREAM, finish},
};

/// Clients, each with one request after the other, each of those with a trace of its own.
struct Load {
    answered: mpsc::UnboundedReceiver<()>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn start(url: &str) -> Self {
        let (tell, answered) = mpsc::unbounded_channel();
        let mut clients = JoinSet::new();
        for number in 1..=4 {
            let (url, tell) = (url.to_owned(), tell.clone());
            clients.spawn(async move {
                let http = client();
                let mut traces = Vec::new();
                while tell.send(()).is_ok() {
                    traces.push(format!("{number:016x}{:016x}", traces.len()));
                    let trace = format!("00-{}-{PARENT}-01", traces[traces.len() - 1]);
                    let request = http.post(&url).header("traceparent", trace).body(CHAT);
                    let seen = Seen::read(request.send().await.unwrap()).await;
                    assert_eq!((seen.status, seen.complete), (200, true));
                }
                traces
            });
        }
        Self { answered, clients }
    }

    /// Until so many requests more have been answered.
    async fn go_on(&mut self, requests: usize) {
        while self.answered.try_recv().is_ok() {}
        for _ in 0..requests {
            let answered = timeout(PATIENCE, self.answered.recv()).await;
            answered.expect("it goes on").expect("clients are there");
        }
    }

    /// The traces of all requests.
    async fn end(self) -> Vec<String> {
        drop(self.answered);
        self.clients.join_all().await.concat()
    }
}

/// The traces of the access lines in a file, once there are so many. Every line is a whole one.
async fn logged(file: &Path, lines: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let text = loop {
        let text = fs::read_to_string(file).unwrap();
        let found = text.matches(r#""message":"request""#).count();
        if found >= lines && text.ends_with('\n') {
            break text;
        }
        assert!(Instant::now() < deadline, "{found} lines of {lines}");
        tokio::task::yield_now().await;
    };
    let lines = text.lines().map(|line| {
        let line: Result<Value, _> = serde_json::from_str(line);
        line.unwrap_or_else(|error| panic!("{error} in\n{text}"))
    });
    let access = lines.filter(|line| line["target"] == "access");
    access
        .map(|line| line["trace_id"].as_str().unwrap().to_owned())
        .collect()
}

impl Collector {
    /// The traces of all requests that it was told of, once there are so many.
    async fn requests(&mut self, requests: usize) -> Vec<String> {
        let mut traces = Vec::new();
        while traces.len() < requests {
            let spans = self.spans().await;
            let server = spans
                .iter()
                .filter(|span| span.kind == i32::from(SpanKind::Server));
            traces.extend(server.map(|span| hex::encode(&span.trace_id)));
        }
        traces
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_loses_and_tears_no_line_and_loses_no_span() {
    let mut collector = Collector::start().await;
    let config = format!("{}log: {{ level: info }}\n", collector.config);
    let (provider, mut fleet) = Provider::before(&config).await;
    let file = fleet.gateway.folder().join("log");
    // From the next process on: what the first one says on standard output is how its addresses are known.
    let to_file = format!("level: info, file: {}", file.display());
    fleet.gateway.rewrite(&[("level: info", &to_file)]);
    fleet.gateway.signal(Signal::USR2);
    fleet.gateway.handed_over();

    // Of the one that is handed over from, to the end.
    let held = "f".repeat(32);
    let asked = client()
        .post(fleet.chat_url(GPT))
        .header("traceparent", format!("00-{held}-{PARENT}-01"))
        .body(STREAM);
    let (asked, upstream) = tokio::join!(asked.send(), provider.begin());
    let mut load = Load::start(&fleet.chat_url("gpt-4o-mini"));
    load.go_on(300).await;
    fleet.gateway.upgrade();
    load.go_on(300).await;
    finish(upstream).await;
    assert!(Seen::read(asked.unwrap()).await.complete);
    let mut expected = load.end().await;
    expected.push(held);
    expected.sort_unstable();

    let mut logged = logged(&file, expected.len()).await;
    logged.sort_unstable();
    assert!(
        logged == expected,
        "{} lines of {}",
        logged.len(),
        expected.len()
    );
    let mut traced = collector.requests(expected.len()).await;
    traced.sort_unstable();
    assert!(
        traced == expected,
        "{} spans of {}",
        traced.len(),
        expected.len()
    );
}
