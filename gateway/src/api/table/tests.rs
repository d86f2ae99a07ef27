use std::borrow::Cow;

use super::*;

const AZURE: EndpointKind = EndpointKind::Azure;
const OPENAI: EndpointKind = EndpointKind::OpenAi;

fn url(
    kind: EndpointKind,
    operation: Operation,
    shape: Shape,
    query: &str,
    version: Option<&str>,
) -> String {
    let form = url_form(kind, operation, shape).expect("the test asks for what is served");
    let target = Target {
        operation,
        shape,
        deployment: Some(Cow::Borrowed("asked")),
        query: Some(query),
    };
    let deployment = DeploymentName::new("org/d+1").unwrap();
    upstream_path_and_query(form, "/base", &target, &deployment, version)
}

/// Every kind, operation and shape: the path and the place of the model, or nothing.
#[test]
fn the_whole_table_is_as_documented() {
    let in_path = |op: &str| {
        Some((
            format!("/base/openai/deployments/org%2Fd%2B1/{op}"),
            ModelPlace::Path,
        ))
    };
    let in_body = |path: &str, op: &str| Some((format!("/base{path}/{op}"), ModelPlace::Body));
    let in_query = |path: &str| Some((format!("/base{path}=org%2Fd%2B1"), ModelPlace::Query));

    for operation in Operation::ALL {
        let op = operation.path();
        // In the order of `Shape::ALL`.
        let (azure, openai) = match operation {
            Operation::ChatCompletions
            | Operation::Completions
            | Operation::Embeddings
            | Operation::ImagesGenerations
            | Operation::AudioTranscriptions
            | Operation::AudioTranslations
            | Operation::AudioSpeech => (
                [in_path(op), None, in_body("/openai/v1", op)],
                [in_body("/v1", op), None, in_body("/v1", op)],
            ),
            Operation::ImagesEdits => (
                [in_path(op), in_path(op), in_body("/openai/v1", op)],
                [in_body("/v1", op), in_body("/v1", op), in_body("/v1", op)],
            ),
            Operation::Responses => (
                [None, in_body("/openai", op), in_body("/openai/v1", op)],
                [None, in_body("/v1", op), in_body("/v1", op)],
            ),
            Operation::Moderations => ([None, None, None], [None, None, in_body("/v1", op)]),
            Operation::Realtime => (
                [
                    None,
                    in_query("/openai/realtime?deployment"),
                    in_query("/openai/v1/realtime?model"),
                ],
                [None, None, in_query("/v1/realtime?model")],
            ),
        };
        for (kind, row) in [(AZURE, azure), (OPENAI, openai)] {
            for (shape, expected) in Shape::ALL.into_iter().zip(row) {
                let found = url_form(kind, operation, shape).map(|form| {
                    (
                        url(kind, operation, shape, "", None),
                        model_place(form, operation),
                    )
                });
                assert_eq!(found, expected, "{kind:?} {operation:?} {shape:?}");
                let served = url_form(kind, operation, shape).is_some();
                assert_eq!(served, expected.is_some());
            }
        }
    }
}

#[test]
fn a_query_goes_along_except_for_versions_and_keys() {
    let own = Some("2025-01-01");
    let query = "x=%7e+1&api-version=2024-10-21&api-key=secret&y";
    for (kind, shape, version, expected) in [
        (
            AZURE,
            Shape::Dated,
            None,
            "x=%7e+1&api-version=2024-10-21&y",
        ),
        (AZURE, Shape::Dated, own, "x=%7e+1&api-version=2025-01-01&y"),
        (
            AZURE,
            Shape::DatedResource,
            own,
            "x=%7e+1&api-version=2025-01-01&y",
        ),
        // The endpoint's own version is one of dated URLs.
        (AZURE, Shape::V1, own, "x=%7e+1&api-version=2024-10-21&y"),
        (OPENAI, Shape::Dated, own, "x=%7e+1&y"),
        (OPENAI, Shape::DatedResource, None, "x=%7e+1&y"),
        (OPENAI, Shape::V1, None, "x=%7e+1&y"),
    ] {
        let url = url(kind, Operation::ImagesEdits, shape, query, version);
        let (_, query) = url.split_once('?').expect("parameters are left");
        assert_eq!(query, expected, "{kind:?} {shape:?} {version:?}");
    }
}

#[test]
fn a_query_of_which_nothing_is_left_leaves_no_question_mark() {
    let url = url(
        OPENAI,
        Operation::Embeddings,
        Shape::V1,
        "api-key=k&API-VERSION=1",
        None,
    );
    assert_eq!(url, "/base/v1/embeddings");
}

#[test]
fn realtime_names_the_chosen_deployment_in_the_place_of_the_asked_one() {
    for (kind, shape, expected) in [
        (
            AZURE,
            Shape::DatedResource,
            "/base/openai/realtime?deployment=org%2Fd%2B1&model=m&api-version=1",
        ),
        (
            AZURE,
            Shape::V1,
            "/base/openai/v1/realtime?deployment=asked&model=org%2Fd%2B1&api-version=1",
        ),
        (
            OPENAI,
            Shape::V1,
            "/base/v1/realtime?deployment=asked&model=org%2Fd%2B1",
        ),
    ] {
        let query = "deployment=asked&model=m&api-version=1";
        assert_eq!(url(kind, Operation::Realtime, shape, query, None), expected);
    }
}

#[test]
fn only_what_knows_stream_options_is_asked_for_usage() {
    use Operation::{ChatCompletions, Completions, Embeddings, Responses};
    let client = |version: &str| format!("a=b&api-version={version}");
    for (form, operation, version, own, expected) in [
        (
            UrlForm::AzureDeployment,
            ChatCompletions,
            "2024-10-21",
            None,
            true,
        ),
        (
            UrlForm::AzureDeployment,
            Completions,
            "2024-10-21",
            None,
            true,
        ),
        (
            UrlForm::AzureDeployment,
            ChatCompletions,
            "2024-09-01-preview",
            None,
            true,
        ),
        (
            UrlForm::AzureDeployment,
            ChatCompletions,
            "2025-04-01-preview",
            None,
            true,
        ),
        (
            UrlForm::AzureDeployment,
            ChatCompletions,
            "2024-08-01-preview",
            None,
            false,
        ),
        (
            UrlForm::AzureDeployment,
            ChatCompletions,
            "2024-06-01",
            None,
            false,
        ),
        (
            UrlForm::AzureDeployment,
            ChatCompletions,
            "2024-06-01",
            Some("2024-10-21"),
            true,
        ),
        (
            UrlForm::AzureDeployment,
            ChatCompletions,
            "2024-10-21",
            Some("2024-06-01"),
            false,
        ),
        (UrlForm::AzureDeployment, ChatCompletions, "", None, false),
        (
            UrlForm::AzureDeployment,
            ChatCompletions,
            "preview",
            None,
            false,
        ),
        (
            UrlForm::AzureDeployment,
            Embeddings,
            "2024-10-21",
            None,
            false,
        ),
        (
            UrlForm::AzureResource,
            Responses,
            "2025-04-01-preview",
            None,
            false,
        ),
        (UrlForm::AzureV1, ChatCompletions, "", None, true),
        (UrlForm::AzureV1, Responses, "", None, false),
        (UrlForm::OpenAi, Completions, "2023-05-15", None, true),
    ] {
        let query = client(version);
        let asked = reports_usage_when_asked(form, operation, Some(&query), own);
        assert_eq!(asked, expected, "{form:?} {operation:?} {version} {own:?}");
    }
}
