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
    auth::certificate::{self, PeerNames},
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
    acceptor: ArcSwap<Acceptor>,
    report: ArcSwap<Report>,
    /// The same through all changes, so that clients go on resuming their sessions.
    tickets: Arc<dyn ProducesTickets>,
    /// Held while files are read: never locked by a worker.
    source: Mutex<Source>,
}

/// What is in use came from here.
struct Source {
    files: ListenTls,
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
        let (acceptor, report, source) = read(files, &tickets)?;
        Ok(Self {
            acceptor: ArcSwap::from_pointee(acceptor),
            report: ArcSwap::from_pointee(report),
            tickets,
            source: Mutex::new(source),
        })
    }

    /// Uses what these files hold now, which may be others than before. Blocks: not for a worker.
    ///
    /// # Errors
    /// They cannot be used, for the operator. What was in use stays.
    pub fn apply(&self, files: &ListenTls) -> Result<(), String> {
        let mut source = self.source.lock();
        let result = self.replace(&mut source, files);
        if let Err(problem) = &result
            && source.files == *files
        {
            source.failed = true;
            self.report_problem(problem);
        }
        result
    }

    /// Uses what its files hold now, whether or not they seem to have changed. Blocks: not for a worker.
    ///
    /// # Errors
    /// As [`ListenerTls::apply`].
    pub fn renew(&self) -> Result<(), String> {
        let files = self.source.lock().files.clone();
        self.apply(&files)
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
        let files = source.files.clone();
        if let Err(problem) = self.replace(&mut source, &files) {
            let again = mem::replace(&mut source.failed, true);
            if again && self.report_problem(&problem) {
                tracing::error!(%problem, "changed certificate files are not used, those before stay");
            }
        }
    }

    fn replace(&self, source: &mut Source, files: &ListenTls) -> Result<(), String> {
        let (acceptor, report, read) = read(files, &self.tickets)?;
        self.acceptor.store(Arc::new(acceptor));
        let before = self.report.swap(Arc::new(report));
        *source = read;
        for new in &self.report.load().certificates {
            if !before.certificates.contains(new) {
                let file = new.file.display();
                tracing::info!(%file, not_after = new.not_after, "a new certificate is in use");
            }
        }
        Ok(())
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
        let handshake = handshake_with_callback(&acceptor, connection, &Introduction);
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

fn read(
    files: &ListenTls,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<(Acceptor, Report, Source), String> {
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
    let config = terms::server_config(certificates, clients, tickets)?;
    let report = Report {
        certificates: shown,
        problem: None,
    };
    let source = Source {
        files: files.clone(),
        stamps,
        failed: false,
    };
    Ok((
        Acceptor::from_server_config(Arc::new(config)),
        report,
        source,
    ))
}

fn in_pair(pair: &CertificateFiles, problem: &str) -> String {
    let (certificate, key) = (pair.certificate.display(), pair.key.display());
    format!("certificate {certificate} with key {key}: {problem}")
}

/// Remembers who the client is, for the requests on its connection.
struct Introduction;

#[async_trait]
impl TlsAccept for Introduction {
    async fn handshake_complete_callback(
        &self,
        tls: &TlsRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        // There is one only where clients are asked for it, and then it has been verified in this very handshake.
        let leaf = CertificateDer::from(tls.peer_certificate_der()?);
        Some(Arc::new(PeerNames(certificate::names(&leaf))))
    }
}

#[cfg(test)]
mod tests;
