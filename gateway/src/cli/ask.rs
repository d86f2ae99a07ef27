//! Speaks with a running gateway: over its admin socket, which takes every order, or over its admin listener, which
//! takes what can be asked from elsewhere. Knows nothing of what is asked.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use reqwest::Url;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use crate::{
    auth::{files, http as outside},
    config::load::SECRET_BYTES_MAX,
    secret::Secret,
};

/// A gateway that has not answered a question after this long is lost.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer of a listener, bytes: far above the state of thousands of deployments.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What stands for itself in a path and in a query (RFC 3986, unreserved).
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where the running gateway is told what only its socket takes.
#[derive(Debug, Args)]
pub struct Socket {
    /// The gateway's `admin.socket`
    #[arg(long, value_name = "PATH", default_value = "/run/tokenweir/admin.sock")]
    socket: PathBuf,
}

/// Where the running gateway is asked what its listener answers, too.
#[derive(Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    socket: Socket,

    /// The gateway's `admin.address`, where its socket is out of reach, as http://127.0.0.1:9090
    #[arg(long, value_name = "URL", value_parser = listener, conflicts_with = "socket")]
    url: Option<Url>,

    /// A file with the `admin.token`, without which a listener may not let anybody read or switch
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
}

/// A URL that paths can be appended to.
fn listener(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it must begin with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("everybody on this machine can read it: use --token-file".to_owned());
    }
    // As copied from where the console is shown.
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// What became of an order.
pub(super) enum Answer<T> {
    Done(T),
    /// It could not be carried out, and why.
    Refused(String),
}

#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

impl Socket {
    /// Gives an order and waits until it is carried out, as long as it takes.
    pub(super) fn order<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Answer<T>> {
        let (status, answer) = wait(exchange(&self.socket, Method::POST, path, body))?;
        if status == StatusCode::OK {
            return understood(&answer).map(Answer::Done);
        }
        let reason = refusal(status, &answer);
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            return Ok(Answer::Refused(reason));
        }
        bail!(reason)
    }
}

impl Place {
    /// # Errors
    /// The token cannot be read.
    pub(super) async fn gateway(&self) -> anyhow::Result<Gateway> {
        let Some(url) = &self.url else {
            return Ok(Gateway::Socket(self.socket.socket.clone()));
        };
        let token = match &self.token_file {
            None => None,
            Some(path) => {
                let bytes = files::read_limited(path, SECRET_BYTES_MAX)
                    .await
                    .with_context(|| format!("--token-file {}", path.display()))?;
                let text = String::from_utf8(bytes).context("--token-file holds no text")?;
                Some(Secret::new(text.trim_end_matches(['\n', '\r']).to_owned()))
            }
        };
        Ok(Gateway::Listener {
            url: url.clone(),
            token,
        })
    }

    /// One question, by a command that has no other.
    pub(super) fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        wait(async { self.gateway().await?.ask(method, path, body).await })
    }
}

pub(super) enum Gateway {
    Socket(PathBuf),
    Listener { url: Url, token: Option<Secret> },
}

impl Gateway {
    /// The body of an answer that is no refusal.
    ///
    /// # Errors
    /// It does not answer in time, or refuses.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Vec<u8>> {
        let (status, answer) = match self {
            Self::Socket(socket) => {
                let asked = exchange(socket, method, path, body);
                tokio::time::timeout(TIMEOUT, asked)
                    .await
                    .with_context(|| format!("nothing within {} s", TIMEOUT.as_secs()))??
            }
            Self::Listener { url, token } => {
                let url = url.as_str().trim_end_matches('/');
                let client = outside::client_for(url);
                let mut request = client.request(method, format!("{url}{path}")).body(body);
                if let Some(token) = token {
                    request = request.bearer_auth(token.expose());
                }
                let (status, _, answer) = outside::exchange(request, ANSWER_BYTES_MAX, TIMEOUT)
                    .await
                    .with_context(|| url.to_owned())?;
                (status, answer.into())
            }
        };
        match (status, self) {
            (StatusCode::OK, _) => Ok(answer),
            (StatusCode::UNAUTHORIZED, Self::Listener { token: None, .. }) => {
                bail!("the gateway wants its `admin.token`: give a file with it, `--token-file`")
            }
            (StatusCode::UNAUTHORIZED, Self::Listener { token: Some(_), .. }) => {
                bail!("what is in `--token-file` is not the gateway's `admin.token`")
            }
            (status, _) => bail!(refusal(status, &answer)),
        }
    }
}

/// A name as a part of a path or a query.
pub(super) fn quoted(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, QUOTED)
}

/// # Errors
/// The answer is none that this version gives.
pub(super) fn understood<T: DeserializeOwned>(answer: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(answer)
        .context("the gateway's answer is not understood: is it another version?")
}

/// Runs a command that asks.
pub(super) fn wait<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(command);
    // Whoever leaves does not wait for a name server that is being asked.
    runtime.shutdown_background();
    done
}

fn refusal(status: StatusCode, answer: &[u8]) -> String {
    match serde_json::from_slice(answer) {
        Ok(Refusal { reason }) => reason,
        Err(_) => format!("the gateway answered {status}: is it another version?"),
    }
}

/// One request and its answer, whatever its status.
async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "no gateway answers on {}: is it running, is this its `admin.socket`, and may this user open it?",
            socket.display()
        )
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "tokenweir")
        .header(header::CONNECTION, "close")
        .body(Full::new(bytes::Bytes::from(body)))?;
    let response = sender
        .send_request(request)
        .await
        .context("the gateway did not answer")?;
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    Ok((status, answer.into()))
}

#[cfg(test)]
mod tests;
