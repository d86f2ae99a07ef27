//! The end of a process.

use std::time::Duration;

use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{GPT, assert_whole, raw_chat, stream};
use crate::support::{
    Fleet, PATIENCE, Seen,
    provider::{Provider, finish},
};

/// Between the end of the last request and that of the process; measured at a few milliseconds.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_streams_end_refuses_new_connections_and_ends_with_the_last() {
    let (provider, mut fleet) = Provider::before("").await;
    let (running, upstream) = tokio::join!(stream(&fleet), provider.begin());
    fleet.gateway.begin_to_drain();
    let until_refused = async { while TcpStream::connect(fleet.gateway.address).await.is_ok() {} };
    timeout(PATIENCE, until_refused)
        .await
        .expect("it no longer listens");
    assert!(
        fleet
            .gateway
            .admin_page("/readyz")
            .await
            .contains(r#""draining":true"#)
    );
    finish(upstream).await;
    assert_whole(running).await;
    let end = Instant::now();
    assert!(fleet.gateway.ended().await.success());
    assert!(end.elapsed() < SOON, "{:?}", end.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stuck_is_cut_at_the_deadline_and_counted() {
    let (provider, mut fleet) = Provider::before("drain_timeout: 60s").await;
    let (running, _stuck) = tokio::join!(stream(&fleet), provider.begin());
    // The deadline is that of the configuration in use.
    fleet
        .gateway
        .reload(&[("drain_timeout: 60s", "drain_timeout: 200ms")]);
    fleet.gateway.signal(Signal::TERM);
    assert!(fleet.gateway.ended().await.success());
    let cut = fleet
        .gateway
        .logged_events("requests were cut at the end of `drain_timeout`");
    assert_eq!(cut.len(), 1);
    assert_eq!(cut[0]["cut"], 1);
    assert!(!Seen::read(running).await.complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let (provider, mut fleet) = Provider::before("").await;
        let (_running, _stuck) = tokio::join!(stream(&fleet), provider.begin());
        fleet.gateway.begin_to_drain();
        fleet.gateway.signal(second);
        assert!(fleet.gateway.ended().await.success());
        let message = "stopped at once by a second signal";
        assert_eq!(fleet.gateway.logged_events(message).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_the_kernel_has_already_taken_are_answered() {
    let mut fleet = Fleet::start("").await;
    let request = raw_chat(GPT);
    fleet.gateway.signal(Signal::STOP);
    let mut connections = Vec::new();
    for _ in 0..50 {
        let mut connection = TcpStream::connect(fleet.gateway.address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        connections.push(connection);
    }
    fleet.gateway.signal(Signal::TERM);
    fleet.gateway.signal(Signal::CONT);
    for mut connection in connections {
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(fleet.gateway.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_takes_no_orders() {
    let (provider, mut fleet) = Provider::before("").await;
    let (_running, _upstream) = tokio::join!(stream(&fleet), provider.begin());
    fleet.gateway.begin_to_drain();
    let refused = fleet.gateway.ask(&["reload"]);
    assert_eq!(refused.status.code(), Some(69), "{refused:?}");
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(reason.contains("the process is stopping"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_up_a_stop() {
    let mut fleet = Fleet::start("").await;
    let mut idle = Vec::new();
    for address in [fleet.gateway.address, fleet.gateway.h2c] {
        // Never used, and used once.
        idle.push(TcpStream::connect(address).await.unwrap());
        let mut used = TcpStream::connect(address).await.unwrap();
        let request = raw_chat(GPT);
        used.write_all(request.as_bytes()).await.unwrap();
        assert_ne!(used.read(&mut [0; 4096]).await.unwrap(), 0);
        idle.push(used);
    }
    let start = Instant::now();
    fleet.gateway.signal(Signal::TERM);
    assert!(fleet.gateway.ended().await.success());
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}
