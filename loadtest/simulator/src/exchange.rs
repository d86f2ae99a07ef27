//! Delivers one answer: in time, with its headers, and with the fault that was asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use tokio::time::{Instant, sleep};

use crate::answer::{Answer, Script, Unary};
use crate::body::{AnswerBody, Ending, Pace, Pieces};
use crate::connection::{End, Fate};
use crate::errors::{Refusal, documented};
use crate::faults::Action;
use crate::headers::{self, About};
use crate::limits::Quota;
use crate::resource::Kind;
use crate::state::{DeploymentState, Shared};
use crate::stats::{Ticket, Usage};

/// One request and the connection it came on.
pub(crate) struct Exchange<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) fate: &'a Arc<Fate>,
    pub(crate) request: &'a HeaderMap,
    pub(crate) deployment: Option<&'a DeploymentState>,
    pub(crate) ticket: Ticket,
}

/// What the service decided: an answer and what is left of the quota, or a refusal.
pub(crate) type Verdict = Result<(Answer, Quota), Refusal>;

impl Exchange<'_> {
    /// Delivers what `decide` decides, unless the fault answers instead.
    pub(crate) async fn deliver(
        self,
        fault: Option<Action>,
        decide: impl FnOnce() -> Verdict,
    ) -> Response<AnswerBody> {
        let Some(action) = fault else {
            return self.conclude(decide(), None).await;
        };
        match action {
            Action::Status {
                status,
                headers,
                body,
            } => {
                let mut refusal = documented(self.shared.resource.kind, status);
                if let Some(body) = body {
                    refusal.body = body.into();
                }
                let mut response = self.refuse(refusal);
                for (name, value) in headers {
                    if let (Ok(name), Ok(value)) =
                        (HeaderName::try_from(name), HeaderValue::try_from(value))
                    {
                        response.headers_mut().insert(name, value);
                    }
                }
                response
            }
            Action::EarlyStatus { status } => {
                let refusal = documented(self.shared.resource.kind, status);
                self.refuse(refusal)
            }
            Action::ResetBeforeHeaders => self.end(End::Reset).await,
            Action::CloseBeforeHeaders => self.end(End::Close).await,
            Action::Garbage => self.end(End::Garbage).await,
            Action::HangBeforeHeaders => std::future::pending().await,
            Action::SlowFirstByte { ms } => {
                sleep(Duration::from_millis(ms)).await;
                self.conclude(decide(), None).await
            }
            Action::CloseIdle => {
                let fate = Arc::clone(self.fate);
                let response = self.conclude(decide(), None).await;
                response.map(|body| body.closing(&fate))
            }
            Action::ErrorEventInStream { after_events } => {
                let verdict = decide();
                if let Ok((Answer::Unary(_), _)) = verdict {
                    let refusal = documented(self.shared.resource.kind, 500);
                    return self.refuse(refusal);
                }
                self.conclude(
                    verdict,
                    Some(Spoil {
                        after_events,
                        ending: Ending::Spoilt,
                    }),
                )
                .await
            }
            Action::ResetAfterHeaders => self.spoil(decide(), 0, Ending::Reset).await,
            Action::StallMidStream { after_events } => {
                self.spoil(decide(), after_events, Ending::Silence).await
            }
            Action::CutMidStream { after_events } => {
                self.spoil(decide(), after_events, Ending::Cut).await
            }
        }
    }

    /// Ends the connection in place of an answer.
    async fn end(self, end: End) -> Response<AnswerBody> {
        self.ticket.faulted();
        self.fate.decide(end);
        std::future::pending().await
    }

    async fn spoil(
        self,
        verdict: Verdict,
        after_events: usize,
        ending: Ending,
    ) -> Response<AnswerBody> {
        self.conclude(
            verdict,
            Some(Spoil {
                after_events,
                ending,
            }),
        )
        .await
    }

    async fn conclude(self, verdict: Verdict, spoil: Option<Spoil>) -> Response<AnswerBody> {
        let (answer, quota) = match verdict {
            Ok(decided) => decided,
            Err(refusal) => return self.refuse(refusal),
        };
        let (ttft, interval, piece_bytes) =
            self.deployment
                .map_or((Duration::ZERO, Duration::ZERO, 0), |deployment| {
                    let behaviour = &deployment.spec.behaviour;
                    let piece_bytes = behaviour.piece_bytes;
                    (behaviour.ttft(), behaviour.token_interval(), piece_bytes)
                });
        let wait = match &answer {
            Answer::Unary(unary) => {
                let steps = u32::try_from(unary.paced_tokens.saturating_sub(1)).unwrap_or(u32::MAX);
                ttft + interval * steps
            }
            Answer::Stream(_) => ttft,
        };
        if !wait.is_zero() {
            sleep(wait).await;
        }
        self.ticket.answering(200);
        let mut headers = self.headers(200, &quota, None);
        let body = match (answer, spoil) {
            (Answer::Unary(unary), None) if piece_bytes > 0 => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(unary.content_type));
                headers.insert(CONTENT_LENGTH, unary.body.len().into());
                let pieces = in_pieces(vec![unary.body], piece_bytes);
                self.pieces(pieces, Pace::none(), Ending::Complete, unary.usage)
            }
            (Answer::Unary(unary), None) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(unary.content_type));
                self.ticket.complete(200, unary.usage);
                AnswerBody::whole(unary.body)
            }
            (Answer::Unary(unary), Some(spoil)) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(unary.content_type));
                headers.insert(CONTENT_LENGTH, unary.body.len().into());
                self.halved(&unary, spoil)
            }
            (Answer::Stream(script), spoil) => {
                let content_type = HeaderValue::from_static("text/event-stream; charset=utf-8");
                headers.insert(CONTENT_TYPE, content_type);
                self.streamed(script, interval, piece_bytes, spoil)
            }
        };
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }

    /// The first half of a unary body, and the spoilt ending.
    fn halved(self, unary: &Unary, spoil: Spoil) -> AnswerBody {
        let half = match spoil.ending {
            Ending::Reset => Vec::new(),
            Ending::Complete | Ending::Spoilt | Ending::Silence | Ending::Cut => {
                vec![unary.body.slice(..unary.body.len() / 2)]
            }
        };
        self.pieces(half, Pace::none(), spoil.ending, unary.usage)
    }

    fn streamed(
        self,
        script: Script,
        interval: Duration,
        piece_bytes: usize,
        spoil: Option<Spoil>,
    ) -> AnswerBody {
        let pace = Pace {
            start: Instant::now(),
            interval,
            paced: script.tokens,
        };
        let mut events = script.events;
        let mut ending = Ending::Complete;
        if let Some(spoil) = spoil {
            events.truncate(spoil.after_events);
            ending = spoil.ending;
            if ending == Ending::Spoilt {
                events.push(script.dialect.error_event());
            }
        }
        if piece_bytes > 0 && interval.is_zero() {
            events = in_pieces(events, piece_bytes);
        }
        self.pieces(events, pace, ending, script.usage)
    }

    fn pieces(self, pieces: Vec<Bytes>, pace: Pace, ending: Ending, usage: Usage) -> AnswerBody {
        AnswerBody::pieces(Pieces {
            pieces: pieces.into_iter(),
            sent: 0,
            pace,
            ending,
            status: 200,
            usage,
            ticket: Some(self.ticket),
            fate: Arc::clone(self.fate),
            sleep: None,
            unflushed: true,
        })
    }

    pub(crate) fn refuse(self, refusal: Refusal) -> Response<AnswerBody> {
        let mut headers = self.headers(refusal.status, &refusal.quota, refusal.wait);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.ticket.answering(refusal.status);
        self.ticket.complete(refusal.status, Usage::default());
        let mut response = Response::new(AnswerBody::whole(refusal.body));
        *response.status_mut() =
            StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = headers;
        if refusal.status == 401 && self.shared.resource.kind == Kind::Azure {
            response
                .extensions_mut()
                .insert(ReasonPhrase::from_static(b"PermissionDenied"));
        }
        response
    }

    fn headers(&self, status: u16, quota: &Quota, wait: Option<Duration>) -> HeaderMap {
        headers::write(&About {
            shared: self.shared,
            request: self.request,
            deployment: self.deployment,
            status,
            quota,
            wait,
        })
    }
}

/// The same bytes, cut anew.
fn in_pieces(parts: Vec<Bytes>, piece_bytes: usize) -> Vec<Bytes> {
    let whole = Bytes::from(parts.concat());
    let starts = (0..whole.len()).step_by(piece_bytes);
    starts
        .map(|start| whole.slice(start..whole.len().min(start + piece_bytes)))
        .collect()
}

/// How an answer goes wrong.
struct Spoil {
    after_events: usize,
    ending: Ending,
}
