//! The list of models: Azure lists the base models, a plain server the names that it answers to.

use crate::answer::{Answer, Unary};
use crate::resource::Kind;
use crate::state::Shared;
use crate::stats::Usage;
use crate::text::quoted;

pub(crate) fn list(shared: &Shared) -> Answer {
    let mut items = Vec::new();
    for deployment in &shared.resource.deployments {
        let Some(state) = shared.deployments.get(&deployment.name) else {
            continue;
        };
        items.push(match shared.resource.kind {
            Kind::Azure => [
                r#"{"id":"#,
                &state.model_json,
                r#","object":"model","created_at":1732060800,"created":1732060800,"owned_by":"system","status":"#,
                r#""succeeded","lifecycle_status":"generally-available","capabilities":{"fine_tune":false,"#,
                r#""inference":true,"completion":true,"chat_completion":true,"embeddings":true}}"#,
            ]
            .concat(),
            Kind::Openai => [
                r#"{"id":"#,
                &quoted(&deployment.name),
                r#","object":"model","created":1732060800,"owned_by":"system"}"#,
            ]
            .concat(),
        });
    }
    let body = [r#"{"data":["#, &items.join(","), r#"],"object":"list"}"#].concat();
    Unary::json(body, Usage::default())
}
