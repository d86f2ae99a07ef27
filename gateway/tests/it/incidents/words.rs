//! The words of the table: what an incident is made of, and what becomes of it unless a row says otherwise.

use simulator::Action;

use super::{GPT, Incident, Standing, Step, Truth, clients};

/// One failure opens the breaker, so its effect shows; all waits are longer than a slow machine.
const CONFIG: &str = "
defaults:
  timeouts: { read: 1s, read_stream: 1s }
  circuit_breaker: { failures: 1, trip: 50s }
  cool_down: { min: 5s, default: 25s }
";

/// Something at the first resource that the second one makes good.
pub(super) fn incident(name: &'static str, steps: Vec<Step>) -> Incident {
    Incident {
        name,
        config: CONFIG.to_owned(),
        first: "",
        untrusted: false,
        steps,
        model: GPT,
        key: None,
        truth: Truth {
            status: 200,
            error: None,
            wait: None,
            attempts: Vec::new(),
            stopped: None,
            decision: None,
            cut: false,
            blamed: false,
            verdict: "served",
            standing: READY,
            failures: Vec::new(),
            usable: 3,
            counted: Vec::new(),
        },
    }
}

/// The first resource is tried, fails like this and is left out; the second one serves.
pub(super) fn left_out(
    name: &'static str,
    steps: Vec<Step>,
    (attempt, failure): (&'static str, &'static str),
    standing: Standing,
) -> Incident {
    let mut incident = incident(name, steps);
    let truth = &mut incident.truth;
    truth.attempts = vec![attempt, "aoi-2 ok 200"];
    truth.decision = Some("priority 2; skipped aoi-1: tried");
    truth.failures = vec![failure];
    truth.standing = standing;
    truth.usable = 2;
    truth.counted = vec![("retries", 1.0)];
    if standing.reason == Some("breaker") {
        truth.counted.push(("breaker_trips", 1.0));
    }
    incident
}

/// The first resource is not asked; the second one serves.
pub(super) fn skipped(
    name: &'static str,
    steps: Vec<Step>,
    decision: &'static str,
    standing: Standing,
) -> Incident {
    incident(name, steps).with(|truth| {
        truth.attempts = vec!["aoi-2 ok 200"];
        truth.decision = Some(decision);
        truth.standing = standing;
        truth.usable = 2;
    })
}

/// The client is told by the gateway, and nobody is asked.
pub(super) fn refused(name: &'static str, status: u16, error: &'static str) -> Incident {
    incident(name, vec![Step::Ask]).with(|truth| {
        truth.status = status;
        truth.error = Some(error);
    })
}

impl Incident {
    /// These steps before the others.
    pub(super) fn first<const COUNT: usize>(mut self, steps: [Step; COUNT]) -> Self {
        self.steps.splice(0..0, steps);
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Truth)) -> Self {
        change(&mut self.truth);
        self
    }

    pub(super) fn configured(mut self, from: &str, to: &str) -> Self {
        assert!(self.config.contains(from), "{}: {from}", self.name);
        self.config = self.config.replace(from, to);
        self
    }

    pub(super) fn with_clients(mut self, key: &'static str, model: &'static str) -> Self {
        self.config += &clients();
        (self.key, self.model) = (Some(key), model);
        self
    }
}

pub(super) const READY: Standing = Standing {
    state: "healthy",
    reason: None,
    explained: "ready",
    detail: "ready",
    seconds: None,
};

/// Cooling down.
pub(super) fn cooling(cause: &'static str, detail: &'static str, seconds: f64) -> Standing {
    Standing {
        state: if cause == "throttled" {
            "throttling"
        } else {
            "error"
        },
        reason: Some(cause),
        explained: "cooling_down",
        detail,
        seconds: Some(seconds),
    }
}

pub(super) fn breaker(detail: &'static str) -> Standing {
    Standing {
        state: "error",
        reason: Some("breaker"),
        explained: "breaker_open",
        detail,
        seconds: Some(50.0),
    }
}

/// Out until somebody changes that.
pub(super) fn off(reason: &'static str, explained: &'static str, detail: &'static str) -> Standing {
    Standing {
        state: "disabled",
        reason: Some(reason),
        explained,
        detail,
        seconds: None,
    }
}

/// A status with headers and a code in its body.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], code: &str) -> Action {
    let headers = headers.iter();
    Action::Status {
        status,
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: Some(format!(r#"{{"error":{{"code":"{code}","message":"no"}}}}"#)),
    }
}

pub(super) fn busy(seconds: &str) -> Action {
    answer(429, &[("retry-after", seconds)], "429")
}

pub(super) fn fault(action: Action) -> Vec<Step> {
    vec![Step::Fault(1, action), Step::Ask]
}
