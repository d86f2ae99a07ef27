//! `tokenweir status`: the state of every deployment of the running gateway, as a table.

use std::process::ExitCode;

use http::Method;
use serde::Deserialize;

use super::{
    EX_UNAVAILABLE,
    ask::{Answer, Socket, ask},
    complain, print,
};
use crate::config::table::aligned;

#[derive(Deserialize)]
struct Pool {
    model: String,
    deployments: Vec<Deployment>,
}

#[derive(Deserialize)]
struct Deployment {
    endpoint: String,
    region: Option<String>,
    deployment: String,
    priority: u32,
    weight: u32,
    state: String,
    reason: Option<String>,
    seconds_left: Option<f64>,
    in_flight: u32,
}

const HEAD: [&str; 9] = [
    "MODEL",
    "PRIORITY",
    "ENDPOINT",
    "REGION",
    "DEPLOYMENT",
    "WEIGHT",
    "IN FLIGHT",
    "STATE",
    "REASON",
];

/// # Errors
/// No gateway is running, or it cannot be reached.
pub fn run(options: &Socket) -> anyhow::Result<ExitCode> {
    let answer = ask::<Vec<Pool>>(&options.socket, Method::GET, "/status", Vec::new())?;
    Ok(match answer {
        Answer::Done(pools) => {
            let mut rows = vec![HEAD.map(str::to_owned)];
            for pool in &pools {
                rows.extend(
                    pool.deployments
                        .iter()
                        .map(|deployment| row(&pool.model, deployment)),
                );
            }
            print(&aligned(&rows));
            ExitCode::SUCCESS
        }
        Answer::Refused(reason) => {
            complain(&reason);
            ExitCode::from(EX_UNAVAILABLE)
        }
    })
}

fn row(model: &str, deployment: &Deployment) -> [String; 9] {
    let left = deployment
        .seconds_left
        .map(|seconds| format!("{seconds:.0} s left"));
    let reason: Vec<String> = deployment.reason.iter().cloned().chain(left).collect();
    [
        model.to_owned(),
        deployment.priority.to_string(),
        deployment.endpoint.clone(),
        deployment.region.clone().unwrap_or_else(|| "-".to_owned()),
        deployment.deployment.clone(),
        deployment.weight.to_string(),
        deployment.in_flight.to_string(),
        deployment.state.clone(),
        reason.join(", "),
    ]
}
