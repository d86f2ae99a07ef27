use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, UnixListener},
};

use super::*;

/// Answers one request; its head.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    status: &str,
    body: &str,
) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn an_answer_of_the_socket_is_told_from_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let gateway = Gateway::Socket(path);
    let next = async |status, body: &str| {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream, status, body).await
    };
    let status = gateway.ask(Method::GET, "/status", Vec::new());
    let (seen, asked) = tokio::join!(status, next("200 OK", "[1]"));
    let seen = seen.unwrap();
    assert_eq!(understood::<Vec<u8>>(&seen).unwrap(), [1]);
    assert!(asked.starts_with("GET /status HTTP/1.1\r\n"), "{asked}");
    let error = understood::<String>(&seen).unwrap_err().to_string();
    assert!(error.contains("another version"), "{error}");

    let order = gateway.ask(Method::POST, "/endpoints/a%2Fb/disable", Vec::new());
    let refusal = r#"{"reason":"there is no endpoint a/b"}"#;
    let (done, asked) = tokio::join!(order, next("404 Not Found", refusal));
    assert_eq!(done.unwrap_err().to_string(), "there is no endpoint a/b");
    assert!(
        asked.starts_with("POST /endpoints/a%2Fb/disable HTTP/1.1\r\n"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_listener_is_shown_the_token_below_the_path_of_its_url() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let url = listener(&format!("http://{address}/tokenweir/?a#status")).unwrap();
    for (token, said) in [(Some("open-sesame"), "is not"), (None, "wants")] {
        let gateway = Gateway::Listener {
            url: url.clone(),
            token: token.map(|token| Secret::new(token.to_owned())),
        };
        let next = async || {
            let (stream, _) = socket.accept().await.unwrap();
            answer(stream, "401 Unauthorized", "").await
        };
        let status = gateway.ask(Method::GET, "/status", Vec::new());
        let (seen, asked) = tokio::join!(status, next());
        let head = "GET /tokenweir/status HTTP/1.1\r\n";
        assert!(asked.starts_with(head), "{asked}");
        let shown = asked.contains("authorization: Bearer open-sesame\r\n");
        assert_eq!(shown, token.is_some(), "{asked}");
        let error = seen.unwrap_err().to_string();
        assert!(
            error.contains(said) && error.contains("--token-file") && !error.contains("sesame"),
            "{error}"
        );
    }
}

#[test]
fn a_url_is_an_address_and_no_place_for_secrets() {
    for (text, error) in [
        ("127.0.0.1:9090", "relative URL"),
        ("file:///a", "must begin with http"),
        ("http://:secret@127.0.0.1", "use --token-file"),
    ] {
        let said = listener(text).unwrap_err();
        assert!(said.contains(error) && !said.contains("secret"), "{said}");
    }
}

#[test]
fn names_are_quoted_as_far_as_they_need_it() {
    assert_eq!(quoted("aoi-1.west_2~").to_string(), "aoi-1.west_2~");
    assert_eq!(quoted("a/b?c ä").to_string(), "a%2Fb%3Fc%20%C3%A4");
}
