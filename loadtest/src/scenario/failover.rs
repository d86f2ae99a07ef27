//! Does throttling at one endpoint reach the client? One of two endpoints answers 429 to a share of its requests.

use std::time::Duration;

use serde_json::json;

use crate::{
    fleet::{Gateway, GatewayOptions, MODEL, Simulator, ask},
    load::{self, Pace, Plan},
    report::{Column, Report},
    request::Target,
    stop::Stop,
};

/// The shortest pause that endpoints may ask for here, so that there are many failovers to look at: with the
/// default of a second a throttled endpoint would hardly be asked.
const CONFIG: &str = "defaults: { cool_down: { min: 1ms } }\n";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Arrivals per second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=2000))]
    connections: u16,
    /// Share of the requests that the first endpoint answers with 429
    #[arg(long, default_value_t = 0.2)]
    probability: f64,
    /// What its 429s ask for
    #[arg(long, default_value_t = 20)]
    retry_after_ms: u64,
    /// Worker threads of the gateway; 0 = one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

pub(crate) fn run(options: &Options, stop: &Stop) -> anyhow::Result<Report> {
    let simulators = [
        Simulator::start("aoi-1", &[])?,
        Simulator::start("aoi-2", &[])?,
    ];
    let gateway_options = GatewayOptions {
        threads: options.threads,
        access_log: false,
        admin: false,
        config: CONFIG.to_owned(),
    };
    let gateway = Gateway::start(&simulators, &gateway_options, stop)?;
    let target = |url: &str| Target::new(url, MODEL, "key-of-a-client");
    let controls = [target(&simulators[0].url)?, target(&simulators[1].url)?];
    let fault = json!({
        "deployment": MODEL,
        "probability": options.probability,
        "action": { "status": {
            "status": 429,
            "headers": { "retry-after-ms": options.retry_after_ms.to_string() },
        } },
    });

    let gateway_target = target(&gateway.url)?;
    let span = Duration::from_secs(options.seconds);
    let plan = Plan {
        authority: &gateway_target.authority,
        request: &gateway_target.unary(),
        warm_up: &gateway_target.short(),
        connections: usize::from(options.connections),
        pace: Pace::PerSecond(options.rate),
        requests: u64::from(options.rate) * options.seconds,
        limit: span + span,
        process: Some(gateway.process()),
    };
    simulators[0].fail(&fault, stop)?;
    let sample = load::run(&plan, stop)?;

    let mut report = Report::new("failover");
    let (rate, seconds, share) = (options.rate, options.seconds, options.probability);
    report.table(
        &format!("open loop, {rate} requests/s for {seconds} s; aoi-1 answers 429 with probability {share}"),
        &COLUMNS,
        vec![sample.figures(super::GATEWAY)],
    );
    for (simulator, target) in simulators.iter().zip(&controls) {
        let stats = ask(target, &target.get("/_sim/stats"), stop)?;
        let counts = &stats["deployments"][MODEL];
        for status in ["200", "429"] {
            let answers = counts["statuses"][status].as_f64().unwrap_or(0.0);
            report.fact(
                &format!("{}: answers {status}, warm-up included", simulator.name),
                answers,
            );
        }
    }
    report.promise(
        "no error reached the client",
        sample.errors == 0 && sample.unsent == 0,
    );
    Ok(report)
}

const COLUMNS: [Column; 8] = [
    Column("requests", |f| Some(f.requests.to_string())),
    Column("requests/s", |f| {
        Some(format!("{:.0}", f.requests_per_second))
    }),
    Column("errors", |f| Some(f.errors.to_string())),
    Column("unsent", |f| Some(f.unsent.to_string())),
    Column("attempts/request", |f| {
        Some(format!("{:.4}", f.attempts_per_request))
    }),
    Column("p50 ms", |f| Some(format!("{:.2}", f.whole_ms.p50))),
    Column("p99 ms", |f| Some(format!("{:.2}", f.whole_ms.p99))),
    Column("CPU µs/request", |f| {
        f.cpu_us_per_request.map(|us| format!("{us:.1}"))
    }),
];
