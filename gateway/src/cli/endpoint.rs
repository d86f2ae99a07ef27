//! `tokenweir endpoint disable|enable|drain NAME`: takes an endpoint of the running gateway out, and back in.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;

use super::{
    ask::{Place, quoted, understood},
    print,
};
use crate::policy::reason::Switch;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send no request at all to an endpoint; those under way are finished
    Disable(Endpoint),
    /// Send no new requests to an endpoint, only what belongs to it already; those under way are finished
    Drain(Endpoint),
    /// Send requests to an endpoint again
    Enable(Endpoint),
}

#[derive(Debug, Args)]
pub struct Endpoint {
    /// Its name in the configuration
    name: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Deserialize)]
struct Turned {
    before: Switch,
    switch: Switch,
    in_flight: u32,
}

/// # Errors
/// No gateway is running, it cannot be reached, or it has no such endpoint.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let (to, Endpoint { name, place }) = match command {
        Command::Disable(endpoint) => (Switch::Disabled, endpoint),
        Command::Drain(endpoint) => (Switch::Drained, endpoint),
        Command::Enable(endpoint) => (Switch::Enabled, endpoint),
    };
    let Turned {
        before,
        switch,
        in_flight,
    } = understood(&place.ask(Method::POST, &path(name, to), Vec::new())?)?;
    let (before, switch) = (before.as_str(), switch.as_str());
    print(&format!(
        "{name}: {before} → {switch}, requests under way: {in_flight}\n"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Where an endpoint is switched.
pub(super) fn path(endpoint: &str, to: Switch) -> String {
    format!("/endpoints/{}/{}", quoted(endpoint), verb(to))
}

/// What asks for it.
pub(super) const fn verb(to: Switch) -> &'static str {
    match to {
        Switch::Enabled => "enable",
        Switch::Disabled => "disable",
        Switch::Drained => "drain",
    }
}
