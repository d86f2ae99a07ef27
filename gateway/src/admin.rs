//! The operators' own listeners: is the gateway alive, can it serve, what is the state of each deployment, why does a
//! request go where it goes. The unix socket may do everything; on the address everybody reads and nobody changes
//! anything, unless a token is configured: then who shows it reads, and switches endpoints. Nothing is decided by a
//! cookie, so no web page can act in an operator's name. The words for states are those of the console.

mod aside;
mod configuration;
mod console;
mod events;
mod explain;
mod identity;
mod level;
mod moment;
mod orders;
mod readiness;
mod route;
mod scrape;
mod status;
mod switches;

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version, header};
use parking_lot::Mutex;
use pingora::{
    apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream},
    http::ResponseHeader,
    protocols::http::ServerSession,
    server::ShutdownWatch,
};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use self::{
    aside::Aside,
    identity::Identity,
    moment::Moment,
    readiness::Readiness,
    route::{Deed, Page, Route},
};
use crate::{
    clock::Timestamp,
    orders::Desk,
    secret::Secret,
    server::{Room, Shared},
};

/// Seconds that an idle connection is kept.
const KEEP_ALIVE_SECS: u64 = 60;
/// A reader that has not taken a page by then is given up: pages are megabytes, and wait in memory.
const WRITE: Duration = Duration::from_secs(30);
/// Each of them has the whole status written once a second.
const EVENT_READERS_MAX: usize = 32;
/// For so long all of them are told the same: to sum up what is counted takes milliseconds in a large fleet.
const EVENT_AGE_MAX: Duration = Duration::from_millis(500);

pub struct Admin {
    shared: Arc<Shared>,
    stopping: watch::Receiver<bool>,
    /// Where orders are given; `None` on the address.
    desk: Option<Desk>,
    /// Of this listener: whoever floods the address keeps nobody on the socket waiting.
    aside: Aside,
    event_readers: Arc<Room>,
    /// The last event, and when it was made.
    event: Mutex<Option<(Timestamp, Bytes)>>,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Authority {
    /// Whoever may open the socket.
    Everything,
    /// Showed the token: reads, and switches endpoints.
    Operates,
    /// There is no token to show.
    Reads,
    /// There is none, and the request is for another host.
    Elsewhere,
    Nothing,
}

enum Answer {
    Whole(Whole),
    Events,
}

struct Whole {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
}

impl Whole {
    fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self {
                status,
                content_type: "application/json",
                body: body.into(),
            },
            Err(error) => Self::refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    fn refusal(status: StatusCode, reason: &str) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: json!({ "reason": reason }).to_string().into(),
        }
    }
}

impl Admin {
    #[must_use]
    pub fn new(shared: Arc<Shared>, stopping: watch::Receiver<bool>, desk: Option<Desk>) -> Self {
        Self {
            shared,
            stopping,
            desk,
            aside: Aside::new(),
            event_readers: Room::new(EVENT_READERS_MAX),
            event: Mutex::new(None),
        }
    }

    /// The status for those who read it as events. `None` if it cannot be made.
    async fn event(self: &Arc<Self>) -> Option<Bytes> {
        let admin = self.clone();
        self.aside.make(move || admin.make_event()).await
    }

    fn make_event(&self) -> Bytes {
        let moment = Moment::read();
        let mut last = self.event.lock();
        match &*last {
            Some((at, event)) if moment.now.since(*at) < EVENT_AGE_MAX => event.clone(),
            Some(_) | None => {
                let snapshot = self.shared.snapshot.load();
                let draining = *self.stopping.borrow();
                let status = status::Status::of(&self.shared, &snapshot, draining, moment);
                let event = events::event(&serde_json::to_string(&status).unwrap_or_default());
                *last = Some((moment.now, event.clone()));
                event
            }
        }
    }

    async fn answer(self: &Arc<Self>, session: &mut ServerSession) -> Answer {
        let authority = self.authority(session);
        let request = session.req_header();
        let refused = |status, reason: &str| Answer::Whole(Whole::refusal(status, reason));
        match route::route(&request.method, request.uri.path()) {
            Route::File(file) => Answer::Whole(Whole {
                status: StatusCode::OK,
                content_type: file.content_type,
                body: Bytes::from_static(file.text.as_bytes()),
            }),
            Route::Page(page)
                if page.is_public()
                    || !matches!(authority, Authority::Nothing | Authority::Elsewhere) =>
            {
                self.page(page, request.uri.query()).await
            }
            _ if authority == Authority::Elsewhere => refused(
                StatusCode::MISDIRECTED_REQUEST,
                "on loopback this is `localhost` or an address, unless `admin.token` is set",
            ),
            _ if authority == Authority::Nothing => refused(
                StatusCode::UNAUTHORIZED,
                "show the token of `admin.token`: authorization: Bearer …",
            ),
            Route::Deed(deed) => Answer::Whole(self.deed(deed, authority, session).await),
            // Also a path that is none: here nothing is changed.
            _ if request.method == Method::POST && authority == Authority::Reads => {
                refused(StatusCode::FORBIDDEN, READS_ONLY)
            }
            Route::Page(_) | Route::WrongMethod => refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "there is no such method of this path",
            ),
            Route::Nothing => refused(StatusCode::NOT_FOUND, &route::listed()),
        }
    }

    async fn page(self: &Arc<Self>, page: Page, query: Option<&str>) -> Answer {
        if page.is_small() {
            return self.make(page, query);
        }
        let (admin, query) = (self.clone(), query.map(str::to_owned));
        let make = move || admin.make(page, query.as_deref());
        let made = self.aside.make(make).await;
        made.unwrap_or_else(|| {
            let reason = "it could not be made; the log of the process may say why";
            Answer::Whole(Whole::refusal(StatusCode::INTERNAL_SERVER_ERROR, reason))
        })
    }

    fn make(&self, page: Page, query: Option<&str>) -> Answer {
        let shared = &*self.shared;
        let snapshot = shared.snapshot.load();
        let moment = Moment::read();
        let draining = *self.stopping.borrow();
        Answer::Whole(match page {
            Page::Healthz => Whole::json(StatusCode::OK, &json!({ "status": "alive" })),
            Page::Readyz => {
                let readiness = Readiness::of(&snapshot, draining, moment.now);
                let status = if readiness.ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                Whole::json(status, &readiness)
            }
            Page::Status => {
                let status = status::Status::of(shared, &snapshot, draining, moment);
                Whole::json(StatusCode::OK, &status)
            }
            Page::Explain => match explain::explain(&snapshot, query, moment) {
                Ok(explained) => Whole::json(StatusCode::OK, &explained),
                Err((status, reason)) => Whole::refusal(status, &reason),
            },
            Page::Config => {
                let shown = configuration::Shown::of(shared, &snapshot);
                Whole::json(StatusCode::OK, &shown)
            }
            Page::Events => return Answer::Events,
            Page::Identity => {
                let identity = Identity::of(shared, moment.now, moment.unix_now);
                Whole::json(StatusCode::OK, &identity)
            }
            Page::Metrics => Whole {
                status: StatusCode::OK,
                content_type: "text/plain; version=0.0.4",
                body: shared
                    .metrics
                    .render(scrape::live(shared, &snapshot, moment))
                    .into(),
            },
            Page::Log => level::shown(&shared.log),
            Page::OpenApi => Whole {
                status: StatusCode::OK,
                content_type: "application/json",
                body: Bytes::from_static(route::OPENAPI.as_bytes()),
            },
        })
    }

    async fn deed(&self, deed: Deed, authority: Authority, session: &mut ServerSession) -> Whole {
        match (deed, authority, &self.desk) {
            (Deed::Order(order), Authority::Everything, Some(desk)) => {
                orders::answer(order, desk, session).await
            }
            (Deed::Order(_), _, _) => Whole::refusal(
                StatusCode::FORBIDDEN,
                "taken only on the socket `admin.socket`",
            ),
            (Deed::Switch { endpoint, to }, Authority::Everything | Authority::Operates, _) => {
                switches::turn(&self.shared, &endpoint, to, session)
            }
            (Deed::Level, Authority::Everything | Authority::Operates, _) => {
                level::change(&self.shared.log, session).await
            }
            (
                Deed::Switch { .. } | Deed::Level,
                Authority::Reads | Authority::Elsewhere | Authority::Nothing,
                _,
            ) => Whole::refusal(StatusCode::FORBIDDEN, READS_ONLY),
        }
    }

    fn authority(&self, session: &ServerSession) -> Authority {
        if self.desk.is_some() {
            return Authority::Everything;
        }
        let snapshot = self.shared.snapshot.load();
        let admin = snapshot.config.admin.as_ref();
        match admin.and_then(|admin| admin.token.as_ref()) {
            // The page of a stranger may have had its name resolved to us, and a browser would let it read.
            None if admin.is_some_and(|admin| admin.address.ip().is_loopback())
                && !names_us(session) =>
            {
                Authority::Elsewhere
            }
            None => Authority::Reads,
            Some(token) if shows(session, token) => Authority::Operates,
            Some(_) => Authority::Nothing,
        }
    }
}

/// Whether a request on loopback is for this machine: whoever resolves a name of theirs to it uses that name.
fn names_us(session: &ServerSession) -> bool {
    let Some(host) = session.req_header().headers.get(header::HOST) else {
        return true;
    };
    let authority = http::uri::Authority::try_from(host.as_bytes());
    authority.is_ok_and(|authority| {
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
    })
}

const READS_ONLY: &str =
    "this address only reads: use the socket `admin.socket`, or configure `admin.token`";

/// The hashes are compared, in a time that depends on nothing, so that none tells anything about the token.
fn shows(session: &ServerSession, token: &Secret) -> bool {
    let headers = &session.req_header().headers;
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(shown), None) = (shown.next(), shown.next()) else {
        return false;
    };
    let Some((scheme, shown)) = shown.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return false;
    };
    let (shown, token) = (
        Sha256::digest(shown.trim_ascii()),
        Sha256::digest(token.expose()),
    );
    let difference = shown
        .iter()
        .zip(&token)
        .fold(0, |difference, (shown, token)| difference | (shown ^ token));
    scheme.eq_ignore_ascii_case("bearer") && difference == 0
}

/// Pingora's `ServeHttp` can only answer at once; otherwise this does the same.
#[async_trait]
impl HttpServerApp for Admin {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        // What cannot be read is quoted nowhere.
        if !session.read_request().await.ok()? {
            return None;
        }
        // Who speaks HTTP/1.0 may read until it is closed.
        let keep = !*shutdown.borrow() && session.req_header().version >= Version::HTTP_11;
        let keep = keep.then_some(KEEP_ALIVE_SECS);
        session.set_keepalive(keep);
        session.set_write_timeout(Some(WRITE));
        match self.answer(&mut session).await {
            Answer::Whole(whole) => write(&mut session, whole).await,
            Answer::Events => events::stream(&mut session, self, shutdown.clone()).await,
        }
        .ok()?;
        let settings = HttpPersistentSettings::for_session(&session);
        let reusable = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }
}

async fn write(session: &mut ServerSession, whole: Whole) -> pingora::Result<()> {
    let Whole {
        status,
        content_type,
        body,
    } = whole;
    let mut head = head(status, content_type)?;
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    if status == StatusCode::UNAUTHORIZED {
        head.insert_header(header::WWW_AUTHENTICATE, "Bearer")?;
    }
    session.write_response_header(Box::new(head)).await?;
    if session.req_header().method == Method::HEAD {
        return Ok(());
    }
    session.write_response_body(body, true).await
}

fn head(status: StatusCode, content_type: &'static str) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(status, Some(8))?;
    head.insert_header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))?;
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    head.insert_header(header::CONTENT_SECURITY_POLICY, console::POLICY)?;
    head.insert_header(header::REFERRER_POLICY, "no-referrer")?;
    Ok(head)
}
