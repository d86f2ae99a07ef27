//! `tokenweir demo`: the gateway at work, in one process with simulated Azure OpenAI resources. Tells a story in
//! three parts (all is well, one resource throttles, it recovers) and checks its promises while it does.

mod fleet;
mod story;
mod traffic;
mod view;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{EX_CONFIG, EX_UNAVAILABLE, complain, print, serve};

#[derive(Debug, Args)]
pub struct Options {
    /// Where the gateway listens on 127.0.0.1; 0 takes any free port
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// Tell the story once and exit, with an error if a promise broke
    #[arg(long)]
    once: bool,

    /// Play with the endpoints, models and policies of this configuration; each endpoint is simulated
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// # Errors
/// A port is taken.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let plan = match fleet::Plan::read(options.config.as_deref(), options.port) {
        Ok(plan) => plan,
        Err(report) => {
            complain(&report);
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    serve::runtime(0)?.block_on(async {
        let fleet = plan.start().await?;
        print(&view::introduction(&fleet));
        let promises = story::tell(&fleet).await;
        print(&view::verdict(&promises));
        let kept = promises.iter().all(|promise| promise.kept);
        if !options.once {
            print(&view::invitation(&fleet));
            tokio::select! {
                () = story::go_on(&fleet) => {}
                interrupted = tokio::signal::ctrl_c() => interrupted?,
            }
        }
        Ok(if kept {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(EX_UNAVAILABLE)
        })
    })
}
