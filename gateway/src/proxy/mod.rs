//! DATA PLANE, the only folder that knows `pingora_proxy`. This file is the table of contents of a request's
//! way: each hook calls one function of the file named after its concern. Decisions are made in `policy`, on
//! values; here they are carried out.

mod access;
mod admit;
mod answer;
mod attempt;
mod body;
mod context;
mod count;
mod decision;
mod failure;
mod finish;
mod framing;
mod held;
mod identify;
mod respond;
mod rewrite;
mod trace;
mod watch;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    Error, Result, apps::HttpServerOptions, modules::http::HttpModules, protocols::Digest,
    server::configuration::ServerConf, upstreams::peer::HttpPeer,
};
use pingora_proxy::{FailToProxy, HttpProxy, ProxyHttp, Session};

use self::context::RequestContext;
pub use self::{body::BufferPool, context::Requests};
use crate::{clock, log::Log, metrics::Metrics, snapshot::Snapshot};

/// The gateway as pingora runs it.
#[derive(Clone)]
pub struct Gateway {
    snapshot: Arc<ArcSwap<Snapshot>>,
    metrics: Metrics,
    /// Memory for request bodies, shared by all requests.
    buffers: BufferPool,
    requests: Requests,
    log: Log,
}

impl Gateway {
    #[must_use]
    pub fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        metrics: Metrics,
        requests: Requests,
        log: Log,
    ) -> Self {
        let buffers = BufferPool::new(metrics.buffered_bytes().clone());
        Self {
            snapshot,
            metrics,
            buffers,
            requests,
            log,
        }
    }
}

/// What pingora runs on each connection.
pub type App = HttpProxy<Gateway>;

/// `h2c`: it also speaks HTTP/2 without TLS.
#[must_use]
pub fn app(conf: &Arc<ServerConf>, gateway: Gateway, h2c: bool) -> App {
    let idle = gateway.snapshot.load().config.limits.keep_alive;
    let mut app = HttpProxy::new(gateway, conf.clone());
    app.handle_init_modules();
    let mut options = HttpServerOptions::default();
    options.h2c = h2c;
    options.h2_idle_timeout = Some(idle);
    app.server_options = Some(options);
    app
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::new(&self.requests, clock::now(), self.snapshot.load_full())
    }

    /// No modules: pingora's default one compresses answers, which nobody asks for here.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        trace::take_up(session, ctx);
        framing::prepare(session, ctx, self.requests.is_stopping());
        Ok(())
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<bool> {
        admit::admit(self, session, ctx).await
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<Box<HttpPeer>> {
        attempt::peer(self, ctx)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        attempt::connected(ctx, reused);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut pingora::http::RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        rewrite::request(session, request, ctx)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        body::inject(self, session, body, end_of_stream, ctx)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut pingora::http::ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        answer::head(self, session, response, ctx)
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        answer::body(self, session, body, end_of_stream, ctx).map(|()| None)
    }

    /// An HTTP/2 answer may end with trailers; its body then has no end that the filter above would see.
    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        _trailers: &mut http::HeaderMap,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        held::trailers(self, ctx)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut RequestContext,
        error: Box<Error>,
    ) -> Box<Error> {
        failure::no_connection(self, ctx, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut RequestContext,
        client_reused: bool,
    ) -> Box<Error> {
        failure::while_proxying(self, session, ctx, error, client_reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut RequestContext,
    ) -> FailToProxy {
        respond::after_failure(session, error, ctx, clock::now()).await
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        ctx: &mut RequestContext,
    ) {
        held::write_rest(session, error).await;
        finish::request(self, session, error, ctx);
    }

    /// Pingora's own lines would carry the query, which may hold a key. The access line says what happened.
    fn suppress_error_log(
        &self,
        _session: &Session,
        _ctx: &RequestContext,
        _error: &Error,
    ) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &RequestContext,
        _error: &Error,
        _context: pingora_proxy::ProxyWarnLogContext,
    ) -> bool {
        true
    }

    fn request_summary(&self, session: &Session, _ctx: &RequestContext) -> String {
        let request = session.req_header();
        format!("{} {}", request.method, request.uri.path())
    }
}
