//! What does it cost to see everything? The same small request through a gateway that says nothing, through one that is
//! watched in every way, and through one that exports spans as well.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::{Contender, Field, figures, overhead::COLUMNS};
use crate::{
    clock::sleep,
    connection::Connection,
    fleet::{Gateway, GatewayOptions, KEY, MODEL, Simulator},
    load::{Pace, Plan},
    report::Report,
    request::Target,
    sample::Sample,
    stop::Stop,
};

const ANSWER_TOKENS: &str = "8";
const QUIET: &str = "nothing is looked at";
const WATCHED: &str = "everything is looked at";
const TRACED: &str = "and one trace in ten";
/// Of the gateway that says nothing.
const SILENT: &str = "defaults: { usage: { ask: false } }\n";
const PRICED: &str =
    "models: { gpt-4o: { price: { prompt: 2.50, cached: 1.25, completion: 10 } } }\n";
/// Prometheus asks less often than the console is told.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Rounds over all gateways
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Connections of the generator
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=2000))]
    connections: u16,
}

pub(crate) fn run(options: &Options, stop: &Stop) -> anyhow::Result<Report> {
    let behaviour = ["--answer-tokens".to_owned(), ANSWER_TOKENS.to_owned()];
    let simulators = [Simulator::start("aoi-1", &behaviour)?];
    let traces = format!(
        "{PRICED}traces: {{ otlp: \"http://{}\", sample: 10% }}\n",
        collector()?
    );
    let mut contenders = Vec::new();
    let mut gateways = Vec::new();
    for (name, config, watched) in [
        (QUIET, SILENT, false),
        (WATCHED, PRICED, true),
        (TRACED, &traces, true),
    ] {
        let options = GatewayOptions {
            threads: 0,
            access_log: watched,
            admin: watched,
            config: config.to_owned(),
        };
        let gateway = Gateway::start(&simulators, &options, stop)?;
        contenders.push(Contender {
            name,
            target: Target::new(&gateway.url, MODEL, KEY)?,
            process: Some(gateway.process()),
            rounds: Vec::new(),
        });
        if let Some(admin) = &gateway.admin {
            watch(Target::new(admin, MODEL, "")?, stop);
        }
        gateways.push(gateway);
    }
    let [simulator] = simulators;
    let mut field = Field {
        contenders,
        _gateways: gateways,
        _simulator: Some(simulator),
    };
    let plan = Plan {
        authority: "",
        request: &[],
        warm_up: &[],
        connections: usize::from(options.connections),
        pace: Pace::FlatOut,
        requests: u64::MAX,
        limit: Duration::from_secs(options.seconds),
        process: None,
    };
    let mut report = Report::new("observe");
    for (what, request) in [
        ("whole answers", Target::unary as fn(&Target) -> Vec<u8>),
        ("streams", Target::streamed),
    ] {
        for _ in 0..options.rounds {
            field.round(&plan, request, stop)?;
        }
        let measured = field.take();
        let (rounds, seconds) = (options.rounds, options.seconds);
        let title = format!("{what}, closed loop, {rounds} rounds of {seconds} s");
        report.table(&title, &COLUMNS, figures(&measured));
        let Some(((_, quiet), others)) = measured.split_first() else {
            continue;
        };
        for (name, rounds) in others {
            let more = rounds
                .iter()
                .zip(quiet)
                .filter_map(|(round, quiet)| Some((cpu(round)? / cpu(quiet)? - 1.0) * 100.0));
            let line = format!("{what}: processor time per request where {name}, % more");
            report.spread(&line, more.collect());
        }
    }
    Ok(report)
}

fn cpu(round: &Sample) -> Option<f64> {
    round.figures("").cpu_us_per_request
}

/// Scrapes the metrics, and holds a console open, until the gateway ends.
fn watch(admin: Target, stop: &Stop) {
    let (scraped, watched) = (admin.clone(), stop.clone());
    thread::spawn(move || {
        let events = Connection::open(&admin.authority, &watched);
        events.and_then(|mut events| events.exchange(&admin.get("/events"), |_| {}))
    });
    let stop = stop.clone();
    thread::spawn(move || -> std::io::Result<()> {
        let mut metrics = Connection::open(&scraped.authority, &stop)?;
        loop {
            metrics.exchange(&scraped.get("/metrics"), |_| {})?;
            sleep(SCRAPE_EVERY);
        }
    });
}

/// Takes whatever is posted to it. Returns where it listens.
fn collector() -> std::io::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || take(connection));
        }
    });
    Ok(address)
}

fn take(mut connection: TcpStream) -> std::io::Result<()> {
    let mut received = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let read = connection.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        received.extend_from_slice(&piece[..read]);
        while let Some(length) =
            request_length(&received).filter(|&length| length <= received.len())
        {
            received.drain(..length);
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        }
    }
}

/// `None` while its head is not complete.
fn request_length(received: &[u8]) -> Option<usize> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(received).ok()? else {
        return None;
    };
    let length = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))?;
    let length: usize = std::str::from_utf8(length.value).ok()?.parse().ok()?;
    Some(head + length)
}
