//! The requests that are sent: prebuilt bytes, the same for every target.

/// A system prompt and a question, as short requests to a chat model are.
const MESSAGES: &str = r#""messages":[{"role":"system","content":"You are a helpful assistant of a support team. Answer in the language of the question, in at most three sentences, and say so when you do not know. Never invent order numbers, dates or prices."},{"role":"user","content":"Our delivery of last Tuesday is still not here and the tracking page shows nothing new since Friday. The carrier does not pick up the phone. What can we do now?"}],"temperature":0.2"#;

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
    pub(crate) fn warm_up(&self) -> Vec<u8> {
        self.chat(r#","max_tokens":1"#)
    }

    /// In the dated shape.
    fn chat(&self, more: &str) -> Vec<u8> {
        let path = format!(
            "/openai/deployments/{}/chat/completions?api-version=2024-10-21",
            self.model
        );
        self.post(&path, &format!("{{{MESSAGES}{more}}}"))
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
