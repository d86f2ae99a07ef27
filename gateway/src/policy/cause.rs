//! Why an attempt ended as it did: one word that the breaker, the retry decision, metrics, logs and error
//! bodies all use.

use serde::{Deserialize, Serialize};

/// The one cause of an attempt that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The client left before the answer was complete. Nobody is blamed.
    ClientGone,
    /// The provider refused what the client sent (4xx without a cause of its own).
    BadRequest,
    /// The provider's content filter refused the prompt: never sent anywhere else.
    ContentFilter,
    /// The provider refused the gateway's credential (401, 403).
    Auth,
    /// 429: a rate limit, or a provisioned deployment above its capacity.
    Throttled,
    /// The endpoint has no deployment of that name.
    Absent,
    /// 408 and 5xx.
    Server,
    /// No TCP connection.
    Connect,
    /// A TCP connection, but no TLS session.
    Tls,
    /// The endpoint's name has no address.
    Dns,
    /// No answer in time.
    Timeout,
    /// The connection broke off before the answer was complete, or before it began.
    Stall,
    /// The gateway itself could not do it.
    Gateway,
}

impl Cause {
    pub const ALL: [Self; 13] = [
        Self::ClientGone,
        Self::BadRequest,
        Self::ContentFilter,
        Self::Auth,
        Self::Throttled,
        Self::Absent,
        Self::Server,
        Self::Connect,
        Self::Tls,
        Self::Dns,
        Self::Timeout,
        Self::Stall,
        Self::Gateway,
    ];

    /// The causes after which another deployment may do better. All others are never retried.
    pub const RETRIABLE: [Self; 9] = [
        Self::Throttled,
        Self::Server,
        Self::Connect,
        Self::Tls,
        Self::Dns,
        Self::Timeout,
        Self::Stall,
        Self::Auth,
        Self::Absent,
    ];

    /// The word used in configuration, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::BadRequest => "bad_request",
            Self::ContentFilter => "content_filter",
            Self::Auth => "auth",
            Self::Throttled => "throttled",
            Self::Absent => "absent",
            Self::Server => "server",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Timeout => "timeout",
            Self::Stall => "stall",
            Self::Gateway => "gateway",
        }
    }
}
