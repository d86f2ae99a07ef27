//! `tokenweir status`: which models are served, the state of every deployment of the running gateway, what operators have
//! switched, and what could not be renewed. The picture is that of `top`, without rates.

use std::process::ExitCode;

use clap::Args;
use http::Method;

use super::{
    ask::{Place, understood, wait},
    print, print_styled,
    shown::{Endpoint, Identity, Status},
    top,
};
use crate::policy::reason::Switch;

/// Nobody can serve a model. What is 0 and what is another number scripts rely on.
const EX_UNSERVED: u8 = 1;

#[derive(Debug, Args)]
pub struct Options {
    /// Print what `/status` of the gateway says, as it is, for scripts
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// # Errors
/// No gateway is running, or it cannot be reached.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (page, identity) = wait(async {
        let gateway = options.place.gateway().await?;
        let page = async |path| gateway.ask(Method::GET, path, Vec::new()).await;
        let status = page("/status").await?;
        Ok(if options.json {
            (status, None)
        } else {
            (status, Some(page("/identity").await?))
        })
    })?;
    let status: Status = understood(&page)?;
    let is_served = status.unserved().is_empty();
    match identity {
        None => print(&format!("{}\n", String::from_utf8_lossy(&page))),
        Some(identity) => {
            let identity: Identity = understood(&identity)?;
            let notes = switched(&status) + &identity.troubles();
            print_styled(&top::still(status));
            print(&notes);
        }
    }
    Ok(if is_served {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EX_UNSERVED)
    })
}

/// One line for each endpoint that an operator has switched.
fn switched(status: &Status) -> String {
    let endpoints = status.endpoints.iter();
    let switched = endpoints.filter(|endpoint| endpoint.switch != Switch::Enabled);
    let line = |endpoint: &Endpoint| {
        let name = &endpoint.name;
        format!(
            "endpoint {name}: {} by operator, requests left: {}; `tokenweir endpoint enable {name}` ends that\n",
            endpoint.switch.as_str(),
            endpoint.in_flight
        )
    };
    switched.map(line).collect()
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
