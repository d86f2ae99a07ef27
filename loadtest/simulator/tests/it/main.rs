//! The simulator over real sockets, byte by byte.

mod answers;
mod faults;
mod identity;
mod refusals;
mod tls;

use std::io;

use serde_json::{Value, json};
use simulator::{Behaviour, Deployment, Resource, Running, Simulator};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CHAT: &str = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";
const V1_CHAT: &str = "/openai/v1/chat/completions";

async fn start(resource: Resource) -> Running {
    Simulator::start(resource).await.expect("a free port")
}

fn resource() -> Resource {
    let behaviour = Behaviour {
        answer_tokens: 3,
        embedding_dimensions: 4,
        ..Behaviour::default()
    };
    let deployment = |name| Deployment::new(name, "gpt-4o").behaviour(behaviour.clone());
    Resource::new("aoi-1")
        .deployment(deployment("gpt-4o"))
        .deployment(deployment("other"))
}

fn prompt(text: &str) -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]})
}

fn streamed(text: &str) -> Value {
    let mut body = prompt(text);
    body["stream"] = json!(true);
    body
}

/// Sends a request and leaves the connection open.
async fn send(running: &Running, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(running.addr())
        .await
        .expect("the simulator listens");
    let request = request(method, path, headers, body);
    socket
        .write_all(request.as_bytes())
        .await
        .expect("the simulator reads");
    socket
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// All that comes back, up to the end of the connection, and how it ended.
async fn raw(
    running: &Running,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (String, io::Result<()>) {
    let headers = format!("connection: close\r\n{headers}");
    let socket = send(running, method, path, &headers, body).await;
    read_all(socket).await
}

async fn read_all(mut socket: impl AsyncRead + Unpin) -> (String, io::Result<()>) {
    let mut answer = Vec::new();
    let end = socket.read_to_end(&mut answer).await.map(drop);
    (String::from_utf8_lossy(&answer).into_owned(), end)
}

/// Head and body of a complete answer.
async fn ask(
    running: &Running,
    method: &str,
    path: &str,
    headers: &str,
    body: &Value,
) -> (String, String) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let (answer, end) = raw(running, method, path, headers, &body).await;
    end.expect("a normal end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    (head.to_owned(), body.to_owned())
}

async fn post(running: &Running, path: &str, body: &Value) -> (String, String) {
    ask(running, "POST", path, "", body).await
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).expect("a JSON body")
}
