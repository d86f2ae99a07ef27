//! What happens in the demo, and what must hold while it does.

use std::{collections::BTreeMap, time::Duration};

use simulator::{Action, Control, Fault};
use tokio::time::{interval, timeout};

use super::{
    fleet::Fleet,
    traffic::{Tally, Traffic},
    view::{self, Screen},
};
use crate::cli::print;

const CALM: Duration = Duration::from_secs(4);
const THROTTLED: Duration = Duration::from_secs(5);
/// What the throttling resource asks for, as Azure does.
const RETRY_AFTER_SECS: u32 = 3;
const RECOVERY_AT_MOST: Duration = Duration::from_secs(15);
const FRAME: Duration = Duration::from_millis(250);

/// Something the gateway promises, and whether it kept it.
pub(super) struct Promise {
    pub(super) words: String,
    pub(super) kept: bool,
    /// What was seen.
    pub(super) seen: String,
}

/// Tells the story once.
pub(super) async fn tell(fleet: &Fleet) -> Vec<Promise> {
    let traffic = Traffic::start(fleet.address, models(fleet));
    let mut promises = Vec::new();

    let screen = Screen::new("1. All is well: each request goes where its model is deployed.");
    watch(fleet, &traffic, &screen, CALM).await;
    promises.push(all_served(&traffic.tally(), "while all is well"));
    promises.push(placement(fleet, &traffic.tally()));

    let Some((name, resource)) = villain(fleet) else {
        print(
            "\nEvery resource has a model that no other has, so none can fail here without being missed.\n",
        );
        return promises;
    };
    let words = format!(
        "2. {name} is out of quota: it answers 429 and asks for {RETRY_AFTER_SECS} seconds. The others take over."
    );
    traffic.reset();
    resource.inject(throttle());
    watch(fleet, &traffic, &Screen::new(&words), THROTTLED).await;
    let tally = traffic.tally();
    promises.push(all_served(&tally, &format!("while {name} throttles")));
    promises.push(failed_over(&tally, name));

    let words = format!("3. {name} has quota again: its traffic comes back by itself.");
    resource.clear_faults();
    traffic.reset();
    promises.push(recovery(fleet, &traffic, &Screen::new(&words), name).await);
    promises.push(all_served(
        &traffic.tally(),
        &format!("while {name} recovers"),
    ));
    promises
}

/// Goes on with a little traffic, for those who want to try things.
pub(super) async fn go_on(fleet: &Fleet) {
    let traffic = Traffic::start(fleet.address, models(fleet));
    let screen = Screen::new("Traffic goes on. Ctrl-C ends the demo.");
    watch(fleet, &traffic, &screen, Duration::MAX).await;
}

fn models(fleet: &Fleet) -> Vec<String> {
    let snapshot = fleet.gateway.shared.snapshot.load();
    snapshot
        .config
        .models
        .iter()
        .map(|model| model.name.as_str().to_owned())
        .collect()
}

/// The resource that serves most models while all is well, of those whose every model another resource has as
/// well.
fn villain(fleet: &Fleet) -> Option<(&str, Control)> {
    let lanes = view::lanes(fleet);
    let served = |name: &str| {
        lanes
            .iter()
            .filter(|lane| lane.endpoint == name && lane.is_preferred)
            .count()
    };
    let is_missed = |name: &str| {
        let models = lanes.iter().filter(|lane| lane.endpoint == name);
        models.map(|lane| &lane.model).any(|model| {
            !lanes
                .iter()
                .any(|other| other.model == *model && other.endpoint != name)
        })
    };
    let dispensable = fleet
        .resources
        .iter()
        .filter(|(name, _)| served(name) > 0 && !is_missed(name));
    let (name, running) = dispensable.max_by_key(|(name, _)| served(name))?;
    Some((name, running.control()))
}

fn throttle() -> Fault {
    let headers = BTreeMap::from([("retry-after".to_owned(), RETRY_AFTER_SECS.to_string())]);
    Fault::new(Action::Status {
        status: 429,
        headers,
        body: None,
    })
}

async fn watch(fleet: &Fleet, traffic: &Traffic, screen: &Screen, span: Duration) {
    let frames = async {
        let mut frame = interval(FRAME);
        loop {
            frame.tick().await;
            screen.draw(fleet, &traffic.tally());
        }
    };
    let _ = timeout(span, frames).await;
    screen.finish(fleet, &traffic.tally());
}

fn all_served(tally: &Tally, when: &str) -> Promise {
    let requests = tally.requests();
    let seen = match &tally.last_failure {
        None => format!("{requests} requests, all answered"),
        Some(failure) => format!(
            "{} of {requests} failed, the last with {failure}",
            tally.failed
        ),
    };
    Promise {
        words: format!("no application sees an error {when}"),
        kept: requests > 0 && tally.failed == 0,
        seen,
    }
}

fn placement(fleet: &Fleet, tally: &Tally) -> Promise {
    let lanes = view::lanes(fleet);
    let strays: u64 = tally
        .served
        .iter()
        .filter(|((model, endpoint), _)| {
            !lanes
                .iter()
                .any(|lane| lane.model == *model && lane.endpoint == *endpoint)
        })
        .map(|(_, count)| count)
        .sum();
    let unknown: u64 = fleet
        .resources
        .iter()
        .map(|(_, running)| running.control().stats().resource.requests)
        .sum();
    Promise {
        words: "no resource is asked for a model that it does not have".to_owned(),
        kept: strays == 0 && unknown == 0,
        seen: format!("{} such requests", strays + unknown),
    }
}

fn failed_over(tally: &Tally, villain: &str) -> Promise {
    let by_others: u64 = tally
        .served
        .iter()
        .filter(|((_, endpoint), _)| endpoint != villain)
        .map(|(_, count)| count)
        .sum();
    Promise {
        words: format!("others answer for {villain}"),
        kept: by_others > 0 && tally.failed_over > 0,
        seen: format!(
            "{by_others} answers by others, {} found a second endpoint at once",
            tally.failed_over
        ),
    }
}

async fn recovery(fleet: &Fleet, traffic: &Traffic, screen: &Screen, name: &str) -> Promise {
    let expected: Vec<_> = view::lanes(fleet)
        .into_iter()
        .filter(|lane| lane.endpoint == name && lane.is_preferred)
        .map(|lane| lane.model)
        .collect();
    let back = |tally: &Tally| expected.iter().all(|model| tally.of(model, name) > 0);
    let waited = async {
        let mut frame = interval(FRAME);
        loop {
            frame.tick().await;
            let tally = traffic.tally();
            screen.draw(fleet, &tally);
            if back(&tally) && tally.requests() > 40 {
                return;
            }
        }
    };
    let returned = timeout(RECOVERY_AT_MOST, waited).await.is_ok();
    let tally = traffic.tally();
    screen.finish(fleet, &tally);
    let served: u64 = expected.iter().map(|model| tally.of(model, name)).sum();
    Promise {
        words: format!("{name} serves again, without anybody doing anything"),
        kept: returned,
        seen: format!("{served} answers by {name}"),
    }
}
