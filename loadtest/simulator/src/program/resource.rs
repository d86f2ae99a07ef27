//! One resource on one port.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use simulator::{Behaviour, Deployment, Kind, Limits, Resource, Simulator};

use super::{TlsArguments, duration, read, until_told};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Port of 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[arg(long, default_value = "simulator")]
    name: String,
    #[arg(long, default_value = "Sweden Central")]
    region: String,
    /// A deployment, NAME or NAME=MODEL; repeatable.
    #[arg(long = "deployment", value_name = "NAME[=MODEL]")]
    deployments: Vec<String>,
    /// An accepted key; repeatable. Without keys and tokens every caller is accepted.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// An accepted bearer token; repeatable.
    #[arg(long = "bearer-token", value_name = "TOKEN")]
    bearer_tokens: Vec<String>,
    /// Audience of accepted tokens, as `simulator identity` issues them.
    #[arg(long, value_name = "URI")]
    token_audience: Option<String>,
    /// Serve /v1/… as a plain OpenAI-compatible server.
    #[arg(long)]
    openai: bool,
    /// Requests per minute of each deployment.
    #[arg(long)]
    rpm: Option<u64>,
    /// Tokens per minute of each deployment.
    #[arg(long)]
    tpm: Option<u64>,
    /// Provisioned throughput: --tpm is what the units carry.
    #[arg(long)]
    ptu: bool,
    /// Time to the first byte, such as 50ms or 1s.
    #[arg(long, default_value = "0ms", value_parser = duration)]
    ttft: Duration,
    /// Pace of a stream; 0 means no delay.
    #[arg(long, default_value_t = 0)]
    tokens_per_second: u32,
    #[arg(long, default_value_t = 16)]
    answer_tokens: u64,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// A resource as JSON, in place of the options about it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArguments,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let threads = arguments.threads;
    let resource = resource(arguments)?;
    let mut runtime = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime
        .worker_threads(threads.max(1))
        .enable_all()
        .build()?;
    runtime.block_on(serve(resource))
}

async fn serve(resource: Resource) -> anyhow::Result<()> {
    let port = resource.port;
    let mut running = Simulator::start(resource)
        .await
        .with_context(|| format!("port {port} of 127.0.0.1 cannot be served"))?;
    until_told(&running.url()).await?;
    running.stop().await;
    Ok(())
}

fn resource(arguments: Arguments) -> anyhow::Result<Resource> {
    if let Some(path) = arguments.config {
        return serde_json::from_str(&read(&path)?)
            .with_context(|| format!("{}: not a resource", path.display()));
    }
    if arguments.deployments.is_empty() {
        bail!("no --deployment: name at least one");
    }
    let behaviour = Behaviour {
        ttft_ms: arguments.ttft.as_millis().try_into()?,
        tokens_per_second: arguments.tokens_per_second,
        answer_tokens: arguments.answer_tokens,
        ..Behaviour::default()
    };
    let limits = Limits {
        rpm: arguments.rpm,
        tpm: arguments.tpm,
        ptu: arguments.ptu,
        ..Limits::default()
    };
    let deployment = |text: &String| {
        let (name, model) = text.split_once('=').unwrap_or((text, text));
        Deployment::new(name, model)
            .behaviour(behaviour.clone())
            .limits(limits.clone())
    };
    Ok(Resource {
        name: arguments.name,
        region: arguments.region,
        kind: if arguments.openai {
            Kind::Openai
        } else {
            Kind::Azure
        },
        port: arguments.port,
        deployments: arguments.deployments.iter().map(deployment).collect(),
        api_keys: arguments.keys,
        bearer_tokens: arguments.bearer_tokens,
        token_audience: arguments.token_audience,
        tls: arguments.tls.read()?,
        ..Resource::default()
    })
}
