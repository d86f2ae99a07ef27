//! What goes wrong at a door, in the order in which it was asked for. Decides only.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// What happens to the next calls of a door. The faults of a door happen one after the other, each as often as
/// it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityFault {
    /// `None` means the normal answer, or 200 with a `body`.
    pub status: Option<u16>,
    /// The answer, or the reset, comes that much later. In JSON `delay_ms`.
    #[serde(rename = "delay_ms", deserialize_with = "milliseconds")]
    pub delay: Duration,
    /// Seconds.
    pub retry_after: Option<u64>,
    /// In place of the door's body for that status.
    pub body: Option<String>,
    /// More headers of the answer, such as another `www-authenticate`; they replace its own.
    pub headers: Vec<(String, String)>,
    /// How many calls it happens to; 0 means all, until it is cleared.
    pub times: u32,
    /// A TCP reset in place of an answer.
    pub reset: bool,
    /// A page for people in place of JSON.
    pub not_json: bool,
}

impl IdentityFault {
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// The normal answer, but late.
    #[must_use]
    pub fn late(delay: Duration) -> Self {
        Self::default().delay(delay)
    }

    /// A TCP reset in place of an answer.
    #[must_use]
    pub fn reset() -> Self {
        Self {
            reset: true,
            ..Self::default()
        }
    }

    /// A page for people in place of JSON, with status 200.
    #[must_use]
    pub fn not_json() -> Self {
        Self {
            not_json: true,
            ..Self::default()
        }
    }

    /// Status 200 with that body.
    #[must_use]
    pub fn answer(body: &str) -> Self {
        Self::default().body(body)
    }

    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// The faults of one door.
#[derive(Default)]
pub(super) struct Queue(VecDeque<IdentityFault>);

impl Queue {
    pub(super) fn add(&mut self, fault: IdentityFault) {
        self.0.push_back(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault of this call, used up.
    pub(super) fn take(&mut self) -> Option<IdentityFault> {
        let fault = self.0.front_mut()?;
        match fault.times {
            0 => Some(fault.clone()),
            1 => self.0.pop_front(),
            _ => {
                fault.times -= 1;
                Some(fault.clone())
            }
        }
    }
}
