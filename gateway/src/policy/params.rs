//! The numbers an operator can set, as the decisions take them. They are passed in at each decision, so a
//! reload changes them at once and resets no state.

use std::{num::NonZeroU32, ops::RangeInclusive, time::Duration};

use super::cause::Cause;

/// How traffic is spread inside one priority group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// Smooth weighted round robin, one position shared by all threads.
    #[default]
    RoundRobin,
    /// Weighted random.
    Random,
}

impl Balance {
    /// The word for it in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
        }
    }
}

/// How the tokens of requests are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageParams {
    /// Ask providers for the tokens of a stream whose client does not.
    pub ask: bool,
}

impl Default for UsageParams {
    fn default() -> Self {
        Self { ask: true }
    }
}

/// When a failed attempt is followed by another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryParams {
    /// Attempts in all, the first one included.
    pub attempts: NonZeroU32,
    /// Retries per hundred client requests of the model that are allowed in the long run.
    pub budget_percent: u32,
    /// Retries per second that are allowed at any traffic.
    pub budget_min_per_second: u32,
    /// Causes after which another deployment is tried.
    pub on: Vec<Cause>,
}

impl Default for RetryParams {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(3).expect("3 is not zero"),
            budget_percent: 20,
            budget_min_per_second: 3,
            on: Cause::RETRIABLE.to_vec(),
        }
    }
}

/// When a deployment is taken out for failing, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerParams {
    pub enabled: bool,
    /// Failures inside `interval` that trip the breaker.
    pub failures: NonZeroU32,
    pub interval: Duration,
    /// Answers that count as a failure.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Failures without an answer that count.
    pub reasons: Vec<Cause>,
    /// How long the breaker stays open.
    pub trip: Duration,
    /// A `Retry-After` of the failing answer replaces `trip`.
    pub accept_retry_after: bool,
}

impl Default for BreakerParams {
    fn default() -> Self {
        Self {
            enabled: true,
            failures: NonZeroU32::new(5).expect("5 is not zero"),
            interval: Duration::from_secs(60),
            statuses: vec![500..=599],
            reasons: vec![
                Cause::Connect,
                Cause::Tls,
                Cause::Dns,
                Cause::Timeout,
                Cause::Stall,
            ],
            trip: Duration::from_secs(30),
            accept_retry_after: true,
        }
    }
}

/// How long a deployment that asked for a pause gets one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoolDownParams {
    pub min: Duration,
    /// Azure has been seen to ask for 86,400 seconds because of one large request.
    pub max: Duration,
    /// For a throttled answer that names no time.
    pub default: Duration,
    /// For an endpoint that refuses the gateway's credential.
    pub auth: Duration,
    /// For a deployment that the endpoint says does not exist.
    pub absent: Duration,
}

impl Default for CoolDownParams {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(1),
            max: Duration::from_secs(60),
            default: Duration::from_secs(10),
            auth: Duration::from_secs(60),
            absent: Duration::from_secs(60),
        }
    }
}

/// Limits in time of one attempt (`connect`, `read`, `read_stream`) and of a whole request (`total`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// To the first byte of a unary answer, and between its bytes.
    pub read: Duration,
    /// The same for a streamed answer.
    pub read_stream: Duration,
    pub total: Duration,
}

impl Default for Timeouts {
    /// Reasoning models hold the first byte for minutes, and some answers take more than ten.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            read: Duration::from_secs(600),
            read_stream: Duration::from_secs(300),
            total: Duration::from_secs(1800),
        }
    }
}
