//! When tokens are fetched: paused time, a scripted service, and a draw in the middle.

use std::{collections::VecDeque, sync::Arc, thread, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::super::{
    FetchError, Fetched, Kept, Token, Tokens,
    keep::World,
    schedule::Retry::{self, After, Backoff, Permanent, Updating},
};
use crate::{
    clock::Timestamp,
    config::compiled::{Flow, IdentityId, Platform, TokenSource},
    ids::CredentialName,
    secret::Secret,
};

thread_local! {
    static BEGIN: Instant = sleep(Duration::ZERO).deadline();
}

fn now() -> Timestamp {
    let passed = BEGIN.with(Instant::elapsed);
    Timestamp::from_micros(1).saturating_add(passed)
}

fn seconds() -> f64 {
    now().since(Timestamp::from_micros(1)).as_secs_f64()
}

async fn until(second: f64) {
    sleep(Duration::from_secs_f64(second - seconds())).await;
}

/// An answer, and after how many seconds it comes.
type Step = (u64, Result<Fetched, FetchError>);

/// Answers in their order, each after some seconds, and then never again.
#[derive(Clone, Default)]
struct Service {
    script: Arc<Mutex<VecDeque<Step>>>,
    asked_at: Arc<Mutex<Vec<f64>>>,
}

impl Service {
    fn new(script: impl IntoIterator<Item = Result<Fetched, FetchError>>) -> Self {
        let service = Self::default();
        for answer in script {
            service.script.lock().push_back((0, answer));
        }
        service
    }

    fn slow(self, seconds: u64) -> Self {
        for answer in &mut *self.script.lock() {
            answer.0 = seconds;
        }
        self
    }

    fn tokens(&self) -> Tokens {
        let service = self.clone();
        let world = World {
            now,
            draw: || 0.5,
            fetch: Arc::new(move |_| {
                service.asked_at.lock().push(seconds());
                let answer = service.script.lock().pop_front();
                Box::pin(async move {
                    let Some((seconds, answer)) = answer else {
                        return std::future::pending().await;
                    };
                    sleep(Duration::from_secs(seconds)).await;
                    answer
                })
            }),
        };
        Tokens {
            world,
            ..Tokens::default()
        }
    }

    #[track_caller]
    fn assert_asked(&self, expected: &[f64]) {
        let asked = self.asked_at.lock().clone();
        // The timer of tokio counts milliseconds.
        let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 0.005;
        let equal = asked.len() == expected.len() && asked.iter().zip(expected).all(is_near);
        assert!(equal, "asked at {asked:?}, not at {expected:?}");
    }
}

fn granted(token: &str, lifetime_s: u64) -> Result<Fetched, FetchError> {
    Ok(Fetched {
        token: Secret::new(token.to_owned()),
        lifetime: Duration::from_secs(lifetime_s),
        refresh_in: None,
        answered_by: "a script".to_owned(),
    })
}

fn refused(retry: Retry) -> Result<Fetched, FetchError> {
    Err(FetchError::Refused {
        asked: "a script".to_owned(),
        status: 599,
        complaint: "because".to_owned(),
        hint: None,
        retry,
    })
}

/// A provider refuses what is sent at this moment.
fn refuse(token: &Token) -> bool {
    token
        .header()
        .is_some_and(|sent| token.refused(&sent, now()))
}

fn source(scope: &str) -> TokenSource {
    TokenSource {
        flow: Flow::ManagedIdentity {
            platform: Platform::Imds { url: "x".into() },
            identity: IdentityId::System,
        },
        scope: scope.into(),
    }
}

fn name(text: &str) -> CredentialName {
    CredentialName::new(text).unwrap()
}

fn only(tokens: &Tokens) -> Arc<Token> {
    tokens.token(&name("azure"), &source("scope"))
}

/// What a request gets that begins at this moment.
fn header(token: &Token) -> Option<String> {
    let header = token.is_ready(now()).then(|| token.header())??;
    assert!(header.is_sensitive());
    Some(header.to_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_at_half_of_its_life() {
    let service = Service::new([granted("one", 3600), granted("two", 4000)]);
    let token = only(&service.tokens());
    assert_eq!(token.header(), None);
    assert!(!token.is_ready(now()));
    until(1.0).await;
    assert_eq!(header(&token).as_deref(), Some("Bearer one"));
    assert!(token.is_ready(now()));
    until(1801.0).await;
    assert_eq!(header(&token).as_deref(), Some("Bearer two"));
    until(3801.0).await;
    service.assert_asked(&[0.0, 1800.0, 3800.0]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_is_used_until_it_expires() {
    let failures = (0..12).map(|_| refused(Backoff));
    let script = std::iter::once(granted("one", 100)).chain(failures);
    let service = Service::new(script.chain([granted("two", 100)]));
    let token = only(&service.tokens());
    until(60.5).await;
    assert_eq!(header(&token).as_deref(), Some("Bearer one"));
    let report = token.report(now());
    assert_eq!(
        report.error.as_deref(),
        Some("a script answered 599, because")
    );
    assert_eq!(report.failures, 4);
    assert_eq!(report.age.unwrap().as_secs(), 60);
    assert_eq!(report.expires_in.unwrap().as_secs(), 39);
    assert_eq!(report.next_try_in.as_secs(), 2);
    until(99.9).await;
    assert_eq!(header(&token).as_deref(), Some("Bearer one"));
    until(100.1).await;
    assert_eq!(header(&token), None);
    // One that was on its way then shows what it had.
    assert_eq!(token.header().unwrap(), "Bearer one");
    assert!(!token.is_ready(now()));
    let report = token.report(now());
    assert_eq!((report.expires_in, report.age), (None, None));
    until(140.0).await;
    assert_eq!(header(&token).as_deref(), Some("Bearer two"));
    let report = token.report(now());
    assert_eq!((report.failures, report.error), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_kept_and_tried_again_as_its_class_says() {
    for (class, second) in [
        (After(Duration::from_secs(20)), 21.0),
        (Updating, 1.75),
        (Backoff, 1.0),
        (Permanent, 52.5),
    ] {
        let service = Service::new([refused(class), granted("one", 3600)]);
        let begin = seconds();
        let token = only(&service.tokens());
        until(begin + second - 0.01).await;
        assert_eq!(header(&token), None, "{class:?}");
        until(begin + second + 0.01).await;
        assert_eq!(header(&token).as_deref(), Some("Bearer one"), "{class:?}");
        service.assert_asked(&[begin, begin + second]);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_slow_fetch() {
    let service = Service::new([granted("one", 100), granted("two", 100)]).slow(14);
    let token = only(&service.tokens());
    until(13.9).await;
    assert_eq!(header(&token), None);
    until(14.1).await;
    // Counted from when it was asked for.
    assert_eq!(token.report(now()).expires_in.unwrap().as_secs(), 85);
    until(60.0).await;
    assert_eq!(token.report(now()).next_try_in, Duration::ZERO);
    assert_eq!(header(&token).as_deref(), Some("Bearer one"));
    until(64.1).await;
    assert_eq!(header(&token).as_deref(), Some("Bearer two"));
    service.assert_asked(&[0.0, 50.0]);
}

#[tokio::test(start_paused = true)]
async fn many_refusals_force_one_fetch_and_the_next_not_within_30_seconds() {
    let service = Service::new((0..4).map(|_| granted("one", 3600)));
    let token = only(&service.tokens());
    until(10.0).await;
    let at = now();
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let sent = token.header().unwrap();
                    assert!(token.refused(&sent, at));
                }
            });
        }
    });
    until(11.0).await;
    service.assert_asked(&[0.0, 10.0]);
    until(39.9).await;
    // A new token that is no better.
    assert!(!refuse(&token));
    until(40.1).await;
    service.assert_asked(&[0.0, 10.0]);
    assert!(refuse(&token));
    until(41.0).await;
    service.assert_asked(&[0.0, 10.0, 40.1]);
    assert_eq!(header(&token).as_deref(), Some("Bearer one"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_cuts_no_back_off_short() {
    let throttled = refused(After(Duration::from_secs(100)));
    let service = Service::new([granted("one", 600), throttled, granted("two", 600)]);
    let token = only(&service.tokens());
    until(310.0).await;
    refuse(&token);
    until(404.0).await;
    assert_eq!(header(&token).as_deref(), Some("Bearer one"));
    until(406.0).await;
    assert_eq!(header(&token).as_deref(), Some("Bearer two"));
    service.assert_asked(&[0.0, 300.0, 405.0]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_during_a_fetch_is_answered_by_that_fetch() {
    let service = Service::new([granted("one", 100), granted("two", 100)]).slow(5);
    let token = only(&service.tokens());
    until(52.0).await;
    refuse(&token);
    until(90.0).await;
    assert_eq!(header(&token).as_deref(), Some("Bearer two"));
    service.assert_asked(&[0.0, 50.0]);
}

#[tokio::test(start_paused = true)]
async fn what_came_of_a_fetch_under_way_can_be_refused_too() {
    let service = Service::new((0..3).map(|n| granted(&n.to_string(), 100))).slow(5);
    let token = only(&service.tokens());
    until(52.0).await;
    assert!(refuse(&token));
    until(57.0).await;
    // No fetch is under way any more, and the last one was forced too short a time ago.
    assert!(!refuse(&token));
    until(82.5).await;
    assert!(refuse(&token));
    until(83.0).await;
    service.assert_asked(&[0.0, 50.0, 82.5]);
}

#[tokio::test(start_paused = true)]
async fn one_source_is_fetched_once_however_many_ask() {
    let service = Service::new([granted("one", 3600)]).slow(2);
    let tokens = Arc::new(service.tokens());
    let asking: Vec<_> = (0..50)
        .map(|index| {
            let tokens = tokens.clone();
            let name = name(&format!("credential-{index}"));
            tokio::spawn(async move { tokens.token(&name, &source("scope")) })
        })
        .collect();
    let first = only(&tokens);
    for token in asking {
        assert!(Arc::ptr_eq(&token.await.unwrap(), &first));
    }
    until(3.0).await;
    service.assert_asked(&[0.0]);
    tokens.token(&name("azure"), &source("another"));
    until(4.0).await;
    service.assert_asked(&[0.0, 3.0]);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_until_nobody_uses_it_and_then_forgotten() {
    let service = Service::new((0..9).map(|_| granted("one", 100)));
    let tokens = service.tokens();
    let token = only(&tokens);
    until(60.0).await;
    tokens.prune();
    until(110.0).await;
    service.assert_asked(&[0.0, 50.0, 100.0]);
    let task = token.task.abort_handle();
    drop(token);
    tokens.prune();
    until(1000.0).await;
    assert!(task.is_finished());
    service.assert_asked(&[0.0, 50.0, 100.0]);
    assert!(tokens.kept().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_successor_uses_the_tokens_of_its_predecessor_before_it_fetches_its_own() {
    let old = Service::new([granted("one", 3600)]);
    let tokens = old.tokens();
    let token = only(&tokens);
    until(1000.0).await;
    let kept = serde_json::to_string(&tokens.kept()).unwrap();
    drop((token, tokens));

    let new = Service::new([granted("two", 3600)]);
    let tokens = new.tokens();
    let kept: Vec<Kept> = serde_json::from_str(&kept).unwrap();
    tokens.restore(kept.clone());
    let token = only(&tokens);
    assert_eq!(header(&token).as_deref(), Some("Bearer one"));
    assert_eq!(token.report(now()).age.unwrap().as_secs(), 1000);
    tokens.warm_up(Duration::from_secs(5)).await;
    until(1799.0).await;
    new.assert_asked(&[]);
    until(1801.0).await;
    new.assert_asked(&[1800.0]);
    assert_eq!(header(&token).as_deref(), Some("Bearer two"));

    until(3601.0).await;
    let late = Service::default().tokens();
    late.restore(kept);
    let token = only(&late);
    assert_eq!(header(&token), None, "it has expired on the way");
    late.warm_up(Duration::from_secs(5)).await;
    assert!(seconds() > 3605.0, "there is none to begin with");
}

#[tokio::test(start_paused = true)]
async fn a_kept_token_is_for_the_source_it_came_from() {
    let tokens = Service::new([granted("one", 3600)]).tokens();
    let _token = only(&tokens);
    until(1.0).await;
    let other = Service::default().tokens();
    other.restore(tokens.kept());
    let changed = other.token(&name("azure"), &source("another"));
    assert_eq!(header(&changed), None);
}

#[tokio::test(start_paused = true)]
async fn the_start_waits_for_the_first_try_of_every_token() {
    let limit = Duration::from_secs(30);
    for (script, seconds_waited) in [
        (vec![granted("one", 3600)], 3.0),
        (vec![refused(Backoff), granted("one", 3600)], 3.0),
        (vec![refused(Permanent)], 3.0),
        (vec![], 30.0),
    ] {
        let tokens = Service::new(script).slow(3).tokens();
        let (begin, _token) = (seconds(), only(&tokens));
        tokens.warm_up(limit).await;
        let waited = seconds() - begin;
        assert!((waited - seconds_waited).abs() < 0.01, "{waited}");
    }
    let nothing = Service::default().tokens();
    nothing.warm_up(limit).await;
}
