//! Faults on demand: which request gets which. Decides only; the service carries them out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::Deserialize;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Answers `status`; without a body the documented one of that status.
    Status {
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        body: Option<String>,
    },
    /// A TCP reset in place of an answer.
    ResetBeforeHeaders,
    /// The connection ends in good order, without an answer.
    CloseBeforeHeaders,
    /// The head of the answer, then a TCP reset.
    ResetAfterHeaders,
    /// No answer until the caller gives up.
    HangBeforeHeaders,
    /// The answer comes `ms` milliseconds later.
    SlowFirstByte { ms: u64 },
    /// Silence after some events; a unary answer stops in the middle of its body.
    StallMidStream { after_events: usize },
    /// An abnormal end after some events; a unary answer is cut in the middle of its body.
    CutMidStream { after_events: usize },
    /// An error event after some events, then a normal end; a unary request is answered 500.
    ErrorEventInStream { after_events: usize },
    /// Bytes that are not HTTP.
    Garbage,
    /// Answers before the request's body is read. Scoped to a deployment it needs the name in the path.
    EarlyStatus { status: u16 },
    /// Closes the kept-alive connection after the answer, which does not announce it.
    CloseIdle,
}

/// A rule: to which requests an [`Action`] happens. Of several rules the oldest that applies wins.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `None` means any request, the ones that reach no deployment included.
    #[serde(default)]
    pub deployment: Option<String>,
    /// How many requests it happens to; `None` means without end.
    #[serde(default)]
    pub count: Option<u64>,
    /// Share of the requests, 0 to 1.
    #[serde(default)]
    pub probability: Option<f64>,
    pub action: Action,
}

impl Fault {
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self {
            deployment: None,
            count: None,
            probability: None,
            action,
        }
    }

    /// [`Action::Status`] with the documented body and no more headers.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::new(Action::Status {
            status,
            headers: BTreeMap::new(),
            body: None,
        })
    }

    #[must_use]
    pub fn on(mut self, deployment: &str) -> Self {
        self.deployment = Some(deployment.to_owned());
        self
    }

    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    #[must_use]
    pub fn with_probability(mut self, probability: f64) -> Self {
        self.probability = Some(probability);
        self
    }

    fn applies(&self, deployment: Option<&str>) -> bool {
        match &self.deployment {
            None => true,
            Some(wanted) => Some(wanted.as_str()) == deployment,
        }
    }
}

pub(crate) struct Faults {
    /// Spares the lock where no faults are set.
    set: AtomicUsize,
    inner: Mutex<Inner>,
}

struct Inner {
    faults: Vec<Fault>,
    random: fastrand::Rng,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            set: AtomicUsize::new(0),
            inner: Mutex::new(Inner {
                faults: Vec::new(),
                random: fastrand::Rng::with_seed(seed),
            }),
        }
    }

    pub(crate) fn add(&self, fault: Fault) {
        let mut inner = self.inner.lock();
        inner.faults.push(fault);
        self.set.store(inner.faults.len(), Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.inner.lock().faults.clear();
        self.set.store(0, Ordering::Release);
    }

    /// The action for this request, used up.
    pub(crate) fn take(&self, deployment: Option<&str>) -> Option<Action> {
        self.take_where(|fault| fault.applies(deployment))
    }

    /// The status to answer before the body is read.
    pub(crate) fn take_early(&self, deployment: Option<&str>) -> Option<u16> {
        let early = |fault: &Fault| matches!(fault.action, Action::EarlyStatus { .. });
        match self.take_where(|fault| early(fault) && fault.applies(deployment)) {
            Some(Action::EarlyStatus { status }) => Some(status),
            Some(_) | None => None,
        }
    }

    fn take_where(&self, applies: impl Fn(&Fault) -> bool) -> Option<Action> {
        if self.set.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut inner = self.inner.lock();
        let Inner { faults, random } = &mut *inner;
        let index = faults.iter().position(|fault| {
            applies(fault) && fault.probability.is_none_or(|share| random.f64() < share)
        })?;
        let action = faults[index].action.clone();
        if let Some(count) = &mut faults[index].count {
            *count = count.saturating_sub(1);
            if *count == 0 {
                faults.remove(index);
            }
        }
        self.set.store(faults.len(), Ordering::Release);
        Some(action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_is_used_up_by_its_deployment_only() {
        let faults = Faults::new(1);
        faults.add(Fault::new(Action::Garbage).on("a").times(2));
        assert_eq!(faults.take(Some("b")), None);
        assert_eq!(faults.take(Some("a")), Some(Action::Garbage));
        assert_eq!(faults.take(Some("a")), Some(Action::Garbage));
        assert_eq!(faults.take(Some("a")), None);
    }

    #[test]
    fn a_probability_is_a_repeatable_share() {
        let hits = |seed| {
            let faults = Faults::new(seed);
            faults.add(Fault::status(500).with_probability(0.25));
            (0..1000).filter(|_| faults.take(None).is_some()).count()
        };
        assert!((200..300).contains(&hits(7)), "{} of 1000", hits(7));
        assert_eq!(hits(7), hits(7));
    }
}
