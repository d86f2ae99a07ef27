use super::*;

const VERSION: Option<&str> = Some("api-version=2024-10-21");

/// The shape, operation and deployment that a request line is read as, or the status and code of the refusal.
type Read<'a> = Result<(Shape, &'a str, Option<&'a str>), (u16, &'a str)>;

fn assert_post(path: &str, query: Option<&str>, expected: Read<'_>) {
    assert_route(&Method::POST, path, query, false, expected);
}

fn assert_route(
    method: &Method,
    path: &str,
    query: Option<&str>,
    upgrade: bool,
    expected: Read<'_>,
) {
    let route = route(method, path, query, upgrade);
    let read = match &route {
        Ok(Route::Model(target)) => {
            assert_eq!(target.query, query);
            Ok((
                target.shape,
                target.operation.path(),
                target.deployment.as_deref(),
            ))
        }
        Ok(Route::ListModels { shape }) => Ok((*shape, "list models", None)),
        Ok(Route::GetModel { shape, name }) => Ok((*shape, "get model", Some(&**name))),
        Err(error) => Err((error.status, error.code)),
    };
    assert_eq!(
        read, expected,
        "{method} {path} {query:?} upgrade: {upgrade}"
    );
}

#[test]
fn every_operation_is_found_in_each_of_its_shapes_and_in_no_other() {
    for operation in Operation::ALL {
        let op = operation.path();
        let realtime = operation == Operation::Realtime;
        let method = operation.method();
        for (shape, path, query, name_at_realtime) in [
            (
                Shape::Dated,
                format!("/openai/deployments/d/{op}"),
                "api-version=1",
                None,
            ),
            (
                Shape::DatedResource,
                format!("/openai/{op}"),
                "api-version=1&deployment=d",
                Some("d"),
            ),
            (Shape::V1, format!("/openai/v1/{op}"), "model=m", Some("m")),
            (Shape::V1, format!("/v1/{op}"), "model=m", Some("m")),
        ] {
            let name = match shape {
                Shape::Dated => Some("d"),
                Shape::DatedResource | Shape::V1 => name_at_realtime.filter(|_| realtime),
            };
            let expected = if operation.has_shape(shape) {
                Ok((shape, op, name))
            } else {
                Err((404, "unsupported_operation"))
            };
            assert_route(&method, &path, Some(query), realtime, expected);
            assert_route(
                &method,
                &format!("{path}/"),
                Some(query),
                realtime,
                expected,
            );
            let wrong = if realtime { Method::POST } else { Method::GET };
            let refused = expected.and(Err((405, "method_not_allowed")));
            assert_route(&wrong, &path, Some(query), false, refused);
        }
    }
}

#[test]
fn a_deployment_is_decoded_once_and_must_be_a_plain_name() {
    for (segment, expected) in [
        ("gpt-4o", Some("gpt-4o")),
        ("a%20b", Some("a b")),
        ("a%3Ab", Some("a:b")),
        ("gr%C3%B6%C3%9Fe", Some("größe")),
        ("", None),
        (".", None),
        ("..", None),
        ("%2e%2E", None),
        ("a%2Fb", None),
        ("%2F", None),
        ("a\\b", None),
        ("a%5Cb", None),
        ("a%00", None),
        ("a%0d%0ab", None),
        ("a%7F", None),
        ("a%FF", None),
        ("%252e%252e", None),
        ("a%", None),
        ("a%zz", None),
    ] {
        let path = format!("/openai/deployments/{segment}/chat/completions");
        let expected = match expected {
            Some(name) => Ok((Shape::Dated, "chat/completions", Some(name))),
            None => Err((400, "invalid_deployment")),
        };
        assert_post(&path, VERSION, expected);
    }
}

#[test]
fn paths_that_are_not_served_are_refused() {
    for path in [
        "",
        "/",
        "/v1",
        "/v1/",
        "/openai",
        "/openai/v1",
        "/openai/deployments",
        "/openai/deployments/d",
        "/openai/deployments/d/",
        "/openai/deployments/a/b/chat/completions",
        "/openai/deployments/d/models",
        "/openai/deployments/d/batches",
        "/openai/deployments/d/responses",
        "/openai/chat/completions",
        "/chat/completions",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat//completions",
        "/v1/chat/completions//",
        "/v1/../v1/chat/completions",
        "/V1/chat/completions",
        "/v1/chat/completions/chatcmpl-1",
        "/v1/modelsx",
        "/v1/files",
        "/openai/files",
        "/openai/v1/batches/b1",
        "/openai/assistants",
        "/openai/threads/t/runs",
        "/v1/vector_stores",
        "/v1/fine_tuning/jobs",
        "/v1/responses/resp_1",
        "/v1/responses/resp_1/cancel",
        "/v1/conversations",
        "/v1/videos",
        "/v1/realtime/client_secrets",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            assert_route(
                &method,
                path,
                VERSION,
                false,
                Err((404, "unsupported_operation")),
            );
        }
    }
}

#[test]
fn a_refusal_says_whether_state_is_the_reason() {
    for (path, reason) in [
        ("/openai/files", STATEFUL),
        ("/v1/responses/resp_1", STATEFUL),
        ("/v1/rerank", SERVED),
        ("/elsewhere", SERVED),
    ] {
        let error = route(&Method::POST, path, VERSION, false).unwrap_err();
        assert!(
            error.message.contains(path) && error.message.contains(reason),
            "{error}"
        );
    }
}

#[test]
fn dated_paths_need_an_api_version() {
    let missing = Err((400, "missing_api_version"));
    for (path, query, expected) in [
        ("/openai/deployments/d/embeddings", None, missing),
        (
            "/openai/deployments/d/embeddings",
            Some("api-version="),
            missing,
        ),
        (
            "/openai/deployments/d/embeddings",
            Some("version=1"),
            missing,
        ),
        ("/openai/responses", None, missing),
        (
            "/openai/responses",
            VERSION,
            Ok((Shape::DatedResource, "responses", None)),
        ),
        (
            "/openai/v1/responses",
            None,
            Ok((Shape::V1, "responses", None)),
        ),
        ("/v1/responses", None, Ok((Shape::V1, "responses", None))),
    ] {
        assert_post(path, query, expected);
    }
}

#[test]
fn realtime_needs_a_websocket_and_a_model_in_the_query() {
    let dated = "/openai/realtime";
    let v1 = "/v1/realtime";
    for (path, query, upgrade, expected) in [
        (
            v1,
            Some("model=org%2Fm"),
            true,
            Ok((Shape::V1, "realtime", Some("org/m"))),
        ),
        (
            v1,
            Some("model=a&model=b"),
            true,
            Ok((Shape::V1, "realtime", Some("a"))),
        ),
        (v1, Some("model=a"), false, Err((400, "websocket_required"))),
        (v1, Some("deployment=a"), true, Err((400, "missing_model"))),
        (v1, Some("model="), true, Err((400, "missing_model"))),
        (v1, None, true, Err((400, "missing_model"))),
        (v1, Some("model=.."), true, Err((400, "invalid_deployment"))),
        (
            v1,
            Some("model=a%0A"),
            true,
            Err((400, "invalid_deployment")),
        ),
        (
            dated,
            Some("deployment=a"),
            true,
            Err((400, "missing_api_version")),
        ),
        (
            dated,
            Some("api-version=1&model=a"),
            true,
            Err((400, "missing_model")),
        ),
    ] {
        assert_route(&Method::GET, path, query, upgrade, expected);
    }
}

#[test]
fn responses_over_a_websocket_are_refused_with_the_reason() {
    let error = route(&Method::GET, "/openai/v1/responses", None, true).unwrap_err();
    assert_eq!((error.status, error.code), (404, "unsupported_operation"));
    assert!(error.message.contains(RESPONSES_WEBSOCKET));
}

#[test]
fn models_are_listed_and_described_without_an_api_version() {
    for (path, expected) in [
        (
            "/openai/models",
            Ok((Shape::DatedResource, "list models", None)),
        ),
        ("/openai/v1/models", Ok((Shape::V1, "list models", None))),
        ("/v1/models/", Ok((Shape::V1, "list models", None))),
        (
            "/v1/models/gpt-4o",
            Ok((Shape::V1, "get model", Some("gpt-4o"))),
        ),
        (
            "/v1/models/org/m",
            Ok((Shape::V1, "get model", Some("org/m"))),
        ),
        (
            "/openai/v1/models/org%2Fm",
            Ok((Shape::V1, "get model", Some("org/m"))),
        ),
        (
            "/openai/models/gpt-4o",
            Ok((Shape::DatedResource, "get model", Some("gpt-4o"))),
        ),
        ("/v1/models/..", Err((404, "model_not_found"))),
    ] {
        assert_route(&Method::GET, path, None, false, expected);
    }
    for path in ["/v1/models", "/v1/models/gpt-4o"] {
        assert_route(
            &Method::DELETE,
            path,
            None,
            false,
            Err((405, "method_not_allowed")),
        );
    }
}

#[test]
fn a_wrong_method_is_told_the_right_one() {
    for (method, path, allow) in [
        (Method::GET, "/v1/embeddings", "POST"),
        (Method::POST, "/v1/models", "GET"),
        (Method::POST, "/v1/realtime", "GET"),
    ] {
        let error = route(&method, path, None, false).unwrap_err();
        assert_eq!(error.allow, Some(allow), "{method} {path}");
    }
}
