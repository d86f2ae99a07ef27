//! Says for one member of a pool why a request may, or may not, be sent there. Every choice and every explanation
//! is made of these reasons, so that the two cannot disagree. Pure: what is known of the member is handed in.

use serde::{Deserialize, Serialize};

use super::{cause::Cause, select::Standing};
use crate::clock::Timestamp;

/// What an operator has decided about an endpoint while the gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    #[default]
    Enabled,
    /// Gets no request at all.
    Disabled,
    /// Gets no new request, only what belongs to it already.
    Drained,
}

impl Switch {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Drained => "drained",
        }
    }
}

/// Whether an endpoint can serve what is asked, whatever its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Possible,
    /// It has no counterpart of the operation.
    Unavailable,
    /// There is nothing to show to it.
    NoCredential,
}

/// Where a member stands at this moment, for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Ready,
    /// This percentage of its share.
    Recovering {
        percent: u8,
    },
    /// Held back by the breaker alone: a last resort.
    BreakerOpen {
        until: Timestamp,
    },
    CoolingDown {
        until: Timestamp,
        cause: Cause,
    },
    Disabled,
    Drained,
    WeightZero,
    OperationUnavailable,
    NoCredential,
    /// By an earlier attempt of the same request.
    Tried,
}

impl Reason {
    /// What the operator decided comes first, then what the request asks for, then health; what comes later is asked
    /// only as far as needed.
    pub fn of(
        switch: Switch,
        weight: u32,
        tried: bool,
        service: impl FnOnce() -> Service,
        standing: impl FnOnce() -> Standing,
    ) -> Self {
        match switch {
            Switch::Enabled => {}
            Switch::Disabled => return Self::Disabled,
            Switch::Drained => return Self::Drained,
        }
        if weight == 0 {
            return Self::WeightZero;
        }
        if tried {
            return Self::Tried;
        }
        match service() {
            Service::Possible => {}
            Service::Unavailable => return Self::OperationUnavailable,
            Service::NoCredential => return Self::NoCredential,
        }
        match standing() {
            Standing::Ready => Self::Ready,
            Standing::Recovering { percent } => Self::Recovering { percent },
            Standing::Ejected { until } => Self::BreakerOpen { until },
            Standing::Cooling { until, cause } => Self::CoolingDown { until, cause },
        }
    }

    /// When health allows requests again, now if it does; `None` where something else is against them.
    #[must_use]
    pub fn usable_at(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Ready | Self::Recovering { .. } => Some(now),
            Self::BreakerOpen { until } | Self::CoolingDown { until, .. } => Some(until.max(now)),
            Self::Disabled
            | Self::Drained
            | Self::WeightZero
            | Self::OperationUnavailable
            | Self::NoCredential
            | Self::Tried => None,
        }
    }

    /// The word for it in logs and on the admin listener.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Recovering { .. } => "recovering",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::CoolingDown { .. } => "cooling_down",
            Self::Disabled => "disabled",
            Self::Drained => "drained",
            Self::WeightZero => "weight_zero",
            Self::OperationUnavailable => "operation_unavailable",
            Self::NoCredential => "no_credential",
            Self::Tried => "tried",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_word_comes_before_the_requests_and_health_comes_last() {
        let until = Timestamp::from_micros(9);
        let ejected = Standing::Ejected { until };
        let open = Reason::BreakerOpen { until };
        use Service::{NoCredential, Possible, Unavailable};
        for (switch, weight, tried, service, expected) in [
            (Switch::Disabled, 0, true, Unavailable, Reason::Disabled),
            (Switch::Drained, 0, true, Unavailable, Reason::Drained),
            (Switch::Enabled, 0, true, Unavailable, Reason::WeightZero),
            (Switch::Enabled, 1, true, Unavailable, Reason::Tried),
            (
                Switch::Enabled,
                1,
                false,
                Unavailable,
                Reason::OperationUnavailable,
            ),
            (
                Switch::Enabled,
                1,
                false,
                NoCredential,
                Reason::NoCredential,
            ),
            (Switch::Enabled, 1, false, Possible, open),
        ] {
            let reason = Reason::of(switch, weight, tried, || service, || ejected);
            assert_eq!(reason, expected);
        }
    }
}
