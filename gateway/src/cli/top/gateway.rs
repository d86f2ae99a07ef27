//! The running gateway as `top` asks it: over its admin socket, or over its admin listener.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use reqwest::Url;
use serde::Deserialize;

use super::keys::Order;
use crate::{
    auth::http as outside,
    cli::{ask, shown::Status},
    secret::Secret,
};

/// A gateway that has not answered after this long is lost.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, bytes: far above the state of thousands of deployments.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(super) enum Gateway {
    Socket(PathBuf),
    Listener { url: Url, token: Option<Secret> },
}

/// An order that was not carried out says why in one of these.
#[derive(Deserialize)]
struct Refusal {
    #[serde(alias = "error")]
    reason: String,
}

impl Gateway {
    /// # Errors
    /// It does not answer in time, or is another version.
    pub(super) async fn status(&self) -> anyhow::Result<Status> {
        let (status, answer) = self.ask(Method::GET, &["status"]).await?;
        if status != StatusCode::OK {
            bail!(refused(status, &answer));
        }
        serde_json::from_slice(&answer)
            .context("the gateway's answer is not understood: is it another version?")
    }

    /// # Errors
    /// It does not answer in time, or refuses.
    pub(super) async fn switch(&self, order: &Order) -> anyhow::Result<()> {
        let path = ["endpoints", &order.endpoint, order.to.verb()];
        let (status, answer) = self.ask(Method::POST, &path).await?;
        if !status.is_success() {
            bail!(refused(status, &answer));
        }
        Ok(())
    }

    async fn ask(&self, method: Method, path: &[&str]) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        match self {
            Self::Socket(socket) => {
                // Names with characters that a path does not have are quoted by it.
                let url = below(&Url::parse("http://tokenweir").expect("it is one"), path);
                let asked = ask::exchange(socket, method, url.path(), Vec::new());
                tokio::time::timeout(TIMEOUT, asked)
                    .await
                    .with_context(|| format!("nothing within {} s", TIMEOUT.as_secs()))?
            }
            Self::Listener { url, token } => {
                let client = outside::client_for(url.as_str());
                let mut request = client.request(method, below(url, path));
                if let Some(token) = token {
                    request = request.bearer_auth(token.expose());
                }
                let (status, _, answer) = outside::exchange(request, ANSWER_BYTES_MAX, TIMEOUT)
                    .await
                    .with_context(|| url.to_string())?;
                Ok((status, answer.into()))
            }
        }
    }
}

fn below(url: &Url, path: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

fn refused(status: StatusCode, answer: &[u8]) -> String {
    match serde_json::from_slice(answer) {
        Ok(Refusal { reason }) => reason,
        Err(_) if status == StatusCode::UNAUTHORIZED => {
            "the gateway wants its `admin.token`: give a file with it, `--token-file`".to_owned()
        }
        Err(_) => format!("the gateway answered {status}: is it another version?"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
        net::{TcpListener, UnixListener},
    };

    use super::*;
    use crate::cli::{shown::Switch, top::sample};

    /// Answers one request; its head.
    async fn answer(
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        status: &str,
        body: &str,
    ) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    }

    fn disable(endpoint: &str) -> Order {
        Order {
            endpoint: endpoint.to_owned(),
            to: Switch::Disabled,
        }
    }

    #[tokio::test]
    async fn the_socket_is_asked_for_the_state_and_told_to_switch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let gateway = Gateway::Socket(path);
        let next = async |status, body: &str| {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream, status, body).await
        };

        let text = sample::status(10.0).to_string();
        let (seen, asked) = tokio::join!(gateway.status(), next("200 OK", &text));
        assert_eq!(seen.unwrap().pools[0].model, "gpt-4o");
        assert!(asked.starts_with("GET /status HTTP/1.1\r\n"), "{asked}");

        let order = disable("aoi-1");
        let (done, asked) = tokio::join!(gateway.switch(&order), next("200 OK", "{}"));
        done.unwrap();
        assert!(
            asked.starts_with("POST /endpoints/aoi-1/disable HTTP/1.1\r\n"),
            "{asked}"
        );

        let order = disable("a/b");
        let refusal = r#"{"reason":"there is no endpoint a/b"}"#;
        let (done, asked) = tokio::join!(gateway.switch(&order), next("404 Not Found", refusal));
        assert_eq!(done.unwrap_err().to_string(), "there is no endpoint a/b");
        assert!(
            asked.starts_with("POST /endpoints/a%2Fb/disable "),
            "{asked}"
        );

        let (seen, _) = tokio::join!(gateway.status(), next("200 OK", "[]"));
        let error = format!("{:#}", seen.unwrap_err());
        assert!(error.contains("another version"), "{error}");
    }

    #[tokio::test]
    async fn a_listener_is_shown_the_token_below_the_path_of_its_url() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/tokenweir/", listener.local_addr().unwrap());
        let gateway = Gateway::Listener {
            url: Url::parse(&url).unwrap(),
            token: Some(Secret::new("open-sesame".to_owned())),
        };
        let next = async || {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream, "401 Unauthorized", "").await
        };
        let (seen, asked) = tokio::join!(gateway.status(), next());
        assert!(
            asked.starts_with("GET /tokenweir/status HTTP/1.1\r\n"),
            "{asked}"
        );
        assert!(
            asked.contains("authorization: Bearer open-sesame\r\n"),
            "{asked}"
        );
        let error = seen.unwrap_err().to_string();
        assert!(
            error.contains("--token-file") && !error.contains("sesame"),
            "{error}"
        );
    }
}
