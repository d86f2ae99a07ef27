//! Speaks with a running gateway over its admin socket.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::net::UnixStream;

/// What the gateway answered.
pub(super) enum Answer<T> {
    Done(T),
    /// It could not do it, and why.
    Refused(String),
}

#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

/// Where the running gateway is asked.
#[derive(Debug, Args)]
pub struct Socket {
    /// The gateway's `admin.socket`
    #[arg(long, value_name = "PATH", default_value = "/run/tokenweir/admin.sock")]
    pub(super) socket: PathBuf,
}

/// Sends one request and waits for its answer, as long as it takes.
pub(super) fn ask<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<Answer<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (status, answer) = runtime.block_on(exchange(socket, method, path, body))?;
    if status == StatusCode::OK {
        let done = serde_json::from_slice(&answer)
            .context("the gateway's answer is not understood: is it another version?")?;
        return Ok(Answer::Done(done));
    }
    match serde_json::from_slice(&answer) {
        Ok(Refusal { reason }) if status == StatusCode::UNPROCESSABLE_ENTITY => {
            Ok(Answer::Refused(reason))
        }
        Ok(Refusal { reason }) => bail!(reason),
        Err(_) => bail!("the gateway answered {status}: is it another version?"),
    }
}

/// One request and its answer, whatever its status.
pub(super) async fn exchange(
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
