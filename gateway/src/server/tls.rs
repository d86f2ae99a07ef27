//! TLS of a listener: handshakes with what its files hold now. The files are read again when they change and when
//! somebody asks; open connections keep what they began with. Files that cannot be used change nothing.

mod files;
mod terms;

use std::{any::Any, mem, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::{
    listeners::{TlsAccept, tls::Acceptor},
    protocols::{
        GetSocketDigest as _, Stream,
        l4::stream::Stream as Connection,
        tls::{TlsRef, server::handshake_with_callback},
    },
};
use rustls::{crypto::ring::Ticketer, pki_types::CertificateDer, server::ProducesTickets};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{files::Stamp, terms::Clients};
use crate::{
    auth::certificate::{PeerNames, Trust},
    config::{
        compiled::{CertificateFiles, CertificateName, ListenTls},
        material,
    },
};

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is in use, for whoever looks after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order of the configuration.
    pub certificates: Vec<Shown>,
    /// Why what the files hold now is not in use.
    pub problem: Option<String>,
}

/// A certificate that clients see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub file: Arc<Path>,
    pub names: Vec<CertificateName>,
    /// Seconds since 1970.
    pub not_after: u64,
    /// SHA-256 of the certificate, as browsers and openssl show it.
    pub fingerprint: [u8; 32],
}

pub struct ListenerTls {
    acceptor: ArcSwap<(Acceptor, Arc<Trust>)>,
    report: ArcSwap<Report>,
    /// The same through all changes, so that clients go on resuming their sessions.
    tickets: Arc<dyn ProducesTickets>,
    /// Held while files are read: never locked by a worker.
    source: Mutex<Source>,
}

/// Files that were read and are good.
pub struct Prepared {
    acceptor: (Acceptor, Arc<Trust>),
    report: Report,
    source: Source,
}

/// What is in use came from here.
struct Source {
    files: ListenTls,
    /// Of clients.
    authorities: Vec<CertificateDer<'static>>,
    trust: Arc<Trust>,
    stamps: Vec<Option<Stamp>>,
    /// The last try to read them again has failed.
    failed: bool,
}

impl ListenerTls {
    /// Reads the files. Blocks: not for a worker.
    ///
    /// # Errors
    /// They cannot be used, for the operator.
    pub fn load(files: &ListenTls) -> Result<Self, String> {
        let tickets = Ticketer::new().map_err(|error| error.to_string())?;
        let Prepared {
            acceptor,
            report,
            source,
        } = read(files, &tickets)?;
        Ok(Self {
            acceptor: ArcSwap::from_pointee(acceptor),
            report: ArcSwap::from_pointee(report),
            tickets,
            source: Mutex::new(source),
        })
    }

    /// Reads these files, which may be others than before, and changes nothing yet. Blocks: not for a worker.
    ///
    /// # Errors
    /// They cannot be used, for the operator.
    pub fn prepare(&self, files: &ListenTls) -> Result<Prepared, String> {
        let result = read(files, &self.tickets);
        if let Err(problem) = &result {
            let mut source = self.source.lock();
            if source.files == *files {
                source.failed = true;
                self.report_problem(problem);
            }
        }
        result
    }

    /// Uses what was read.
    pub fn apply(&self, prepared: Prepared) {
        self.replace(&mut self.source.lock(), prepared);
    }

    /// What is in use.
    #[must_use]
    pub fn report(&self) -> Arc<Report> {
        self.report.load_full()
    }

    /// Uses what its files hold now if they have changed. A problem is one when it is still there at the next look:
    /// a certificate and its key are not written at the same moment.
    fn look(&self) {
        let mut source = self.source.lock();
        if !source.failed && files::stamps(&source.files) == source.stamps {
            return;
        }
        match read(&source.files, &self.tickets) {
            Ok(prepared) => self.replace(&mut source, prepared),
            Err(problem) => {
                let again = mem::replace(&mut source.failed, true);
                if again && self.report_problem(&problem) {
                    tracing::error!(%problem, "changed certificate files are not used, those before stay");
                }
            }
        }
    }

    fn replace(&self, source: &mut Source, prepared: Prepared) {
        let Prepared {
            mut acceptor,
            report,
            source: mut read,
        } = prepared;
        let clients = read.files.clients.as_ref();
        source.trust.require(clients.is_some_and(|it| it.required));
        let is_in = |old| read.authorities.contains(old);
        if source.authorities.iter().all(is_in) {
            // One for all who came in by them, so that it ends for all.
            acceptor.1.clone_from(&source.trust);
            read.trust.clone_from(&source.trust);
        } else {
            // Whoever came in by the old ones must show itself again.
            source.trust.end();
        }
        self.acceptor.store(Arc::new(acceptor));
        let before = self.report.swap(Arc::new(report));
        *source = read;
        for new in &self.report.load().certificates {
            if !before.certificates.contains(new) {
                let file = new.file.display();
                tracing::info!(%file, not_after = new.not_after, "a new certificate is in use");
            }
        }
    }

    /// Whether it is another one than before.
    fn report_problem(&self, problem: &str) -> bool {
        let report = self.report.load();
        let is_new = report.problem.as_deref() != Some(problem);
        if is_new {
            self.report.store(Arc::new(Report {
                certificates: report.certificates.clone(),
                problem: Some(problem.to_owned()),
            }));
        }
        is_new
    }

    /// `None` if the handshake has failed, took too long, or had not ended when idle connections are dismissed.
    pub(super) async fn handshake(
        &self,
        connection: Connection,
        limit: Duration,
        dismiss: &CancellationToken,
    ) -> Option<Stream> {
        let digest = connection.get_socket_digest();
        let acceptor = self.acceptor.load_full();
        let (acceptor, trust) = &*acceptor;
        let introduction = Introduction(trust.clone());
        let handshake = handshake_with_callback(acceptor, connection, &introduction);
        let failure = tokio::select! {
            biased;
            ended = timeout(limit, handshake) => match ended {
                Ok(Ok(stream)) => return Some(Box::new(stream)),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it took more than {limit:?}"),
            },
            () = dismiss.cancelled() => "it had not ended when the process was stopped".to_owned(),
        };
        let peer = digest.as_ref().and_then(|digest| digest.peer_addr());
        tracing::debug!(peer = ?peer, %failure, "a TLS handshake has failed");
        None
    }
}

/// Looks after the files of the listeners until it is told to stop.
pub(super) async fn watch(listeners: Vec<Arc<ListenerTls>>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|&stop| stop) => return,
            () = sleep(LOOK_EVERY) => {}
        }
        let listeners = listeners.clone();
        // Its panic has been written where panics are; the next look may be luckier.
        let _ = spawn_blocking(move || listeners.iter().for_each(|one| one.look())).await;
    }
}

fn read(files: &ListenTls, tickets: &Arc<dyn ProducesTickets>) -> Result<Prepared, String> {
    // First: what changes while it is read is seen at the next look.
    let stamps = files::stamps(files);
    let mut certificates = Vec::new();
    let mut shown = Vec::new();
    for pair in &files.certificates {
        let (chain, key) = (files::read(&pair.certificate)?, files::read(&pair.key)?);
        let certified = material::server_certificate(chain.expose(), key.expose())
            .map_err(|problem| in_pair(pair, &problem))?;
        let leaf = certified
            .end_entity_cert()
            .map_err(|error| in_pair(pair, &error.to_string()))?;
        shown.push(Shown {
            file: pair.certificate.clone(),
            names: material::certificate_names(leaf),
            not_after: material::not_after(leaf).unwrap_or_default(),
            fingerprint: Sha256::digest(leaf).into(),
        });
        certificates.push(certified);
    }
    let clients = match &files.clients {
        None => None,
        Some(clients) => Some(Clients {
            authorities: material::certificates(files::read(&clients.ca)?.expose())
                .map_err(|problem| format!("{}: {problem}", clients.ca.display()))?,
            required: clients.required,
        }),
    };
    let authorities = clients
        .as_ref()
        .map_or_else(Vec::new, |clients| clients.authorities.clone());
    let trust = Arc::<Trust>::default();
    let config = terms::server_config(certificates, clients, tickets)?;
    let report = Report {
        certificates: shown,
        problem: None,
    };
    let source = Source {
        files: files.clone(),
        authorities,
        trust: trust.clone(),
        stamps,
        failed: false,
    };
    Ok(Prepared {
        acceptor: (Acceptor::from_server_config(Arc::new(config)), trust),
        report,
        source,
    })
}

fn in_pair(pair: &CertificateFiles, problem: &str) -> String {
    let (certificate, key) = (pair.certificate.display(), pair.key.display());
    format!("certificate {certificate} with key {key}: {problem}")
}

/// Remembers who the client is, for the requests on its connection.
struct Introduction(Arc<Trust>);

#[async_trait]
impl TlsAccept for Introduction {
    async fn handshake_complete_callback(
        &self,
        tls: &TlsRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        // There is one only where clients are asked for it, and then it has been verified in this very handshake.
        let leaf = tls.peer_certificate_der().map(CertificateDer::from);
        let names = leaf.as_ref().map(|leaf| material::certificate_names(leaf));
        Some(Arc::new(PeerNames {
            names: names.unwrap_or_default(),
            not_after: leaf.map(|leaf| material::not_after(&leaf).unwrap_or_default()),
            trust: self.0.clone(),
        }))
    }
}

#[cfg(test)]
mod tests;
