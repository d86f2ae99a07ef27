//! One request from its head to its answer: what it asks, whether it may, and what it gets.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::body::AnswerBody;
use crate::connection::Fate;
use crate::errors::{self, Refusal};
use crate::exchange::{Exchange, Verdict};
use crate::limits::Quota;
use crate::request::{Fields, asks_to_be_filtered};
use crate::route::{Operation, Route, Shape, is_dated_version, parameter};
use crate::state::{Call, DeploymentState, Recorded, Shared};
use crate::stats::{Tally, Ticket};
use crate::{
    chat, completions, control_routes, credentials, embeddings, media, models, responses, tunnel,
};

const BODY_BYTES_MAX: usize = 256 << 20;

pub(crate) async fn handle(
    shared: Arc<Shared>,
    fate: Arc<Fate>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    if request.uri().path().starts_with(control_routes::PREFIX) {
        return Ok(control_routes::handle(&shared, request).await);
    }
    let uri = request.uri().clone();
    let query = uri.query().unwrap_or("");
    let route = Route::parse(shared.resource.kind, request.method(), uri.path(), query);
    if request.headers().contains_key(UPGRADE) {
        return Ok(tunnel::open(&shared, &fate, route, request).await);
    }
    let in_path = route.as_ref().and_then(|route| route.deployment.as_deref());
    if let Some(status) = shared.faults.take_early(in_path) {
        let deployment = in_path.and_then(|name| shared.deployments.get(name));
        let exchange = Exchange {
            shared: &shared,
            fate: &fate,
            request: request.headers(),
            deployment: deployment.map(AsRef::as_ref),
            ticket: Ticket::open(tally(&shared, deployment)),
        };
        return Ok(exchange.refuse(errors::documented(shared.resource.kind, status)));
    }
    let (parts, body) = request.into_parts();
    let (body, too_large) = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => (collected.to_bytes(), false),
        Err(error) if error.is::<LengthLimitError>() => (Bytes::new(), true),
        // The caller left while sending: nobody reads this.
        Err(_) => return Ok(Response::new(AnswerBody::whole(Bytes::new()))),
    };
    let recorded = Arc::new(Recorded { parts, body });
    let asked = Asked::new(&shared, route, &recorded, query, too_large);
    let exchange = Exchange {
        shared: &shared,
        fate: &fate,
        request: &recorded.parts.headers,
        deployment: asked.deployment.map(AsRef::as_ref),
        ticket: Ticket::open(tally(&shared, asked.deployment)),
    };
    if let Some(deployment) = asked.deployment {
        *deployment.last.lock() = Some(Arc::clone(&recorded));
    }
    let fault = shared.faults.take(asked.name.as_deref());
    Ok(exchange.deliver(fault, || asked.decide()).await)
}

fn tally<'a>(shared: &'a Shared, deployment: Option<&'a Arc<DeploymentState>>) -> &'a Arc<Tally> {
    deployment.map_or(&shared.tally, |deployment| &deployment.tally)
}

type Generate = fn(&Shared, &Call<'_>) -> Result<Answer, Refusal>;

/// A whole request, understood.
struct Asked<'a> {
    shared: &'a Shared,
    route: Option<Route<'a>>,
    headers: &'a HeaderMap,
    query: &'a str,
    body: &'a [u8],
    fields: Result<Fields<'a>, Refusal>,
    /// The deployment's name, known here or not.
    name: Option<Cow<'a, str>>,
    deployment: Option<&'a Arc<DeploymentState>>,
}

impl<'a> Asked<'a> {
    fn new(
        shared: &'a Shared,
        route: Option<Route<'a>>,
        recorded: &'a Recorded,
        query: &'a str,
        too_large: bool,
    ) -> Self {
        let headers = &recorded.parts.headers;
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let fields = if too_large {
            Err(errors::too_large())
        } else {
            Fields::parse(content_type.unwrap_or(""), &recorded.body)
                .map_err(|problem| errors::malformed(&problem.to_string()))
        };
        let name = route.as_ref().and_then(|route| {
            let in_body = || fields.as_ref().ok().and_then(|fields| fields.model.clone());
            let needed = route.operation.needs_deployment();
            route
                .deployment
                .clone()
                .or_else(|| needed.then(in_body).flatten())
        });
        Self {
            shared,
            route,
            headers,
            query,
            body: &recorded.body,
            deployment: name
                .as_deref()
                .and_then(|name| shared.deployments.get(name)),
            fields,
            name,
        }
    }

    fn decide(self) -> Verdict {
        let kind = self.shared.resource.kind;
        let route = admitted(self.shared, self.route, self.headers, self.query)?;
        let generate: Generate = match &route.operation {
            Operation::Models => return Ok((models::list(self.shared), Quota::Unlimited)),
            Operation::StoredResponse { id, verb } => {
                let answer = self.shared.responses.lock().serve(id, *verb)?;
                return Ok((answer, Quota::Unlimited));
            }
            // Only an upgrade gets further.
            Operation::Realtime => return Err(errors::resource_not_found()),
            Operation::Chat => |_, call| chat::complete(call),
            Operation::Completions => |_, call| completions::complete(call),
            Operation::Embeddings => |_, call| embeddings::embed(call),
            Operation::Images => |_, call| Ok(media::image(call)),
            Operation::Speech => |_, _| Ok(media::speech()),
            Operation::Transcriptions => |_, call| Ok(media::transcription(call)),
            Operation::Responses => responses::create,
        };
        let fields = self.fields?;
        let name = self
            .name
            .ok_or_else(|| errors::missing_parameter("model"))?;
        let deployment = self
            .deployment
            .ok_or_else(|| errors::deployment_not_found(kind, &name))?;
        let mut limiter = deployment.limiter.lock();
        let quota = limiter
            .admit(fields.estimated_tokens(), Instant::now())
            .map_err(|throttled| {
                let version = parameter(self.query, "api-version").unwrap_or(Cow::Borrowed("v1"));
                let operation = route.operation.name();
                let mut refusal =
                    errors::throttled(kind, throttled.reason, throttled.wait, operation, &version);
                refusal.quota = throttled.quota;
                refusal
            })?;
        drop(limiter);
        if asks_to_be_filtered(self.body) {
            return Err(errors::content_filtered());
        }
        let call = Call {
            kind,
            deployment,
            fields: &fields,
        };
        Ok((generate(self.shared, &call)?, quota))
    }
}

/// The route, if there is one, for a caller and an api version that are accepted.
pub(crate) fn admitted<'a>(
    shared: &Shared,
    route: Option<Route<'a>>,
    headers: &HeaderMap,
    query: &str,
) -> Result<Route<'a>, Refusal> {
    let shape = route.as_ref().map_or(Shape::Dated, |route| route.shape);
    if !credentials::accepted(shared, shape, headers, query) {
        return Err(errors::unauthorized(shared.resource.kind));
    }
    let route = route.ok_or_else(errors::resource_not_found)?;
    match (shape, parameter(query, "api-version").as_deref()) {
        (Shape::Dated, Some(version)) if is_dated_version(version) => {}
        (Shape::Dated, _) => return Err(errors::resource_not_found()),
        (Shape::V1, None | Some("v1" | "preview")) | (Shape::Plain, _) => {}
        (Shape::V1, Some(_)) => return Err(errors::api_version_not_supported()),
    }
    Ok(route)
}
