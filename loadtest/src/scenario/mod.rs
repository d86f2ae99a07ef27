//! One file a question. Each starts what it needs and returns a report. What is compared is measured in rounds that
//! alternate between the targets, so that whatever else the machine does meets them all alike. What is proved about
//! upkeep is counted over a mix of clients.

pub(crate) mod certificates;
pub(crate) mod crash;
pub(crate) mod failover;
pub(crate) mod hand_over;
mod mix;
pub(crate) mod observe;
pub(crate) mod overhead;
pub(crate) mod reload;
pub(crate) mod stop;
pub(crate) mod stream;

use crate::{
    fleet::{Gateway, GatewayOptions, MODEL, Simulator},
    load::{self, Plan},
    request::Target,
    sample::{Figures, Sample, Spread},
    stop::Stop,
};

/// Where a gateway is that was not started here.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Running {
    /// A running gateway, http://host:port, in place of one started here
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// What to compare it with, http://host:port: its own endpoint
    #[arg(long, value_name = "URL", requires = "gateway")]
    direct: Option<String>,
    /// Its process, to take processor time and memory from
    #[arg(long, value_name = "PID", requires = "gateway")]
    pid: Option<u32>,
    /// The model to ask it for
    #[arg(long, default_value = MODEL, requires = "gateway")]
    model: String,
    /// The client key to show it
    #[arg(long, default_value = "key-of-a-client", requires = "gateway")]
    key: String,
}

/// One column of alternating rounds: the simulator itself, or a gateway in front of it.
struct Contender {
    name: &'static str,
    target: Target,
    process: Option<u32>,
    rounds: Vec<Sample>,
}

/// The contenders and the processes they live in.
struct Field {
    contenders: Vec<Contender>,
    _gateways: Vec<Gateway>,
    _simulator: Option<Simulator>,
}

const DIRECT: &str = "simulator";
const GATEWAY: &str = "gateway";
const GATEWAY_LOGGING: &str = "gateway, access log";

impl Field {
    /// A simulator, a gateway, and one that writes its access log; or what runs already.
    fn start(
        running: &Running,
        behaviour: &[String],
        threads: usize,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let contender = |name, url: &str, process| {
            anyhow::Ok(Contender {
                name,
                target: Target::new(url, &running.model, &running.key)?,
                process,
                rounds: Vec::new(),
            })
        };
        if let Some(url) = &running.gateway {
            let direct = running
                .direct
                .iter()
                .map(|url| contender(DIRECT, url, None));
            let gateway = contender(GATEWAY, url, running.pid);
            return Ok(Self {
                contenders: direct.chain([gateway]).collect::<anyhow::Result<_>>()?,
                _gateways: Vec::new(),
                _simulator: None,
            });
        }
        let simulators = [Simulator::start("aoi-1", behaviour)?];
        let mut contenders = vec![contender(DIRECT, &simulators[0].url, None)?];
        let mut gateways = Vec::new();
        for (name, access_log) in [(GATEWAY, false), (GATEWAY_LOGGING, true)] {
            let options = GatewayOptions {
                threads,
                access_log,
                admin: false,
                config: String::new(),
            };
            let gateway = Gateway::start(&simulators, &options, stop)?;
            contenders.push(contender(name, &gateway.url, Some(gateway.process()))?);
            gateways.push(gateway);
        }
        let [simulator] = simulators;
        Ok(Self {
            contenders,
            _gateways: gateways,
            _simulator: Some(simulator),
        })
    }

    /// Runs the same plan against each contender in turn and appends what it measured. `request` writes the
    /// request for a target.
    fn round(
        &mut self,
        plan: &Plan<'_>,
        request: impl Fn(&Target) -> Vec<u8>,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        for contender in &mut self.contenders {
            let sample = load::run(
                &Plan {
                    authority: &contender.target.authority,
                    request: &request(&contender.target),
                    warm_up: &contender.target.short(),
                    process: contender.process,
                    ..*plan
                },
                stop,
            )?;
            contender.rounds.push(sample);
        }
        Ok(())
    }

    /// All rounds so far, taken out.
    fn take(&mut self) -> Vec<(&'static str, Vec<Sample>)> {
        let take = |contender: &mut Contender| {
            let rounds = std::mem::take(&mut contender.rounds);
            (contender.name, rounds)
        };
        self.contenders.iter_mut().map(take).collect()
    }
}

fn sum(rounds: &[Sample]) -> Sample {
    let mut total = Sample::default();
    rounds.iter().for_each(|round| total.append(round));
    total
}

fn figures(measured: &[(&'static str, Vec<Sample>)]) -> Vec<Figures> {
    measured
        .iter()
        .map(|(name, rounds)| sum(rounds).figures(name))
        .collect()
}

/// What each gateway adds to `figure` of the first contender, paired by round. Empty without anything to compare.
fn added(
    measured: &[(&'static str, Vec<Sample>)],
    figure: impl Fn(&Sample) -> f64,
) -> Vec<(&'static str, Spread)> {
    let Some(((DIRECT, direct), gateways)) = measured.split_first() else {
        return Vec::new();
    };
    gateways
        .iter()
        .filter_map(|(name, rounds)| {
            let pairs = rounds.iter().zip(direct);
            let differences = pairs.map(|(through, direct)| figure(through) - figure(direct));
            Some((*name, Spread::of(differences.collect())?))
        })
        .collect()
}
