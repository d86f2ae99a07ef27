//! `tokenweir status`: the state of every deployment of the running gateway as a table, and what could not be renewed.

use std::process::ExitCode;

use http::Method;
use serde::Deserialize;

use super::{
    EX_UNAVAILABLE,
    ask::{Answer, Socket, ask},
    complain, print,
};
use crate::{config::table::aligned, policy::reason::Switch};

#[derive(Deserialize)]
struct Status {
    pools: Vec<Pool>,
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    name: String,
    switch: Switch,
    in_flight: u32,
}

impl Status {
    /// One line for each endpoint that an operator has switched.
    fn switched(&self) -> String {
        let switched = self.endpoints.iter().filter_map(|endpoint| {
            let Endpoint {
                name,
                switch,
                in_flight,
            } = endpoint;
            let word = switch.as_str();
            (*switch != Switch::Enabled).then(|| {
                format!("endpoint {name}: {word} by operator, requests left: {in_flight}; `tokenweir endpoint enable {name}` ends that\n")
            })
        });
        switched.collect()
    }
}

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

/// What `/identity` says, as far as it is about trouble.
#[derive(Deserialize)]
struct Identity {
    tokens: Vec<Token>,
    key_sets: Vec<KeySet>,
    listeners: Vec<Listener>,
}

#[derive(Deserialize)]
struct Token {
    credential: String,
    expires_in_seconds: Option<f64>,
    error: Option<String>,
    next_try_in_seconds: f64,
}

#[derive(Deserialize)]
struct KeySet {
    keys: usize,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Listener {
    listen: String,
    problem: Option<String>,
}

impl Identity {
    /// One line for each thing that could not be renewed.
    fn troubles(&self) -> String {
        let tokens = self.tokens.iter().filter_map(|token| {
            let error = token.error.as_ref()?;
            let left = token.expires_in_seconds.map_or_else(
                || "no token".to_owned(),
                |left| format!("a token for {left:.0} s more, not renewed"),
            );
            Some(format!(
                "credential {}: {left}: {error}; next try in {:.0} s\n",
                token.credential, token.next_try_in_seconds
            ))
        });
        let key_sets = self.key_sets.iter().filter_map(|set| {
            let error = set.error.as_ref()?;
            Some(format!("jwt: {} keys, not renewed: {error}\n", set.keys))
        });
        let listeners = self.listeners.iter().filter_map(|listener| {
            let problem = listener.problem.as_ref()?;
            Some(format!("listen {}: {problem}\n", listener.listen))
        });
        tokens.chain(key_sets).chain(listeners).collect()
    }
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
    let answer = ask::<Status>(&options.socket, Method::GET, "/status", Vec::new())?;
    Ok(match answer {
        Answer::Done(status) => {
            let mut rows = vec![HEAD.map(str::to_owned)];
            for pool in &status.pools {
                rows.extend(
                    pool.deployments
                        .iter()
                        .map(|deployment| row(&pool.model, deployment)),
                );
            }
            print(&aligned(&rows));
            print(&status.switched());
            let path = "/identity";
            if let Answer::Done(identity) =
                ask::<Identity>(&options.socket, Method::GET, path, Vec::new())?
            {
                print(&identity.troubles());
            }
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
