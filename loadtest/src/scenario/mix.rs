//! What the scenarios of upkeep share: clients of every kind that are at work while the gateway is worked on, or that
//! rest meanwhile. What they count is decided in `tally`.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Instant,
};

use anyhow::bail;
use tokio::{runtime::Runtime, task};

use crate::{
    client::{Client, Request},
    clock::now,
    connection::PATIENCE,
    fleet::Simulator,
    http2::{Link, Message},
    report::Report,
    service::{Front, Service},
    stop::Stop,
    tally::{Fate, Tally, by_kind},
};

/// HTTP/1.1, one connection each, one request after the other.
const KEEPING: usize = 8;
/// HTTP/1.1, a connection for each request.
const FRESH: usize = 4;
/// HTTP/1.1, one stream after the other.
const STREAMING: usize = 6;
/// HTTP/2, with so many requests and streams at a time.
const HTTP2: usize = 4;
const HTTP2_REQUESTS: usize = 3;
const HTTP2_STREAMS: usize = 1;

/// Each request is at an endpoint for a moment, so that there is always something under way.
const TTFT: &str = "5ms";
const TOKENS_PER_SECOND: u64 = 10;
/// More than any request asks for: its `max_tokens` decides.
const ANSWER_TOKENS: &str = "100000";

/// An endpoint with the pace that the clients' streams are made for.
pub(super) fn simulator(name: &str) -> anyhow::Result<Simulator> {
    let pace = TOKENS_PER_SECOND.to_string();
    let behaviour = [
        "--ttft",
        TTFT,
        "--tokens-per-second",
        &pace,
        "--answer-tokens",
        ANSWER_TOKENS,
    ];
    Simulator::start(name, &behaviour.map(str::to_owned))
}

/// The first token comes at once.
fn tokens(seconds: u64) -> u64 {
    seconds * TOKENS_PER_SECOND + 1
}

/// Where the clients of a scenario come from.
pub(super) struct Clients {
    front: Front,
    /// Of the HTTP/2 clients; it also keeps those connections alive that rest.
    runtime: Runtime,
    stop: Stop,
    start: Instant,
}

/// Clients at work until they are told that it is enough.
pub(super) struct Mix<'a> {
    runtime: &'a Runtime,
    enough: Stop,
    threads: Vec<thread::JoinHandle<Tally>>,
    tasks: Vec<task::JoinHandle<Tally>>,
}

/// Streams that have all begun.
pub(super) struct Streams<'a> {
    runtime: &'a Runtime,
    threads: Vec<thread::JoinHandle<(Tally, Instant)>>,
    tasks: Vec<task::JoinHandle<(Tally, Instant)>>,
}

/// Connections that were used once and rest.
pub(super) struct Idle<'a> {
    runtime: &'a Runtime,
    clients: Vec<Client>,
    links: Vec<Link>,
    request: Request,
    message: Message,
    tally: Tally,
}

impl Clients {
    pub(super) fn new(service: &Service, stop: &Stop) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            front: service.front.clone(),
            runtime,
            stop: stop.clone(),
            start: now(),
        })
    }

    fn whole(&self) -> Request {
        Request {
            bytes: self.front.http1.short(),
            streamed: false,
        }
    }

    fn streamed(&self, seconds: u64) -> Request {
        Request {
            bytes: self.front.http1.stream_of(tokens(seconds)),
            streamed: true,
        }
    }

    fn client(&self) -> Client {
        Client::new(&self.front.http1.authority, &self.stop)
    }

    fn link(&self) -> Link {
        Link::new(&self.front.http2.authority)
    }

    pub(super) fn mix(&self) -> Mix<'_> {
        let mut mix = Mix {
            runtime: &self.runtime,
            enough: Stop::default(),
            threads: Vec::new(),
            tasks: Vec::new(),
        };
        for _ in 0..KEEPING {
            mix.http1(self, "kept alive", self.whole(), true);
        }
        for _ in 0..FRESH {
            mix.http1(self, "fresh", self.whole(), false);
        }
        for _ in 0..STREAMING {
            mix.http1(self, "streams", self.streamed(1), true);
        }
        for _ in 0..HTTP2 {
            let link = Arc::new(self.link());
            for _ in 0..HTTP2_REQUESTS {
                mix.http2(self, "HTTP/2", &link, self.front.http2.short_http2());
            }
            for _ in 0..HTTP2_STREAMS {
                let message = self.front.http2.stream_of_http2(tokens(1));
                mix.http2(self, "HTTP/2 streams", &link, message);
            }
        }
        mix
    }

    /// So many over HTTP/1.1, each on a connection of its own, and over HTTP/2, all on one.
    ///
    /// # Errors
    /// Not all of them begin.
    pub(super) fn streams(
        &self,
        http1: usize,
        http2: usize,
        seconds: u64,
    ) -> anyhow::Result<Streams<'_>> {
        // Nothing is sent: it is closed when each stream has begun, or ended, and let go of it.
        let (begun, all_begun) = channel::<()>();
        let mut streams = Streams {
            runtime: &self.runtime,
            threads: Vec::new(),
            tasks: Vec::new(),
        };
        let tally = Tally::new("long streams", self.start);
        for _ in 0..http1 {
            let (mut client, request) = (self.client(), self.streamed(seconds));
            let (mut tally, mut begun) = (tally.clone(), Some(begun.clone()));
            streams.threads.push(thread::spawn(move || {
                client.ask(&request, &mut tally, || drop(begun.take()));
                (tally, now())
            }));
        }
        let link = Arc::new(self.link());
        for _ in 0..http2 {
            let message = self.front.http2.stream_of_http2(tokens(seconds));
            let (link, mut tally) = (Arc::clone(&link), tally.clone());
            let mut begun = Some(begun.clone());
            streams.tasks.push(self.runtime.spawn(async move {
                let first = || drop(begun.take());
                link.ask(&message, &mut tally, first).await;
                (tally, now())
            }));
        }
        drop(begun);
        match all_begun.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Disconnected) => Ok(streams),
            Ok(()) | Err(RecvTimeoutError::Timeout) => bail!("not every stream begins"),
        }
    }

    /// Uses so many connections of each protocol once.
    pub(super) fn idle(&self, http1: usize, http2: usize) -> Idle<'_> {
        let mut idle = Idle {
            runtime: &self.runtime,
            clients: (0..http1).map(|_| self.client()).collect(),
            links: (0..http2).map(|_| self.link()).collect(),
            request: self.whole(),
            message: self.front.http2.short_http2(),
            tally: Tally::new("idle", self.start),
        };
        idle.ask();
        idle
    }
}

impl Mix<'_> {
    fn http1(&mut self, clients: &Clients, kind: &'static str, request: Request, keep: bool) {
        let (mut client, mut tally) = (clients.client(), Tally::new(kind, clients.start));
        let (enough, stop) = (self.enough.clone(), clients.stop.clone());
        self.threads.push(thread::spawn(move || {
            while !enough.is_set() && !stop.is_set() {
                client.ask(&request, &mut tally, || {});
                if !keep {
                    client.close();
                }
            }
            tally
        }));
    }

    fn http2(&mut self, clients: &Clients, kind: &'static str, link: &Arc<Link>, message: Message) {
        let (link, mut tally) = (Arc::clone(link), Tally::new(kind, clients.start));
        let (enough, stop) = (self.enough.clone(), clients.stop.clone());
        self.tasks.push(clients.runtime.spawn(async move {
            while !enough.is_set() && !stop.is_set() {
                link.ask(&message, &mut tally, || {}).await;
            }
            tally
        }));
    }

    /// Lets each client end its request.
    pub(super) fn end(mut self) -> anyhow::Result<Vec<Tally>> {
        self.enough.set();
        let mut tallies = Vec::new();
        for thread in self.threads.drain(..) {
            tallies.push(thread.join().expect("a client does not panic"));
        }
        for task in self.tasks.drain(..) {
            tallies.push(self.runtime.block_on(task)?);
        }
        Ok(tallies)
    }
}

impl Drop for Mix<'_> {
    fn drop(&mut self) {
        self.enough.set();
    }
}

impl Streams<'_> {
    /// Waits for their end; when the last one ended.
    pub(super) fn end(self) -> anyhow::Result<(Tally, Instant)> {
        let mut ends = Vec::new();
        for thread in self.threads {
            ends.push(thread.join().expect("a client does not panic"));
        }
        for task in self.tasks {
            ends.push(self.runtime.block_on(task)?);
        }
        let sum = ends.into_iter().reduce(|(mut tally, end), (more, other)| {
            tally.add(&more);
            (tally, end.max(other))
        });
        sum.ok_or_else(|| anyhow::anyhow!("there were no streams"))
    }
}

impl Idle<'_> {
    /// Uses each once more.
    pub(super) fn again(mut self) -> Tally {
        self.ask();
        self.tally
    }

    fn ask(&mut self) {
        for client in &mut self.clients {
            client.ask(&self.request, &mut self.tally, || {});
        }
        for link in &self.links {
            let asked = link.ask(&self.message, &mut self.tally, || {});
            self.runtime.block_on(asked);
        }
    }
}

/// The table, and what it has to prove.
pub(super) fn prove(report: &mut Report, title: &str, tallies: impl IntoIterator<Item = Tally>) {
    let tallies = by_kind(tallies);
    report.tallies(title, &tallies);
    let served = tallies.iter().all(|tally| tally.of(Fate::Ok) > 0);
    report.promise("every kind of client was served", served);
    report.promise(
        "no client saw it: nothing lost, raced, refused or cut",
        tallies.iter().all(Tally::is_clean),
    );
}
