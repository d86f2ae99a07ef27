//! Keys where a browser can put them: it opens a WebSocket and sets no header.

use super::*;
use crate::support::raw;

const SECOND: &str = "canary-of-team-b";

/// Status and code of the answer to an upgrade.
async fn upgrade(stage: &Stage, query: &str, headers: &str) -> (u16, String) {
    let request = format!(
        "GET /v1/realtime?model={GPT}{query} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    let is_whole = |text: &str| {
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some(head.contains(" 101 ") || body.ends_with('}'))
    };
    let answer = raw(stage.fleet.gateway.address, request.as_bytes(), |text| {
        is_whole(text).unwrap_or(false)
    });
    let answer = answer.await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let code = body["error"]["code"].as_str().unwrap_or_default();
    (head[9..12].parse().unwrap(), code.to_owned())
}

fn offered(key: &str) -> String {
    format!("sec-websocket-protocol: realtime, openai-insecure-api-key.{key}\r\n")
}

fn parameter(key: &str) -> String {
    format!("&api-key={key}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_its_key_where_it_can() {
    let stage = Stage::new().await;
    let header = format!("api-key: {KEY}\r\n");
    let accepted = [
        (String::new(), offered(KEY)),
        (parameter(KEY), String::new()),
        (parameter(KEY), offered(KEY)),
        (parameter(KEY), header.clone()),
        (String::new(), offered(KEY) + &header),
        (String::new(), offered(&stage.token())),
    ];
    for (query, headers) in &accepted {
        let answer = upgrade(&stage, query, headers).await;
        assert_eq!(answer, (101, String::new()), "{query} {headers}");
    }
    for number in 1..=3 {
        let last = stage.fleet.aoi(number).last(GPT);
        let last = last.map(|last| format!("{last:?}")).unwrap_or_default();
        assert!(!last.contains("canary"), "{last}");
    }
    let served = stage.served();
    assert_eq!(served, 6);

    let wrong = "canary-of-nobody";
    let refused = |status, code: &str| (status, code.to_owned());
    let (invalid, both) = ("invalid_api_key", "conflicting_credentials");
    for (query, headers, expected) in [
        (
            String::new(),
            String::new(),
            refused(401, "missing_api_key"),
        ),
        (String::new(), offered(wrong), refused(401, invalid)),
        (parameter(wrong), String::new(), refused(401, invalid)),
        (parameter(wrong), header.clone(), refused(400, both)),
        (String::new(), offered(wrong) + &header, refused(400, both)),
        (String::new(), offered(SECOND) + &header, refused(400, both)),
        (parameter(SECOND), offered(KEY), refused(400, both)),
        (parameter(wrong), offered(KEY), refused(400, both)),
        (parameter(KEY), offered(wrong), refused(400, both)),
    ] {
        let answer = upgrade(&stage, &query, &headers).await;
        assert_eq!(answer, expected, "{query} {headers}");
    }
    assert_eq!(stage.served(), served);
}
