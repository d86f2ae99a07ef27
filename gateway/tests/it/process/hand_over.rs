//! One process gives its sockets and what it knows to the next.

use rustix::process::Signal;
use simulator::Fault;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{GPT, assert_whole, raw_chat, stream, throttled_for};
use crate::support::{
    CHAT, Fleet, PATIENCE, h2_client,
    provider::{Provider, finish},
};

/// A connection of our own, so that we see when it is closed.
struct KeepAlive(TcpStream);

impl KeepAlive {
    async fn open(fleet: &Fleet) -> Self {
        Self(TcpStream::connect(fleet.gateway.address).await.unwrap())
    }

    /// One request, and its answer's head and body.
    async fn chat(&mut self) -> String {
        // The first resource does not have this model: a test may be its provider.
        let request = raw_chat("gpt-4o-mini");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        loop {
            let read = self.0.read_buf(&mut answer).await.unwrap();
            let text = String::from_utf8_lossy(&answer).to_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split_once("content-length: ").unwrap().1;
                let length = length.lines().next().unwrap().parse().unwrap();
                if body.len() >= length {
                    return text;
                }
            }
            assert_ne!(read, 0, "closed in the middle of an answer");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_process_serves_and_the_old_one_finishes_what_it_began() {
    let (provider, mut fleet) = Provider::before("").await;
    let retry_after = throttled_for("600");
    fleet
        .aoi(2)
        .inject(Fault::new(retry_after).on("gpt-4o-mini"));
    assert_eq!(fleet.chat("gpt-4o-mini").await.status(), 200);
    let mut idle = KeepAlive::open(&fleet).await;
    let mut unused = KeepAlive::open(&fleet).await;
    assert!(idle.chat().await.starts_with("http/1.1 200"));
    let h2 = h2_client();
    let h2_url = fleet
        .gateway
        .h2c_url("/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21");
    let h2_chat = || {
        h2.post(&h2_url)
            .header("content-type", "application/json")
            .body(CHAT)
            .send()
    };
    assert_eq!(h2_chat().await.unwrap().status(), 200);
    let (running, upstream) = tokio::join!(stream(&fleet), provider.begin());

    fleet.gateway.signal(Signal::USR2);
    fleet.gateway.handed_over();

    // What was learnt is known to the new process.
    let known = fleet.gateway.deployment("aoi-2", "gpt-4o-mini").await;
    assert_eq!(known["state"], "throttling", "{known}");
    assert_eq!(
        fleet.chat("gpt-4o-mini").await.headers()["x-tokenweir-endpoint"],
        "aoi-3"
    );
    // Connections to the old process are served once more and told to go.
    for connection in [&mut idle, &mut unused] {
        let answer = connection.chat().await;
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(connection.0.read(&mut [0; 64]).await.unwrap(), 0);
    }
    assert_eq!(h2_chat().await.unwrap().status(), 200);
    assert!(!fleet.gateway.has_ended(), "a stream holds it");
    finish(upstream).await;
    assert_whole(running).await;
    assert!(fleet.gateway.ended().await.success());

    // The next generation.
    let mut idle = KeepAlive::open(&fleet).await;
    assert!(idle.chat().await.starts_with("http/1.1 200"));
    let upgrade = fleet.gateway.ask(&["upgrade"]);
    assert!(upgrade.status.success(), "{upgrade:?}");
    fleet.gateway.handed_over();
    assert!(idle.chat().await.contains("connection: close"));
    assert_eq!(
        fleet.gateway.deployment("aoi-2", "gpt-4o-mini").await["state"],
        "throttling"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_fails_changes_nothing() {
    let mut fleet = Fleet::start("hand_over_timeout: 5s").await;
    let mut idle = KeepAlive::open(&fleet).await;
    for (script, replacements, reason) in [
        (None, [("open: true", "opne: true")], "did you mean `open`?"),
        (
            Some("exit 3"),
            [("open: true", "open: true")],
            "ended before it served (exit status: 3)",
        ),
        (
            Some("exec sleep 1000"),
            [("open: true", "open: true")],
            "did not answer within 5s and was killed",
        ),
        (
            Some("echo '\"ready\"' >&0; exit 1"),
            [("open: true", "open: true")],
            "ended before it served",
        ),
    ] {
        fleet.gateway.install(script);
        fleet.gateway.rewrite(&replacements);
        fleet.gateway.signal(Signal::USR2);
        let refusal = fleet.gateway.refusal();
        assert!(refusal.contains(reason), "{refusal}");
        let answer = idle.chat().await;
        assert!(
            answer.starts_with("http/1.1 200") && !answer.contains("connection: close"),
            "{answer}"
        );
        assert_eq!(fleet.chat(GPT).await.status(), 200);
        if script.is_none() {
            let upgrade = fleet.gateway.ask(&["upgrade"]);
            assert_eq!(upgrade.status.code(), Some(69), "{upgrade:?}");
            fleet.gateway.refusal();
        }
    }
    fleet.gateway.install(None);
    fleet.gateway.rewrite(&[]);
    fleet.gateway.signal(Signal::USR2);
    fleet.gateway.handed_over();
    assert_eq!(fleet.chat(GPT).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_the_new_configuration_adds_or_drops_is_opened_or_closed() {
    let [kept, dropped, added] = [(); 3].map(|()| {
        // Where no other test listens.
        let free = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
        free.local_addr().unwrap()
    });
    let listen = |a, b| format!("listen: [{{ address: \"{a}\" }}, {{ address: \"{b}\" }}]");
    let before = listen(kept, dropped);
    let mut fleet = Fleet::start(&before).await;
    fleet.gateway.rewrite(&[(&before, &listen(kept, added))]);
    fleet.gateway.signal(Signal::USR2);
    fleet.gateway.handed_over();
    assert!(fleet.gateway.ended().await.success());
    for (address, open) in [(kept, true), (dropped, false), (added, true)] {
        assert_eq!(TcpStream::connect(address).await.is_ok(), open, "{address}");
    }
    assert_eq!(fleet.chat(GPT).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_dies_is_followed_by_the_old_process() {
    let (provider, mut fleet) = Provider::before("").await;
    let (_running, _upstream) = tokio::join!(stream(&fleet), provider.begin());
    fleet.gateway.signal(Signal::USR2);
    fleet.gateway.handed_over();
    fleet.gateway.signal(Signal::KILL);
    // So that a service manager sees that nobody is left.
    assert_eq!(fleet.gateway.ended().await.code(), Some(70));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_several_generations() {
    let (provider, mut fleet) = Provider::before("").await;
    let (running, upstream) = tokio::join!(stream(&fleet), provider.begin());
    for _ in 0..2 {
        fleet.gateway.signal(Signal::USR2);
        fleet.gateway.handed_over();
    }
    // The second had nothing to finish.
    let message = "all connections have ended";
    fleet
        .gateway
        .next_event(|event| event["message"] == message);
    assert!(!fleet.gateway.has_ended(), "a stream holds it");
    finish(upstream).await;
    assert_whole(running).await;
    assert!(fleet.gateway.ended().await.success());
    assert_eq!(fleet.chat("gpt-4o-mini").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_a_hand_over_stops_both() {
    let mut fleet = Fleet::start("").await;
    // A program that is never ready, and ends when its standard input does.
    fleet
        .gateway
        .install(Some("touch started; exec cat >/dev/null"));
    let started = fleet.gateway.folder().join("started");
    fleet.gateway.signal(Signal::USR2);
    let until_started = async {
        while !started.exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, until_started).await.expect("it starts");
    fleet.gateway.signal(Signal::TERM);
    assert!(fleet.gateway.ended().await.success());
    fleet.gateway.gone();
}
