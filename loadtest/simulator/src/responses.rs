//! The responses API: unary, streamed, in the background, and remembered.

use bytes::Bytes;

use crate::answer::{Answer, Dialect, Script, Unary};
use crate::errors::{Refusal, missing_parameter, previous_response_not_found};
use crate::state::{Call, Shared};
use crate::stats::Usage;
use crate::text::{answer, fresh_id, quoted, token, unix_seconds};
use crate::tools::{ARGUMENT_PIECES, called};

pub(crate) fn create(shared: &Shared, call: &Call<'_>) -> Result<Answer, Refusal> {
    if call.fields.input.is_none() {
        return Err(missing_parameter("input"));
    }
    if let Some(previous) = call.fields.previous_response_id.as_deref()
        && !shared.responses.lock().contains(previous)
    {
        return Err(previous_response_not_found(previous));
    }
    let draft = Draft::new(call);
    if call.fields.store() {
        let body = Bytes::from(draft.finished());
        shared.responses.lock().insert(draft.id.clone(), body);
    }
    Ok(if call.fields.stream() {
        Answer::Stream(draft.stream(call.fields.background()))
    } else if call.fields.background() {
        Unary::json(draft.object("queued", "", "null"), Usage::default())
    } else {
        Unary::generated(draft.finished(), draft.usage)
    })
}

/// What is known of a response before it is told.
struct Draft {
    id: String,
    item_id: String,
    call_id: String,
    created: String,
    model: String,
    previous: String,
    background: bool,
    store: bool,
    tool: Option<String>,
    usage: Usage,
    truncated: bool,
}

impl Draft {
    fn new(call: &Call<'_>) -> Self {
        let tool = called(call.fields);
        Self {
            id: fresh_id("resp_"),
            item_id: fresh_id(if tool.is_some() { "fc_" } else { "msg_" }),
            call_id: fresh_id("call_"),
            created: unix_seconds(),
            model: quoted(&call.deployment.spec.name),
            previous: call
                .fields
                .previous_response_id
                .as_deref()
                .map_or_else(|| "null".to_owned(), quoted),
            background: call.fields.background(),
            store: call.fields.store(),
            usage: call.usage(),
            truncated: tool.is_none() && call.is_truncated(),
            tool,
        }
    }

    fn object(&self, status: &str, output: &str, usage: &str) -> String {
        let details = match status {
            "incomplete" => r#"{"reason":"max_output_tokens"}"#,
            _ => "null",
        };
        let flag = |value| if value { "true" } else { "false" };
        [
            r#"{"id":""#,
            &self.id,
            r#"","object":"response","created_at":"#,
            &self.created,
            r#","status":""#,
            status,
            r#"","background":"#,
            flag(self.background),
            r#","error":null,"incomplete_details":"#,
            details,
            r#","instructions":null,"max_output_tokens":null,"max_tool_calls":null,"metadata":{},"model":"#,
            &self.model,
            r#","output":["#,
            output,
            r#"],"parallel_tool_calls":true,"previous_response_id":"#,
            &self.previous,
            r#","reasoning":{"effort":null,"summary":null},"service_tier":"default","store":"#,
            flag(self.store),
            r#","temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"#,
            r#""truncation":"disabled","usage":"#,
            usage,
            r#","user":null}"#,
        ]
        .concat()
    }

    fn final_status(&self) -> &'static str {
        if self.truncated {
            "incomplete"
        } else {
            "completed"
        }
    }

    fn finished(&self) -> String {
        let usage = format!(
            concat!(
                r#"{{"input_tokens":{},"input_tokens_details":{{"cached_tokens":0}},"output_tokens":{},"#,
                r#""output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}}"#
            ),
            self.usage.prompt,
            self.usage.completion,
            self.usage.total()
        );
        self.object(self.final_status(), &self.finished_item(), &usage)
    }

    fn finished_item(&self) -> String {
        match self.tool {
            Some(_) => self.item("completed", &ARGUMENT_PIECES.concat()),
            None => self.item(
                self.final_status(),
                &Self::part(&answer(self.usage.completion)),
            ),
        }
    }

    /// The output item with its arguments or its content parts.
    fn item(&self, status: &str, content: &str) -> String {
        let head = [
            r#"{"id":""#,
            &self.item_id,
            r#"","status":""#,
            status,
            r#"","type":"#,
        ]
        .concat();
        match &self.tool {
            Some(name) => [
                &head,
                r#""function_call","arguments":""#,
                content,
                r#"","call_id":""#,
                &self.call_id,
                r#"","name":"#,
                name,
                "}",
            ]
            .concat(),
            None => [
                &head,
                r#""message","content":["#,
                content,
                r#"],"role":"assistant"}"#,
            ]
            .concat(),
        }
    }

    fn part(text: &str) -> String {
        [
            r#"{"type":"output_text","annotations":[],"logprobs":[],"text":""#,
            text,
            r#""}"#,
        ]
        .concat()
    }

    fn stream(&self, background: bool) -> Script {
        let mut events = Events {
            script: Script::new(Dialect::Responses, self.usage),
            sequence: 0,
        };
        let response = |object: String| [r#""response":"#, &object].concat();
        let first = if background { "queued" } else { "in_progress" };
        events.event(
            "response.created",
            &[&response(self.object(first, "", "null"))],
        );
        if background {
            events.event(
                "response.queued",
                &[&response(self.object("queued", "", "null"))],
            );
        }
        events.event(
            "response.in_progress",
            &[&response(self.object("in_progress", "", "null"))],
        );
        let added = self.item("in_progress", "");
        events.event(
            "response.output_item.added",
            &[r#""output_index":0,"item":"#, &added],
        );
        match self.tool {
            Some(_) => self.stream_arguments(&mut events),
            None => self.stream_text(&mut events),
        }
        events.event(
            "response.output_item.done",
            &[r#""output_index":0,"item":"#, &self.finished_item()],
        );
        let last = if self.truncated {
            "response.incomplete"
        } else {
            "response.completed"
        };
        events.event(last, &[&response(self.finished())]);
        events.script
    }

    fn stream_text(&self, events: &mut Events) {
        let place = [
            r#""item_id":""#,
            &self.item_id,
            r#"","output_index":0,"content_index":0,"#,
        ]
        .concat();
        events.event(
            "response.content_part.added",
            &[&place, r#""part":"#, &Self::part("")],
        );
        for index in 0..self.usage.completion {
            let delta = [&place, r#""delta":""#, token(index), r#"","logprobs":[]"#];
            events.token("response.output_text.delta", &delta);
        }
        let text = answer(self.usage.completion);
        events.event(
            "response.output_text.done",
            &[&place, r#""text":""#, &text, r#"","logprobs":[]"#],
        );
        events.event(
            "response.content_part.done",
            &[&place, r#""part":"#, &Self::part(&text)],
        );
    }

    fn stream_arguments(&self, events: &mut Events) {
        let place = [r#""item_id":""#, &self.item_id, r#"","output_index":0,"#].concat();
        for piece in ARGUMENT_PIECES {
            events.token(
                "response.function_call_arguments.delta",
                &[&place, r#""delta":""#, piece, r#"""#],
            );
        }
        let arguments = ARGUMENT_PIECES.concat();
        let name = self.tool.as_deref().unwrap_or("null");
        let done = [&place, r#""arguments":""#, &arguments, r#"","name":"#, name];
        events.event("response.function_call_arguments.done", &done);
    }
}

/// Numbers the events.
struct Events {
    script: Script,
    sequence: u64,
}

impl Events {
    fn event(&mut self, kind: &str, fields: &[&str]) {
        let event = self.text(kind, fields);
        self.script.event(&[&event]);
    }

    fn token(&mut self, kind: &str, fields: &[&str]) {
        let event = self.text(kind, fields);
        self.script.token(&[&event]);
    }

    fn text(&mut self, kind: &str, fields: &[&str]) -> String {
        let number = self.sequence;
        self.sequence += 1;
        let fields = fields.concat();
        format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number},{fields}}}\n\n"
        )
    }
}
