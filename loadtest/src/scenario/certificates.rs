//! Are certificates renewed without anybody noticing? The files are replaced over and over, every second time with a
//! SIGHUP, otherwise left to be found, while clients keep their connections or open one for each request.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::tls::TlsInfo;
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinHandle};

use super::mix::{prove, simulator};
use crate::{
    client::PAUSE,
    clock::{now, sleep},
    process::Signal,
    report::Report,
    request::Target,
    service::{Program, Service},
    stop::Stop,
    tally::{Fate, Tally, judge_whole},
};

const HOST: &str = "127.0.0.1";
/// Clients of each kind.
const KEEPING: usize = 6;
const FRESH: usize = 3;
const HTTP2: usize = 2;
const HTTP2_REQUESTS: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A signal means now.
const SIGNALLED_WITHIN: Duration = Duration::from_secs(2);
/// The gateway looks every 5 s, and once more where it meets a certificate whose key is not there yet.
const FOUND_WITHIN: Duration = Duration::from_secs(11);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Renewals, one after the other: one in two waits for the gateway to look
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    renewals: u32,
    #[command(flatten)]
    program: Program,
}

pub(crate) fn run(options: &Options, stop: &Stop) -> anyhow::Result<Report> {
    // A second scenario in this process would find it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let files = Files::new()?;
    let first = files.renew()?;
    let simulators = [simulator("aoi-1")?];
    let service = Service::start_with_tls(&options.program, &simulators, "", &files.yaml(), stop)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let start = now();
    let clients = Arc::new(Clients::new(&files, &service.front.http1, stop)?);
    let work = clients.work(&runtime, start)?;

    let (mut signalled, mut found, mut late) = (Vec::new(), Vec::new(), 0);
    for index in 0..options.renewals {
        let new = files.renew()?;
        let written = now();
        let (took, within) = if index % 2 == 0 {
            service.signal(Signal::HUP)?;
            (&mut signalled, SIGNALLED_WITHIN)
        } else {
            (&mut found, FOUND_WITHIN)
        };
        while runtime.block_on(clients.shown())? != new {
            if now() - written > within {
                late += 1;
                break;
            }
            if stop.is_set() {
                bail!("interrupted");
            }
            sleep(LOOK_EVERY);
        }
        took.push((now() - written).as_secs_f64() * 1e3);
    }

    let span = now() - start;
    clients.enough.set();
    let (mut tallies, mut replaced) = (Vec::new(), 0);
    for task in work {
        let (tally, last) = runtime.block_on(task)?;
        replaced += u32::from(last.is_some_and(|last| last != first));
        tallies.push(tally);
    }
    let mut report = Report::new("certificates");
    let (renewals, seconds) = (options.renewals, span.as_secs_f64());
    let title = format!("{renewals} renewed certificates in {seconds:.1} s");
    prove(&mut report, &title, tallies);
    report.promise("no kept connection was replaced", replaced == 0);
    report.spread("from SIGHUP to its effect, ms", signalled);
    report.spread("from new files alone to their effect, ms", found);
    report.promise("new handshakes saw each new certificate in time", late == 0);
    Ok(report)
}

/// An authority, and the files of a listener that it renews.
struct Files {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Files {
    fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self {
            authority: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
            folder: tempfile::tempdir()?,
        })
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("tls-key.pem")
    }

    /// Of a listener.
    fn yaml(&self) -> String {
        let (certificate, key) = (self.certificate(), self.key());
        let (certificate, key) = (certificate.display(), key.display());
        format!("certificates: [{{ certificate: \"{certificate}\", key: \"{key}\" }}]")
    }

    /// Replaces both, each as a whole, and returns the new certificate.
    fn renew(&self) -> anyhow::Result<Vec<u8>> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![HOST.to_owned()])?;
        let certificate = params.signed_by(&key, &self.authority)?;
        self.write(&self.certificate(), &certificate.pem())?;
        self.write(&self.key(), &key.serialize_pem())?;
        Ok(certificate.der().to_vec())
    }

    fn write(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        let new = self.folder.path().join("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, path)?)
    }
}

/// How a client treats its connection.
#[derive(Clone, Copy)]
enum Habit {
    /// One, for all requests.
    Keep,
    /// One for each request, which resumes a session if it may.
    Resume,
    /// One for each request, with a whole handshake.
    Begin,
}

/// What every client has in common.
struct Clients {
    authority: reqwest::Certificate,
    url: String,
    key: String,
    body: Bytes,
    enough: Stop,
    stop: Stop,
}

/// What a client counted, and the certificate that it saw last if it keeps its connection.
type Work = JoinHandle<(Tally, Option<Vec<u8>>)>;

impl Clients {
    fn new(files: &Files, target: &Target, stop: &Stop) -> anyhow::Result<Self> {
        let message = target.short_http2();
        let path = message.head.uri().path_and_query();
        let path = path.context("a request has a path")?;
        Ok(Self {
            authority: reqwest::Certificate::from_der(files.authority.der())?,
            url: format!("https://{}{path}", target.authority),
            key: target.key.clone(),
            body: message.body,
            enough: Stop::default(),
            stop: stop.clone(),
        })
    }

    fn client(&self, http2: bool, keep: bool) -> reqwest::Result<reqwest::Client> {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([self.authority.clone()])
            .tls_info(true)
            .pool_max_idle_per_host(if keep { usize::MAX } else { 0 })
            .retry(reqwest::retry::never());
        if http2 {
            builder.build()
        } else {
            builder.http1_only().build()
        }
    }

    /// Status of a whole answer, and the certificate of its connection.
    async fn ask(&self, client: &reqwest::Client) -> reqwest::Result<(u16, Vec<u8>)> {
        let request = client
            .post(&self.url)
            .header("api-key", &self.key)
            .header("content-type", "application/json");
        let answer = request.body(self.body.clone()).send().await?;
        let info = answer.extensions().get::<TlsInfo>();
        let certificate = info.and_then(TlsInfo::peer_certificate);
        let certificate = certificate.unwrap_or_default().to_vec();
        let status = answer.status().as_u16();
        answer.bytes().await?;
        Ok((status, certificate))
    }

    /// The certificate that a new client sees.
    async fn shown(&self) -> reqwest::Result<Vec<u8>> {
        Ok(self.ask(&self.client(false, false)?).await?.1)
    }

    fn work(self: &Arc<Self>, runtime: &Runtime, start: Instant) -> reqwest::Result<Vec<Work>> {
        let mut work = Vec::new();
        let mut begin = |kind, client: &reqwest::Client, habit, http2| {
            let (clients, tally) = (Arc::clone(self), Tally::new(kind, start));
            let client = client.clone();
            work.push(runtime.spawn(clients.go_on(client, habit, http2, tally)));
        };
        // Connected before the first renewal.
        let kept = |http2| {
            let client = self.client(http2, true)?;
            runtime.block_on(self.ask(&client)).map(|_| client)
        };
        for _ in 0..KEEPING {
            begin("kept alive", &kept(false)?, Habit::Keep, false);
        }
        for _ in 0..HTTP2 {
            let shared = kept(true)?;
            for _ in 0..HTTP2_REQUESTS {
                begin("HTTP/2", &shared, Habit::Keep, true);
            }
        }
        for _ in 0..FRESH {
            begin("resumed", &self.client(false, false)?, Habit::Resume, false);
            begin("fresh", &self.client(false, false)?, Habit::Begin, false);
            begin(
                "fresh HTTP/2",
                &self.client(true, false)?,
                Habit::Begin,
                true,
            );
        }
        Ok(work)
    }

    async fn go_on(
        self: Arc<Self>,
        mut client: reqwest::Client,
        habit: Habit,
        http2: bool,
        mut tally: Tally,
    ) -> (Tally, Option<Vec<u8>>) {
        let mut last = None;
        while !self.enough.is_set() && !self.stop.is_set() {
            let sent = now();
            match self.ask(&client).await {
                Ok((status, certificate)) => {
                    let why = format!("status {status}");
                    tally.count(judge_whole(status, None), sent, &why);
                    last = matches!(habit, Habit::Keep).then_some(certificate);
                }
                Err(error) => {
                    let fate = if error.is_connect() {
                        Fate::Refused
                    } else {
                        Fate::Lost
                    };
                    tally.count(fate, sent, &format!("{error:?}"));
                    tokio::time::sleep(PAUSE).await;
                }
            }
            if matches!(habit, Habit::Begin) {
                match self.client(http2, false) {
                    Ok(new) => client = new,
                    Err(error) => tally.count(Fate::Refused, sent, &error),
                }
            }
        }
        (tally, last)
    }
}
