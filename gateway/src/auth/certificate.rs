//! Who a client is by its TLS handshake, for as long as that counts. Which client a name means is decided by whoever
//! knows the clients.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::config::compiled::CertificateName;

/// The certificate that the client of a connection has shown, if any. The handshake has verified it.
#[derive(Debug, Clone)]
pub struct PeerNames {
    pub names: Vec<CertificateName>,
    /// Seconds since 1970; `None` if it has shown none.
    pub not_after: Option<u64>,
    pub trust: Arc<Trust>,
}

impl PeerNames {
    /// Whether a handshake at this moment would still accept it: a connection can be open for long.
    #[must_use]
    pub fn is_good(&self, unix_now: Duration) -> bool {
        match self.not_after {
            Some(end) => unix_now.as_secs() <= end && !self.trust.is_over.load(Relaxed),
            None => !self.trust.is_required.load(Relaxed),
        }
    }
}

/// What became of a listener's authorities of clients since a connection was opened.
#[derive(Debug, Default)]
pub struct Trust {
    is_over: AtomicBool,
    is_required: AtomicBool,
}

impl Trust {
    /// The word of one of them does not count any more.
    pub fn end(&self) {
        self.is_over.store(true, Relaxed);
    }

    /// Whether everybody must show a certificate from now on.
    pub fn require(&self, is_required: bool) {
        self.is_required.store(is_required, Relaxed);
    }
}
