//! Requests that two HTTP parsers could read differently, over raw sockets.

use super::{PATH, connections};
use crate::support::{CHAT, Fleet, raw};

/// The head of a good request, to be spoilt.
fn head(lines: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\ncontent-type: application/json\r\n{lines}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_two_parsers_could_read_differently_are_refused() {
    let fleet = Fleet::start("").await;
    let length = CHAT.len();
    let body = format!("content-length: {length}\r\n");
    let chunks = format!("{length:x}\r\n{CHAT}\r\n0\r\n\r\n");
    let host = "host: g\r\n";
    let chunked = "transfer-encoding: chunked\r\n";
    let get = |start: &str, lines: &str| format!("{start} HTTP/1.1\r\n{lines}\r\n");
    let spoilt = [
        (
            "length and chunked",
            head(&format!("{host}{body}{chunked}")) + &chunks,
        ),
        (
            "chunked and length",
            head(&format!("{host}{chunked}content-length: 3\r\n")) + &chunks,
        ),
        (
            "the same length twice",
            head(&format!("{host}{body}{body}")) + CHAT,
        ),
        (
            "two lengths",
            head(&format!("{host}{body}content-length: 3\r\n")) + CHAT,
        ),
        (
            "a list of lengths",
            head(&format!("{host}content-length: {length}, {length}\r\n")) + CHAT,
        ),
        (
            "a length with a sign",
            head(&format!("{host}content-length: +{length}\r\n")) + CHAT,
        ),
        (
            "a negative length",
            head(&format!("{host}content-length: -1\r\n")) + CHAT,
        ),
        (
            "a length in hexadecimal",
            head(&format!("{host}content-length: 0x10\r\n")) + CHAT,
        ),
        ("no host", head(&body) + CHAT),
        ("two hosts", head(&format!("{host}{host}{body}")) + CHAT),
        (
            "a host with a space",
            head(&format!("host: a b\r\n{body}")) + CHAT,
        ),
        (
            "a host with a slash",
            head(&format!("host: a/b\r\n{body}")) + CHAT,
        ),
        (
            "a host with a comma",
            head(&format!("host: a,b\r\n{body}")) + CHAT,
        ),
        (
            "chunked twice",
            head(&format!("{host}{chunked}{chunked}")) + &chunks,
        ),
        (
            "a list of encodings",
            head(&format!("{host}transfer-encoding: gzip, chunked\r\n")) + &chunks,
        ),
        (
            "chunked, chunked",
            head(&format!("{host}transfer-encoding: chunked, chunked\r\n")) + &chunks,
        ),
        (
            "an unknown encoding",
            head(&format!("{host}transfer-encoding: cow\r\n")) + &chunks,
        ),
        (
            "identity",
            head(&format!("{host}transfer-encoding: identity\r\n")) + CHAT,
        ),
        (
            "chunked with a tab",
            head(&format!("{host}transfer-encoding: \x0bchunked\r\n")) + &chunks,
        ),
        (
            "a space before the colon",
            head(&format!("{host}transfer-encoding : chunked\r\n")) + &chunks,
        ),
        (
            "a folded line",
            head(&format!("{host}x: a\r\n b\r\n{body}")) + CHAT,
        ),
        (
            "a NUL in a header",
            head(&format!("{host}x: a\0b\r\n{body}")) + CHAT,
        ),
        (
            "a bare CR in a header",
            head(&format!("{host}x: a\rb\r\n{body}")) + CHAT,
        ),
        ("TRACE", get(&format!("TRACE {PATH}"), host)),
        ("CONNECT", get("CONNECT g:443", host)),
        (
            "a method in lower case",
            head(&format!("{host}{body}")).replacen("POST", "post", 1) + CHAT,
        ),
        (
            "an unknown method",
            head(&format!("{host}{body}")).replacen("POST", "BREW", 1) + CHAT,
        ),
        (
            "a chunk size that is none",
            head(&format!("{host}{chunked}")) + "xyz\r\n" + &chunks,
        ),
        (
            "no chunk size",
            head(&format!("{host}{chunked}")) + "\r\n" + &chunks,
        ),
        (
            "a chunk size with a sign",
            head(&format!("{host}{chunked}")) + "+" + &chunks,
        ),
        (
            "a chunk longer than said",
            head(&format!("{host}{chunked}")) + &chunks.replacen(&format!("{length:x}"), "5", 1),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, request) in &spoilt {
        // Closed by the gateway, or answered; a request that is waited for would end in neither.
        let answer = raw(fleet.gateway.address, request.as_bytes(), |got| {
            got.contains("\r\n\r\n")
        })
        .await;
        if !(answer.starts_with("HTTP/1.1 4")
            || answer.starts_with("HTTP/1.0 4")
            || answer.is_empty())
        {
            wrong.push(format!("{name}: {answer}"));
        }
    }
    let reached = connections(&fleet);
    assert!(
        wrong.is_empty() && reached == 0,
        "{reached} reached:\n{}",
        wrong.join("\n")
    );
    let good = head(&format!("{host}connection: close\r\n{body}")) + CHAT;
    let answer = raw(fleet.gateway.address, good.as_bytes(), |_| false).await;
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "the frame of these requests is good: {answer}"
    );
}
