//! `tokenweir endpoint disable|enable|drain NAME`: takes an endpoint of the running gateway out, and back in.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    EX_UNAVAILABLE,
    ask::{Answer, Socket, ask},
    complain, print,
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
    socket: Socket,
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
    let (verb, Endpoint { name, socket }) = match command {
        Command::Disable(endpoint) => ("disable", endpoint),
        Command::Drain(endpoint) => ("drain", endpoint),
        Command::Enable(endpoint) => ("enable", endpoint),
    };
    let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let path = format!("/endpoints/{encoded}/{verb}");
    Ok(
        match ask::<Turned>(&socket.socket, Method::POST, &path, Vec::new())? {
            Answer::Done(turned) => {
                let Turned {
                    before,
                    switch,
                    in_flight,
                } = turned;
                let (before, switch) = (before.as_str(), switch.as_str());
                print(&format!(
                    "{name}: {before} → {switch}, requests under way: {in_flight}\n"
                ));
                ExitCode::SUCCESS
            }
            Answer::Refused(reason) => {
                complain(&reason);
                ExitCode::from(EX_UNAVAILABLE)
            }
        },
    )
}
