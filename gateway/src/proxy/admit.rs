//! Before a request is sent anywhere: who is it, what does it want, may it, and who could serve it. Whatever
//! speaks against it is answered here, not by way of an error, so that the connection can stay open.

use std::time::Duration;

use bytes::Bytes;
use http::header;
use pingora::Result;
use pingora_proxy::Session;

use super::{
    Gateway, attempt, body,
    context::{Reply, RequestContext, Wanted},
    decision,
    identify::identify,
    respond,
};
use crate::{
    api::{
        body::{BodyFacts, inspect},
        error::ApiError,
        models,
        operation::{Operation, Route, Shape, Target, route},
    },
    clock,
    config::compiled::Client,
    metrics::Asked,
    snapshot::{NoModel, may_use},
};

/// Answers itself, or leaves the request with its first deployment chosen. Returns whether it answered.
pub(super) async fn admit(
    gateway: &Gateway,
    session: &mut Session,
    ctx: &mut RequestContext,
) -> Result<bool> {
    if let Reply::Own(error) = std::mem::take(&mut ctx.reply) {
        respond::error(session, ctx, &error, None).await?;
        return Ok(true);
    }
    match examine(gateway, session, ctx).await {
        Ok(Admitted::Proceed) => Ok(false),
        Ok(Admitted::Answer(body)) => {
            respond::json(session, ctx, 200, body).await?;
            Ok(true)
        }
        Err(Refusal::Client(error)) => Err(error),
        Err(Refusal::Answer(error, wait)) => {
            respond::error(session, ctx, &error, wait).await?;
            Ok(true)
        }
    }
}

enum Admitted {
    Proceed,
    Answer(Bytes),
}

pub(super) enum Refusal {
    Answer(ApiError, Option<Duration>),
    Client(Box<pingora::Error>),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Answer(error, None)
    }
}

impl From<body::Unread> for Refusal {
    fn from(unread: body::Unread) -> Self {
        match unread {
            // Memory is free again as soon as some request has ended.
            body::Unread::Refused(error) => {
                let wait = (error.status == 503).then_some(Duration::from_secs(1));
                Self::Answer(error, wait)
            }
            body::Unread::Client(error) => Self::Client(error),
        }
    }
}

async fn examine(
    gateway: &Gateway,
    session: &mut Session,
    ctx: &mut RequestContext,
) -> std::result::Result<Admitted, Refusal> {
    let snapshot = ctx.snapshot.clone();
    let upgrade = session.is_upgrade_req();
    let client = identify(&snapshot, session, ctx).await?;
    ctx.explains = decision::is_wanted(session, &snapshot, client);

    let request = session.req_header();
    let uri = request.uri.clone();
    let target = match route(&request.method, uri.path(), uri.query(), upgrade)? {
        Route::Model(target) => target,
        Route::ListModels { .. } => {
            ctx.asked = Asked::Models;
            let listed = snapshot
                .config
                .models
                .iter()
                .filter(|model| may_use(client, &model.name));
            return Ok(Admitted::Answer(models::list_body(
                listed.map(|model| &model.name),
            )));
        }
        Route::GetModel { name, .. } => {
            ctx.asked = Asked::Models;
            let pool = find(ctx, client, &name)?;
            let model = &snapshot.pools[pool].model;
            return Ok(Admitted::Answer(models::model_body(&model.name)));
        }
    };
    // On any other path an upgrade is ignored, as a server may (RFC 9110 §7.8).
    let upgrade = upgrade && target.operation == Operation::Realtime;
    let Target {
        operation,
        shape,
        deployment,
        ..
    } = target;

    ctx.asked = Asked::Model(operation);

    // A model in the path is checked before a byte of the body is read.
    let named = match deployment.as_deref() {
        Some(name) => Some(find(ctx, client, name)?),
        None => None,
    };
    let content_type = session.get_header(header::CONTENT_TYPE).cloned();
    let begun = clock::now();
    let read = body::read(
        session,
        &snapshot.config.limits,
        &gateway.buffers,
        named.is_some(),
    )
    .await;
    ctx.waited = clock::now().since(begun);
    let body = read?;
    if upgrade && !body.bytes.is_empty() {
        return Err(ApiError::malformed_request("an upgrade has no body").into());
    }
    let facts = facts(operation, shape, content_type.as_ref(), &body)?;
    let pool = match (named, &facts.model) {
        (Some(pool), _) => pool,
        (None, Some(model)) => find(ctx, client, &model.value)?,
        (None, None) => return Err(ApiError::missing_model().into()),
    };
    let wanted = Wanted {
        pool,
        operation,
        shape,
        facts,
        body,
        upgrade,
        hands_on: ctx.hands_on,
    };
    let now = clock::now();
    let first = attempt::first(&snapshot, &wanted, &mut ctx.course, now);
    ctx.wanted = Some(wanted);
    first
        .map(|()| Admitted::Proceed)
        .map_err(|(error, wait)| Refusal::Answer(error, wait))
}

/// A streamed body shows only its beginning, so nothing is learnt from it, and a tunnel has none.
fn facts(
    operation: Operation,
    shape: Shape,
    content_type: Option<&http::HeaderValue>,
    body: &body::Buffered,
) -> std::result::Result<BodyFacts, ApiError> {
    if operation == Operation::Realtime || !body.is_whole() {
        return Ok(BodyFacts::default());
    }
    if body.bytes.is_empty() && shape != Shape::Dated {
        return Err(ApiError::missing_model());
    }
    inspect(
        content_type.and_then(|value| value.to_str().ok()),
        &body.bytes,
    )
}

/// The pool of a model, by name, alias or `auto`.
///
/// # Errors
/// 404 for a model that nobody serves, 403 for one that the client may not use.
fn find(
    ctx: &mut RequestContext,
    client: Option<&Client>,
    name: &str,
) -> std::result::Result<usize, ApiError> {
    ctx.snapshot.find(client, name).map_err(|no| match no {
        NoModel::Unknown => ApiError::model_not_found(name),
        NoModel::NotAllowed => {
            // Operators are told who asks for what in vain.
            ctx.denied = ctx.snapshot.pool_of(name);
            ApiError::model_not_allowed(name)
        }
    })
}
