//! What is refused, with which body.

use serde_json::json;
use simulator::Limits;

use crate::{CHAT, V1_CHAT, ask, parsed, post, prompt, resource, start};

#[tokio::test]
async fn refusals_are_the_documented_ones() {
    let running = start(resource().api_key("secret")).await;
    let key = "api-key: secret\r\n";
    let bearer = "authorization: Bearer secret\r\n";
    let unknown = json!({"model": "nope", "messages": []});
    let filtered = prompt("say [[content-filter]]");
    let hi = prompt("hi");
    let cases = [
        ("POST", CHAT, "api-key: wrong\r\n", &hi, 401, "401"),
        ("POST", CHAT, bearer, &hi, 401, "401"),
        ("POST", V1_CHAT, "", &hi, 401, "401"),
        (
            "POST",
            "/openai/deployments/nope/chat/completions?api-version=2024-10-21",
            key,
            &hi,
            404,
            "DeploymentNotFound",
        ),
        ("POST", V1_CHAT, bearer, &unknown, 404, "DeploymentNotFound"),
        (
            "POST",
            "/openai/deployments/gpt-4o/chat/completions",
            key,
            &hi,
            404,
            "404",
        ),
        (
            "POST",
            "/openai/deployments/gpt-4o/chat/completions?api-version=latest",
            key,
            &hi,
            404,
            "404",
        ),
        (
            "POST",
            "/openai/chat/completions?api-version=2024-10-21",
            key,
            &hi,
            404,
            "404",
        ),
        (
            "POST",
            "/openai/v1/chat/completions?api-version=2024-10-21",
            key,
            &hi,
            400,
            "BadRequest",
        ),
        ("POST", CHAT, key, &filtered, 400, "content_filter"),
        (
            "POST",
            CHAT,
            key,
            &json!({}),
            400,
            "missing_required_parameter",
        ),
    ];
    for (method, path, headers, body, status, code) in cases {
        let (head, body) = ask(&running, method, path, headers, body).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {head}"
        );
        assert_eq!(parsed(&body)["error"]["code"], code, "{path}");
        assert_eq!(head.contains("x-ms-region"), status != 401, "{head}");
        assert_eq!(head.contains("PermissionDenied"), status == 401, "{head}");
    }
    let (head, _) = ask(&running, "POST", V1_CHAT, bearer, &hi).await;
    assert!(
        head.starts_with("HTTP/1.1 200 "),
        "a key is a bearer token on v1: {head}"
    );
}

#[tokio::test]
async fn limits_answer_429_and_tell_what_is_left() {
    let running = start(resource()).await;
    let control = running.control();
    let limits = |rpm, tpm, ptu| Limits {
        rpm,
        tpm,
        ptu,
        ..Limits::default()
    };

    control.set_limits(Some("gpt-4o"), &limits(Some(1), Some(1000), false));
    let (head, _) = post(&running, CHAT, &prompt("hi")).await;
    assert!(head.contains("x-ratelimit-remaining-requests: 0"), "{head}");
    assert!(head.contains("x-ratelimit-limit-tokens: 1000"), "{head}");
    let (head, body) = post(&running, CHAT, &prompt("hi")).await;
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    assert!(
        head.contains("retry-after: 60") && head.contains("retry-after-ms: "),
        "{head}"
    );
    let error = &parsed(&body)["error"];
    assert_eq!(error["code"], "429");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.starts_with("Requests to the ChatCompletions_Create Operation"),
        "{message}"
    );
    assert!(message.contains("exceeded call rate limit"), "{message}");

    control.set_limits(Some("gpt-4o"), &limits(None, Some(20), false));
    let (head, body) = post(&running, CHAT, &prompt("hi")).await;
    assert!(
        head.contains("retry-after: 86400") && body.contains("token rate limit"),
        "{head} {body}"
    );

    control.set_limits(None, &limits(None, Some(40), true));
    let heads = [post(&running, CHAT, &prompt("hi")).await.0, {
        post(&running, CHAT, &prompt("hi")).await;
        post(&running, CHAT, &prompt("hi")).await.0
    }];
    assert!(
        heads[0].contains("azure-openai-deployment-utilization: ")
            && !heads[0].contains("x-ratelimit"),
        "{heads:?}"
    );
    assert!(
        heads[1].starts_with("HTTP/1.1 429 ") && heads[1].contains("retry-after-ms: "),
        "{heads:?}"
    );
}
