//! `tokenweir top`: what the running gateway does, drawn anew every second, until a key or a signal ends it. Without a
//! terminal it is one picture in plain text. However it ends, the terminal is left as it was found.

mod keys;
mod live;
mod model;
mod printed;
#[cfg(test)]
mod sample;
mod view;

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use clap::Args;
use http::Method;

use self::model::History;
pub(super) use self::printed::still;
use super::{
    ask::{Gateway, Place, understood, wait},
    print,
    shown::Status,
};

/// From an answer to the next question.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    place: Place,

    /// Print one picture as plain text, after a second; that is also what happens without a terminal
    #[arg(long)]
    once: bool,
}

/// # Errors
/// The terminal cannot be used, or with `--once`: the gateway does not answer.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    wait(async {
        let gateway = options.place.gateway().await?;
        if options.once || !std::io::stdout().is_terminal() {
            print(&once(&gateway).await?);
        } else {
            live::watch(gateway).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn look(gateway: &Gateway) -> anyhow::Result<Status> {
    understood(&gateway.ask(Method::GET, "/status", Vec::new()).await?)
}

/// Two looks, so that there are rates.
async fn once(gateway: &Gateway) -> anyhow::Result<String> {
    let mut history = History::default();
    history.add(look(gateway).await?);
    tokio::time::sleep(PERIOD).await;
    history.add(look(gateway).await?);
    Ok(printed::plain(&history))
}
