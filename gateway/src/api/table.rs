//! Which kind of endpoint can serve a request, and under which URL. This is the whole of it; a pair without
//! a URL is not eligible, and nothing is translated beyond moving the deployment's name.
//!
//! | operation | shape of the client | at `azure` | at `openai` |
//! | --- | --- | --- | --- |
//! | the eight with a deployment in the path | `Dated` | `/openai/deployments/{d}/{op}` | `/v1/{op}`, model in the body |
//! | responses | `DatedResource` | `/openai/responses`, model in the body | `/v1/responses`, model in the body |
//! | images/edits | `DatedResource` | `/openai/deployments/{d}/images/edits` | `/v1/images/edits`, model in the body |
//! | realtime | `DatedResource` | `/openai/realtime?deployment={d}` | – (the dated protocol has other events) |
//! | realtime | `V1` | `/openai/v1/realtime?model={d}` | `/v1/realtime?model={d}` |
//! | moderations | `V1` | – | `/v1/moderations`, model in the body |
//! | all others | `V1` | `/openai/v1/{op}`, model in the body | `/v1/{op}`, model in the body |
//!
//! The eight are chat/completions, completions, embeddings, images/generations, images/edits,
//! audio/transcriptions, audio/translations and audio/speech.
//!
//! The client's query goes along byte for byte, except that `api-key` and `subscription-key` are always removed, and that
//! `api-version` is replaced on dated URLs where the endpoint sets its own, and removed at `openai`.

use std::fmt::Write;

use smallvec::{SmallVec, smallvec};

use super::{
    operation::{Operation, Shape, Target, realtime_parameter},
    query,
};
use crate::{config::compiled::EndpointKind, ids::DeploymentName};

/// The first version of Azure's dated API with `stream_options`: of 2024-09-01-preview, and of 2024-10-21.
const STREAM_OPTIONS_SINCE: &str = "2024-09-01";

/// The URL under which an endpoint serves an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UrlForm {
    /// `/openai/deployments/{deployment}/{operation}?api-version=…`
    AzureDeployment,
    /// `/openai/{operation}?api-version=…`
    AzureResource,
    /// `/openai/v1/{operation}`
    AzureV1,
    /// `/v1/{operation}`
    OpenAi,
}

/// Where the provider looks for the name of the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelPlace {
    Path,
    Query,
    /// The body must be rewritten, see [`super::body::rewritten`].
    Body,
}

/// The table. `None`: the endpoint has no counterpart for this request.
#[must_use]
pub const fn url_form(kind: EndpointKind, operation: Operation, shape: Shape) -> Option<UrlForm> {
    if !operation.has_shape(shape) {
        return None;
    }
    match (kind, shape) {
        (EndpointKind::Azure, Shape::Dated) => Some(UrlForm::AzureDeployment),
        (EndpointKind::Azure, Shape::DatedResource)
            if matches!(operation, Operation::ImagesEdits) =>
        {
            Some(UrlForm::AzureDeployment)
        }
        (EndpointKind::Azure, Shape::DatedResource) => Some(UrlForm::AzureResource),
        (EndpointKind::Azure, Shape::V1) if matches!(operation, Operation::Moderations) => None,
        (EndpointKind::Azure, Shape::V1) => Some(UrlForm::AzureV1),
        (EndpointKind::OpenAi, Shape::DatedResource)
            if matches!(operation, Operation::Realtime) =>
        {
            None
        }
        (EndpointKind::OpenAi, Shape::Dated | Shape::DatedResource | Shape::V1) => {
            Some(UrlForm::OpenAi)
        }
    }
}

#[must_use]
pub const fn model_place(form: UrlForm, operation: Operation) -> ModelPlace {
    match form {
        UrlForm::AzureDeployment => ModelPlace::Path,
        UrlForm::AzureResource | UrlForm::AzureV1 | UrlForm::OpenAi => {
            if matches!(operation, Operation::Realtime) {
                ModelPlace::Query
            } else {
                ModelPlace::Body
            }
        }
    }
}

/// Whether an endpoint that is asked in this form knows `stream_options.include_usage`. Azure refuses the member in
/// dated versions before 2024-09-01-preview. `query` is the client's, `api_version` the endpoint's own, if it
/// sets one.
#[must_use]
pub fn reports_usage_when_asked(
    form: UrlForm,
    operation: Operation,
    query: Option<&str>,
    api_version: Option<&str>,
) -> bool {
    if !matches!(
        operation,
        Operation::ChatCompletions | Operation::Completions
    ) {
        return false;
    }
    match form {
        UrlForm::AzureDeployment => api_version
            .or_else(|| query::value(query, "api-version"))
            .is_some_and(|version| version.starts_with("20") && version >= STREAM_OPTIONS_SINCE),
        UrlForm::AzureV1 | UrlForm::OpenAi => true,
        UrlForm::AzureResource => false,
    }
}

/// Path and query of the upstream request. `base_path` is empty or `/prefix`; `api_version` is the
/// endpoint's own, if it sets one.
#[must_use]
pub fn upstream_path_and_query(
    form: UrlForm,
    base_path: &str,
    target: &Target<'_>,
    deployment: &DeploymentName,
    api_version: Option<&str>,
) -> String {
    let operation = target.operation.path();
    let name = deployment.as_str();
    let mut url = match form {
        UrlForm::AzureDeployment => {
            format!(
                "{base_path}/openai/deployments/{}/{operation}",
                query::encode(name)
            )
        }
        UrlForm::AzureResource => format!("{base_path}/openai/{operation}"),
        UrlForm::AzureV1 => format!("{base_path}/openai/v1/{operation}"),
        UrlForm::OpenAi => format!("{base_path}/v1/{operation}"),
    };

    let mut edits: SmallVec<[(&str, Option<&str>); 4]> =
        smallvec![("api-key", None), ("subscription-key", None)];
    match form {
        UrlForm::AzureDeployment | UrlForm::AzureResource => {
            edits.extend(api_version.map(|version| ("api-version", Some(version))));
        }
        UrlForm::AzureV1 => {}
        UrlForm::OpenAi => edits.push(("api-version", None)),
    }
    if model_place(form, target.operation) == ModelPlace::Query {
        edits.push((realtime_parameter(target.shape), Some(name)));
    }
    let query = query::edited(target.query, &mut edits);
    if !query.is_empty() {
        write!(url, "?{query}").expect("writing to a String does not fail");
    }
    url
}

#[cfg(test)]
mod tests;
