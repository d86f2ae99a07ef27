//! The two HTTP clients for what the gateway asks on its own account: tokens and key sets. Requests of clients never
//! come through here. Every exchange has one limit of time and one of size, and redirects are not followed, because
//! what is asked carries secrets and what answers is configured.

use std::{error::Error, sync::OnceLock, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, redirect};

/// Of the time for an exchange, so that a name with several addresses gets to the second one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no answer. Displays as the end of a sentence that begins with who was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("did not answer within {} s", .0.as_secs_f32())]
    Slow(Duration),
    #[error("could not be reached: {0}")]
    Unreachable(String),
    #[error("broke off: {0}")]
    Broken(String),
    #[error("answered with more than {0} bytes")]
    TooLarge(usize),
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        // A URL would say again what the sentence began with.
        let error = error.without_url();
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        if error.is_connect() || error.is_builder() {
            Self::Unreachable(text)
        } else {
            Self::Broken(text)
        }
    }
}

/// For services on this machine or its link, all of them plain HTTP: never through a proxy.
pub fn direct() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| without_roots(builder().no_proxy()))
}

/// The client for a URL that the configuration lets through: plain HTTP is allowed to this machine only.
pub fn client_for(url: &str) -> &'static Client {
    if url.starts_with("http://") {
        direct()
    } else {
        outside()
    }
}

/// For everything else: through the proxies of the environment, trusting the system's certificates.
fn outside() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        builder().build().unwrap_or_else(|error| {
            let error = HttpError::from(error);
            tracing::error!(%error, "no HTTPS to the outside; install ca-certificates and restart");
            without_roots(builder())
        })
    })
}

fn builder() -> ClientBuilder {
    // Whoever comes second is told so, and it does not matter: pingora installs the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("tokenweir/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        // Minutes to hours pass between requests: a kept connection would be dead by then.
        .pool_max_idle_per_host(0)
}

fn without_roots(builder: ClientBuilder) -> Client {
    builder
        .tls_certs_only([])
        .build()
        .expect("nothing is read from the machine")
}

/// Asks for JSON.
///
/// # Errors
/// There is no whole answer within `timeout`, or it has more than `bytes_max`.
pub async fn get(
    client: &Client,
    url: &str,
    bytes_max: usize,
    timeout: Duration,
) -> Result<(StatusCode, HeaderMap, Bytes), HttpError> {
    let request = client.get(url).header(header::ACCEPT, "application/json");
    exchange(request, bytes_max, timeout).await
}

/// One request and its whole answer, whatever its status.
///
/// # Errors
/// There is no whole answer within `timeout`, or it has more than `bytes_max`.
pub async fn exchange(
    request: RequestBuilder,
    bytes_max: usize,
    timeout: Duration,
) -> Result<(StatusCode, HeaderMap, Bytes), HttpError> {
    let answer = async {
        let mut response = request.send().await?;
        let headers = std::mem::take(response.headers_mut());
        let status = response.status();
        Ok((status, headers, read_limited(response, bytes_max).await?))
    };
    tokio::time::timeout(timeout, answer)
        .await
        .unwrap_or(Err(HttpError::Slow(timeout)))
}

/// # Errors
/// The body broke off, or has more than `bytes_max`.
pub async fn read_limited(mut response: Response, bytes_max: usize) -> Result<Bytes, HttpError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Err(HttpError::TooLarge(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
