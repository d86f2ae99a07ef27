//! `tokenweir explain`: why a request for a model would go where it goes.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{
    ask::{Place, quoted, understood},
    print,
};
use crate::config::table::aligned;

#[derive(Debug, Args)]
pub struct Options {
    /// The model, or another name that clients use for it
    #[arg(long)]
    model: String,
    /// Only for a client: which models it may use, and what `auto` means to it
    #[arg(long)]
    client: Option<String>,
    /// Only endpoints that have this operation: chat_completions, embeddings, responses, …
    #[arg(long)]
    operation: Option<String>,
    /// Print everything that is known, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Deserialize)]
struct Explained {
    sentence: String,
    candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
struct Candidate {
    endpoint: String,
    region: Option<String>,
    deployment: Option<String>,
    priority: Option<u32>,
    weight: Option<u32>,
    share: f64,
    reason: String,
    detail: String,
}

const HEAD: [&str; 8] = [
    "PRIORITY",
    "ENDPOINT",
    "REGION",
    "DEPLOYMENT",
    "WEIGHT",
    "SHARE",
    "REASON",
    "DETAIL",
];

/// # Errors
/// No gateway is running, it cannot be reached, or it does not know what is asked about.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut path = format!("/explain?model={}", quoted(&options.model));
    for (name, value) in [
        ("client", &options.client),
        ("operation", &options.operation),
    ] {
        if let Some(value) = value {
            path += &format!("&{name}={}", quoted(value));
        }
    }
    let explained: Value = understood(&options.place.ask(Method::GET, &path, Vec::new())?)?;
    if options.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&explained)?));
        return Ok(ExitCode::SUCCESS);
    }
    let Explained {
        sentence,
        candidates,
    } = serde_json::from_value(explained)?;
    if !candidates.is_empty() {
        let rows = candidates.into_iter().map(row);
        let rows: Vec<_> = [HEAD.map(str::to_owned)].into_iter().chain(rows).collect();
        print(&aligned(&rows));
        print("\n");
    }
    print(&format!("{sentence}\n"));
    Ok(ExitCode::SUCCESS)
}

fn row(candidate: Candidate) -> [String; 8] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let number = |number: Option<u32>| or_dash(number.map(|number| number.to_string()));
    [
        number(candidate.priority),
        candidate.endpoint,
        or_dash(candidate.region),
        or_dash(candidate.deployment),
        number(candidate.weight),
        format!("{:.0}%", candidate.share * 100.0),
        candidate.reason,
        candidate.detail,
    ]
}
