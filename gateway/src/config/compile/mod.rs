//! From text to [`Compiled`]: pure, with every mistake reported at once. One file a family of keys; each
//! writes what it finds to the same [`Diagnostics`] and goes on with a stand-in, which never gets out, because
//! one error is enough to refuse the whole.

mod clients;
mod credentials;
mod endpoints;
mod jwt;
mod models;
mod policy;
mod price;
mod process;
mod secret;
mod tls;
mod tokens;
mod traces;
mod url;

pub use process::log_level_problems;
pub(super) use tokens::IMDS_PATH;
pub(super) use traces::TRACES_PATH;
pub use url::is_safe_url;

use super::{
    compiled::Compiled,
    diagnostics::{At, ConfigError, Diagnostics, Warning},
    document,
    raw::{self, Raw},
    secrets::SecretSource,
};
use crate::ids::NameError;

/// The name that stands for a default model in requests.
const AUTO: &str = "auto";

/// Compiles the text of a configuration file.
///
/// # Errors
/// Everything that is wrong, in the order of the file; a text that is not YAML gives one error. At most 100.
pub fn compile(
    text: &str,
    secrets: &dyn SecretSource,
) -> Result<(Compiled, Vec<Warning>), Vec<ConfigError>> {
    let mut diagnostics = Diagnostics::default();
    let document = document::read(text, &mut diagnostics).map_err(|error| vec![error])?;
    let raw = raw::read(document.value, &mut diagnostics);
    let compiled = sections(&raw, secrets, &mut diagnostics);
    let warnings = diagnostics.finish(&document.lines)?;
    Ok((compiled, warnings))
}

fn sections(raw: &Raw, secrets: &dyn SecretSource, diagnostics: &mut Diagnostics) -> Compiled {
    if raw.version.is_none() {
        diagnostics.missing(At::ROOT.key("version"), "missing, write `version: 1`");
    }
    let credentials = credentials::compile(raw, secrets, diagnostics);
    let endpoints = endpoints::compile(raw, &credentials, secrets, diagnostics);
    let names = models::Names::new(raw, diagnostics);
    let models = models::compile(raw, &endpoints, diagnostics);
    let access = clients::compile(raw, &names, diagnostics);
    let (listen, admin) = process::listeners(raw, secrets, diagnostics);
    Compiled {
        listen,
        admin,
        threads: process::threads(raw),
        limits: process::limits(raw, diagnostics),
        state_directory: process::state_directory(raw, secrets, diagnostics),
        drain_timeout: process::drain_timeout(raw),
        hand_over_timeout: process::hand_over_timeout(raw),
        log: process::log(raw, diagnostics),
        traces: traces::compile(raw, secrets, diagnostics),
        response_headers: raw.response_headers.unwrap_or(true),
        currency: price::currency(raw, diagnostics),
        endpoints,
        models,
        access,
    }
}

/// Parses a name, or says what is wrong with it and gives nothing.
fn name<T>(
    parse: fn(&str) -> Result<T, NameError>,
    text: &str,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    parse(text)
        .map_err(|error| diagnostics.error(at, error.to_string()))
        .ok()
}
