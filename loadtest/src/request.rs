//! The requests that are sent: prebuilt bytes, the same for every target.

use crate::http2::Message;

const SHORT: &str = r#","max_tokens":1"#;
/// A system prompt and a question, as short requests to a chat model are.
const MESSAGES: &str = r#""messages":[{"role":"system","content":"You are a helpful assistant of a support team. Answer in the language of the question, in at most three sentences, and say so when you do not know. Never invent order numbers, dates or prices."},{"role":"user","content":"Our delivery of last Tuesday is still not here and the tracking page shows nothing new since Friday. The carrier does not pick up the phone. What can we do now?"}],"temperature":0.2"#;

fn stream_of(tokens: u64) -> String {
    format!(r#","stream":true,"max_tokens":{tokens}"#)
}

fn chat_body(more: &str) -> String {
    format!("{{{MESSAGES}{more}}}")
}

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `host:port`
    pub(crate) authority: String,
    pub(crate) model: String,
    pub(crate) key: String,
}

impl Target {
    /// `url` is `http://host:port`, without a path.
    ///
    /// # Errors
    /// It is another kind of URL.
    pub(crate) fn new(url: &str, model: &str, key: &str) -> anyhow::Result<Self> {
        let authority = url
            .trim_end_matches('/')
            .strip_prefix("http://")
            .filter(|rest| !rest.contains('/') && rest.contains(':'));
        let Some(authority) = authority else {
            anyhow::bail!("{url}: expected http://host:port");
        };
        Ok(Self {
            authority: authority.to_owned(),
            model: model.to_owned(),
            key: key.to_owned(),
        })
    }

    /// A chat request, answered as a whole.
    pub(crate) fn unary(&self) -> Vec<u8> {
        self.chat("")
    }

    /// The same, answered as a stream of events.
    pub(crate) fn streamed(&self) -> Vec<u8> {
        self.chat(r#","stream":true,"stream_options":{"include_usage":true}"#)
    }

    /// The same, answered as soon as can be.
    pub(crate) fn short(&self) -> Vec<u8> {
        self.chat(SHORT)
    }

    /// A stream of so many tokens.
    pub(crate) fn stream_of(&self, tokens: u64) -> Vec<u8> {
        self.chat(&stream_of(tokens))
    }

    fn chat(&self, more: &str) -> Vec<u8> {
        self.post(&self.chat_path(), &chat_body(more))
    }

    /// In the dated shape.
    fn chat_path(&self) -> String {
        format!(
            "/openai/deployments/{}/chat/completions?api-version=2024-10-21",
            self.model
        )
    }

    /// For HTTP/2; otherwise as [`short`](Self::short).
    pub(crate) fn short_http2(&self) -> Message {
        self.chat_http2(SHORT, false)
    }

    /// For HTTP/2; otherwise as [`stream_of`](Self::stream_of).
    pub(crate) fn stream_of_http2(&self, tokens: u64) -> Message {
        self.chat_http2(&stream_of(tokens), true)
    }

    fn chat_http2(&self, more: &str, streamed: bool) -> Message {
        let body = chat_body(more);
        let uri = format!("http://{}{}", self.authority, self.chat_path());
        let head = http::Request::post(uri)
            .header("api-key", &self.key)
            .header("user-agent", "loadtest")
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .body(())
            .expect("an authority, a model and a key as in a URL");
        Message {
            head,
            body: body.into(),
            streamed,
        }
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Vec<u8> {
        let (authority, key, length) = (&self.authority, &self.key, body.len());
        format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\napi-key: {key}\r\nuser-agent: loadtest\r\n\
             accept: application/json\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.authority).into_bytes()
    }
}
