//! What is sent over the wire, and what becomes of the answers: one server for raw answers.

use std::{path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::super::{FetchError, Tokens, fetch, schedule::Retry};
use crate::{
    auth::files,
    clock::now,
    config::compiled::{Flow, IdentityId, Platform, TokenSource},
    ids::CredentialName,
    secret::Secret,
};

const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
const GRANT: &str = r#"{"access_token":"eyJ.a.b","expires_in":"3599","token_type":"Bearer"}"#;
const SECRET: &str = "s3cret~of.the/app=";

/// Gives one answer to each connection, and keeps what it was sent.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// An empty answer is one that does not come: time runs as soon as the request is there.
    async fn new(answers: impl IntoIterator<Item = String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<String> = answers.into_iter().collect();
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                while !is_whole(&bytes) {
                    assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
                }
                seen.lock().push(String::from_utf8(bytes).unwrap());
                if answer.is_empty() {
                    tokio::time::pause();
                    std::future::pending::<()>().await;
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self {
            url,
            requests,
            task,
        }
    }

    async fn json(status: u16, body: &str) -> Self {
        Self::new([answer(status, "", body)]).await
    }

    /// The requests so far: first line, headers that matter, body.
    fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock();
        let shortened = requests.iter().map(|request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            let ours = head.lines().filter(|line| {
                !["host:", "accept:", "content-length:"]
                    .iter()
                    .any(|name| line.starts_with(name))
            });
            let mut lines: Vec<&str> = ours.collect();
            lines[1..].sort_unstable();
            lines.push(body);
            lines.join("\n").trim_end().to_owned()
        });
        shortened.collect()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = std::str::from_utf8(request).unwrap();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\n\
         {headers}content-length: {length}\r\n\r\n{body}"
    )
}

const AGENT: &str = concat!("user-agent: tokenweir/", env!("CARGO_PKG_VERSION"));

fn managed(platform: Platform, identity: IdentityId) -> TokenSource {
    TokenSource {
        flow: Flow::ManagedIdentity { platform, identity },
        scope: SCOPE.into(),
    }
}

fn imds(server: &Server) -> TokenSource {
    let url = format!("{}/metadata/identity/oauth2/token", server.url);
    managed(Platform::Imds { url: url.into() }, IdentityId::System)
}

fn arc(server: &Server, folder: &Path) -> TokenSource {
    let platform = Platform::Arc {
        url: format!("{}/arc", server.url).into(),
        key_directory: folder.into(),
    };
    managed(platform, IdentityId::System)
}

fn client_secret(server: &Server) -> TokenSource {
    TokenSource {
        flow: Flow::ClientSecret {
            authority: server.url.as_str().into(),
            tenant: "contoso".into(),
            client_id: "an-app".into(),
            secret: Secret::new(SECRET.to_owned()),
        },
        scope: SCOPE.into(),
    }
}

async fn error(source: &TokenSource) -> FetchError {
    let error = fetch(source).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    for secret in [SECRET, "eyJ", "s3cret", "key-file-content"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    error
}

#[tokio::test]
async fn imds_is_asked_as_documented() {
    let resource = "resource=https%3A%2F%2Fcognitiveservices.azure.com";
    for (identity, parameter) in [
        (IdentityId::System, ""),
        (IdentityId::ClientId("c-1".into()), "&client_id=c-1"),
        (IdentityId::ObjectId("o-1".into()), "&object_id=o-1"),
        (
            IdentityId::ResourceId("/r/1".into()),
            "&msi_res_id=%2Fr%2F1",
        ),
    ] {
        let server = Server::json(200, GRANT).await;
        let url = format!("{}/metadata/identity/oauth2/token", server.url).into();
        let fetched = fetch(&managed(Platform::Imds { url }, identity))
            .await
            .unwrap();
        assert_eq!(fetched.token.expose(), "eyJ.a.b");
        assert_eq!(fetched.lifetime, Duration::from_secs(3599));
        assert_eq!(fetched.answered_by, format!("IMDS at {}", server.url));
        let path = "/metadata/identity/oauth2/token?api-version=2018-02-01";
        assert_eq!(
            server.requests(),
            [format!(
                "GET {path}&{resource}{parameter} HTTP/1.1\nmetadata: true\n{AGENT}"
            )]
        );
    }
}

#[tokio::test]
async fn a_token_that_was_fetched_can_be_sent_and_kept() {
    let server = Server::json(200, GRANT).await;
    let tokens = Tokens::default();
    let token = tokens.token(&CredentialName::new("azure").unwrap(), &imds(&server));
    tokens.warm_up(Duration::from_secs(10)).await;
    assert_eq!(token.header().unwrap(), "Bearer eyJ.a.b");
    assert_eq!(tokens.kept().len(), 1);
    let left = token.report(now()).expires_in.unwrap();
    assert!(left > Duration::from_secs(3500), "{left:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn app_service_is_asked_as_documented() {
    for (identity, parameter) in [
        (IdentityId::System, ""),
        (IdentityId::ClientId("c-1".into()), "&client_id=c-1"),
        (IdentityId::ObjectId("o-1".into()), "&principal_id=o-1"),
        (IdentityId::ResourceId("r-1".into()), "&mi_res_id=r-1"),
    ] {
        let body = r#"{"access_token":"eyJ.a.b","expires_on":"32503680000"}"#;
        let server = Server::json(200, body).await;
        let platform = Platform::AppService {
            url: format!("{}/msi/token", server.url).into(),
            header: Secret::new(SECRET.to_owned()),
        };
        fetch(&managed(platform, identity)).await.unwrap();
        let query = "api-version=2019-08-01&resource=https%3A%2F%2Fcognitiveservices.azure.com";
        assert_eq!(
            server.requests(),
            [format!(
                "GET /msi/token?{query}{parameter} HTTP/1.1\n{AGENT}\nx-identity-header: {SECRET}"
            )]
        );
    }
}

fn challenge(path: &str) -> String {
    answer(
        401,
        &format!("www-authenticate: Basic realm={path}\r\n"),
        "",
    )
}

async fn write(path: &Path, content: &str) {
    files::write_atomically(path, content.into(), 0o600)
        .await
        .unwrap();
}

async fn key(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    write(&path, content).await;
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn arc_is_shown_the_file_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = key(folder.path(), "x.key", "key-file-content").await;
    let server = Server::new([challenge(&path), answer(200, "", GRANT)]).await;
    let fetched = fetch(&arc(&server, folder.path())).await.unwrap();
    assert_eq!(
        fetched.answered_by,
        format!("the Azure Arc agent at {}", server.url)
    );
    let query = "api-version=2020-06-01&resource=https%3A%2F%2Fcognitiveservices.azure.com";
    let first = format!("GET /arc?{query} HTTP/1.1");
    assert_eq!(
        server.requests(),
        [
            format!("{first}\nmetadata: true\n{AGENT}"),
            format!("{first}\nauthorization: Basic key-file-content\nmetadata: true\n{AGENT}"),
        ]
    );
}

#[tokio::test]
async fn arc_is_shown_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let below = tempfile::tempdir_in(folder.path()).unwrap();
    let keys = below.path().to_owned();
    let outside = key(folder.path(), "outside.key", "key-file-content").await;
    std::os::unix::fs::symlink(&outside, keys.join("link.key")).unwrap();
    let climbing = format!("{}/../outside.key", keys.display());
    let link = format!("{}/link.key", keys.display());
    let cases = [
        (challenge(&outside), "not below"),
        (challenge(&climbing), "not below"),
        (challenge(&link), "not below"),
        (challenge("/etc/shadow"), "no .key file"),
        (
            challenge(&format!("{}/none.key", keys.display())),
            "cannot be read",
        ),
        (
            challenge(&key(&keys, "x.txt", "key-file-content").await),
            "no .key file",
        ),
        (
            challenge(&key(&keys, "large.key", &"x".repeat(4097)).await),
            "larger than 4096",
        ),
        (
            challenge(&key(&keys, "lines.key", "a\nb").await),
            "does not fit a header",
        ),
        (answer(401, "", ""), "named no file"),
        (
            answer(401, "www-authenticate: Bearer\r\n", ""),
            "named no file",
        ),
    ];
    for (answer, expected) in cases {
        let server = Server::new([answer]).await;
        let error = error(&arc(&server, &keys)).await.to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(server.requests().len(), 1, "{error}");
    }
}

#[tokio::test]
async fn arc_that_refuses_the_file_or_is_asked_for_another_identity_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = key(folder.path(), "x.key", "key-file-content").await;
    let echo = answer(403, "", r#"{"error":"key-file-content"}"#);
    let server = Server::new([challenge(&path), echo]).await;
    let mut source = arc(&server, folder.path());
    let text = error(&source).await.to_string();
    assert!(text.ends_with("answered 403, (redacted)"), "{text}");
    if let Flow::ManagedIdentity { identity, .. } = &mut source.flow {
        *identity = IdentityId::ClientId("c-1".into());
    }
    let error = error(&source).await;
    assert!(error.to_string().contains("leave out client_id"), "{error}");
    assert_eq!(error.retry(), Retry::Permanent);
}

#[tokio::test]
async fn a_client_secret_is_exchanged_as_documented() {
    let body =
        r#"{"token_type":"Bearer","expires_in":3599,"refresh_in":1800,"access_token":"eyJ.a.b"}"#;
    let server = Server::json(200, body).await;
    let fetched = fetch(&client_secret(&server)).await.unwrap();
    assert_eq!(fetched.refresh_in, Some(Duration::from_secs(1800)));
    assert_eq!(
        fetched.answered_by,
        format!("Entra at {}/contoso", server.url)
    );
    assert_eq!(
        server.requests(),
        [format!(
            "POST /contoso/oauth2/v2.0/token HTTP/1.1\n\
             content-type: application/x-www-form-urlencoded\n{AGENT}\n\
             grant_type=client_credentials&client_id=an-app\
             &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default\
             &client_secret=s3cret%7Eof.the%2Fapp%3D"
        )]
    );
}

#[tokio::test]
async fn the_token_of_a_workload_is_read_again_for_each_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let server = Server::new([answer(200, "", GRANT), answer(200, "", GRANT)]).await;
    let source = TokenSource {
        flow: Flow::WorkloadIdentity {
            authority: server.url.as_str().into(),
            tenant: "contoso".into(),
            client_id: "an-app".into(),
            token_file: file.as_path().into(),
        },
        scope: SCOPE.into(),
    };
    let absent = error(&source).await;
    assert_eq!(absent.retry(), Retry::Backoff);
    assert!(absent.to_string().contains(file.to_str().unwrap()));
    for assertion in ["eyJ.first", "eyJ.second"] {
        write(&file, &format!("{assertion}\n")).await;
        fetch(&source).await.unwrap();
        let request = server.requests().pop().unwrap();
        let expected = format!(
            "\ngrant_type=client_credentials&client_id=an-app\
             &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion={assertion}"
        );
        assert!(request.ends_with(&expected), "{request}");
    }
    write(&file, "\n").await;
    assert!(error(&source).await.to_string().contains("holds no token"));
}

#[tokio::test]
async fn an_error_of_a_metadata_service_says_what_to_do() {
    let several = r#"{"error":"invalid_request","error_description":"Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request"}"#;
    let none = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
    let wait = "retry-after: 7\r\n";
    let after = Retry::After(Duration::from_secs(7));
    for (answer, expected, retry) in [
        (answer(400, "", several), "set client_id", Retry::Permanent),
        (
            answer(400, "", none),
            "assign a managed identity",
            Retry::Permanent,
        ),
        (answer(404, "", ""), "answered 404", Retry::Backoff),
        (answer(410, "", ""), "answered 410", Retry::Updating),
        (answer(429, wait, "{}"), "answered 429", after),
        (answer(500, "", "eyJ"), "answered 500", Retry::Backoff),
        (
            answer(302, "location: /login\r\n", ""),
            "answered 302",
            Retry::Permanent,
        ),
        (answer(200, "", "<html>"), "is no JSON", Retry::Backoff),
        (
            answer(200, "", &GRANT.replace("3599", "0")),
            "expired already",
            Retry::Backoff,
        ),
        (
            answer(200, "", &" ".repeat(65_537)),
            "more than 65536 bytes",
            Retry::Backoff,
        ),
        (
            answer(200, "", GRANT).replace("length: ", "length: 9"),
            "broke off",
            Retry::Backoff,
        ),
        ("no HTTP\r\n\r\n".to_owned(), "broke off", Retry::Backoff),
    ] {
        let server = Server::new([answer]).await;
        let error = error(&imds(&server)).await;
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("IMDS at {} ", server.url)),
            "{text}"
        );
        assert!(text.contains(expected), "{text}");
        assert_eq!(error.retry(), retry, "{text}");
        assert_eq!(server.requests().len(), 1, "{text}");
    }
}

#[tokio::test]
async fn an_error_of_entra_is_shown_by_its_code_and_without_the_secret() {
    let echo = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret SECRET. Trace ID: 1","error_codes":[7000215]}"#;
    let server = Server::json(401, &echo.replace("SECRET", SECRET)).await;
    let error = error(&client_secret(&server)).await;
    assert_eq!(
        error.to_string(),
        format!(
            "Entra at {}/contoso answered 401, invalid_client: AADSTS7000215: Invalid client secret \
             (redacted).; give the value of the client secret, not its id",
            server.url
        )
    );
    assert_eq!(error.retry(), Retry::Permanent);
}

#[tokio::test]
async fn whoever_is_not_there_or_slow_is_named() {
    let mut server = Server::new([]).await;
    (&mut server.task).await.unwrap();
    let text = error(&imds(&server)).await.to_string();
    let expected = format!("IMDS at {} could not be reached", server.url);
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.ends_with("may its processes reach IMDS?"), "{text}");

    let server = Server::new([String::new()]).await;
    let text = error(&imds(&server)).await.to_string();
    let expected = format!("IMDS at {} did not answer within 15 s; ", server.url);
    assert!(text.starts_with(&expected), "{text}");
}
