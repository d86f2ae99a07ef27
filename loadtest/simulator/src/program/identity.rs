//! One identity simulator on one port.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use simulator::{Identity, IdentityClient, IdentityOptions};

use super::{TlsArguments, duration, until_told};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Port of 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[arg(long, default_value_t = IdentityOptions::default().tenant)]
    tenant: String,
    /// An application or managed identity, CLIENT-ID or CLIENT-ID=SECRET; repeatable. The first one is the
    /// machine's own. Its object id is its client id.
    #[arg(long = "client", value_name = "ID[=SECRET]")]
    clients: Vec<String>,
    /// How long tokens are good.
    #[arg(long, default_value = "3600s", value_parser = duration)]
    token_lifetime: Duration,
    /// The X-IDENTITY-HEADER of App Service.
    #[arg(long, value_name = "VALUE", default_value_t = IdentityOptions::default().app_service_header)]
    app_service_header: String,
    /// Where Azure Arc's key files are written; without it there is no agent.
    #[arg(long, value_name = "DIR")]
    arc_keys: Option<PathBuf>,
    /// An accepted federated token; repeatable. Without one, any is accepted.
    #[arg(long = "federated-token", value_name = "TOKEN")]
    federated_tokens: Vec<String>,
    /// Publish keys that readers must skip, too.
    #[arg(long)]
    odd_keys: bool,
    #[command(flatten)]
    tls: TlsArguments,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let options = options(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: IdentityOptions) -> anyhow::Result<()> {
    let port = options.port;
    let mut running = Identity::start(options)
        .await
        .with_context(|| format!("port {port} of 127.0.0.1 cannot be served"))?;
    until_told(&running.url()).await?;
    running.stop().await;
    Ok(())
}

fn options(arguments: Arguments) -> anyhow::Result<IdentityOptions> {
    let client = |(index, text): (usize, &String)| {
        let (id, secret) = match text.split_once('=') {
            Some((id, secret)) => (id, Some(secret.to_owned())),
            None => (text.as_str(), None),
        };
        IdentityClient {
            secret,
            system_assigned: index == 0,
            ..IdentityClient::new(id, id)
        }
    };
    let mut options = IdentityOptions {
        port: arguments.port,
        tenant: arguments.tenant,
        token_lifetime: arguments.token_lifetime,
        app_service_header: arguments.app_service_header,
        arc_key_directory: arguments.arc_keys,
        federated_tokens: arguments.federated_tokens,
        odd_keys: arguments.odd_keys,
        tls: arguments.tls.read()?,
        ..IdentityOptions::default()
    };
    if !arguments.clients.is_empty() {
        options.clients = arguments.clients.iter().enumerate().map(client).collect();
    }
    Ok(options)
}
