//! The gateway as a process. Signals and orders reach it as an operator sends them.

mod command_line;
mod hand_over;
mod reload;
mod status;
mod stop;
mod systemd;
mod terminal;

use reqwest::Response;
use simulator::Action;

use crate::support::{CHAT, Fleet, Seen, client, provider::STREAM};

const GPT: &str = "gpt-4o";

/// A streamed chat whose head has come.
async fn stream(fleet: &Fleet) -> Response {
    client()
        .post(fleet.chat_url(GPT))
        .header("content-type", "application/json")
        .body(STREAM)
        .send()
        .await
        .expect("the gateway answers")
}

/// A chat request as its bytes, for connections that a test opens itself.
fn raw_chat(model: &str) -> String {
    format!(
        "POST /openai/deployments/{model}/chat/completions?api-version=2024-10-21 HTTP/1.1\r\n\
         host: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{CHAT}",
        CHAT.len()
    )
}

/// The stream comes to its own end.
async fn assert_whole(stream: Response) {
    let seen = Seen::read(stream).await;
    assert!(
        seen.complete && seen.text().ends_with("data: [DONE]\n\n"),
        "{seen:?}"
    );
}

/// A 429 that names the time to stay away, seconds.
fn throttled_for(seconds: &str) -> Action {
    Action::Status {
        status: 429,
        headers: [("retry-after".to_owned(), seconds.to_owned())].into(),
        body: None,
    }
}
