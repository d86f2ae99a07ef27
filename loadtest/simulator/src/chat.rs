//! Chat completions, unary and streamed: text or a tool call.

use crate::answer::{Answer, Dialect, Script, Unary};
use crate::errors::{Refusal, missing_parameter};
use crate::resource::Kind;
use crate::state::Call;
use crate::stats::Usage;
use crate::text::{answer, fresh_id, token, unix_seconds};
use crate::tools::{ARGUMENT_PIECES, called};

macro_rules! safe {
    () => {
        concat!(
            r#""hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"#,
            r#""sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}"#
        )
    };
}

/// The first event of Azure's streams has no choice and empty ids.
const PROMPT_FILTER_EVENT: &str = concat!(
    r#"data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"#,
    r#""content_filter_results":{"#,
    safe!(),
    "}}]"
);
const PROMPT_FILTER: &str = concat!(
    r#","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"#,
    safe!(),
    r#","jailbreak":{"detected":false,"filtered":false}}}]"#
);
const SAFE: &str = concat!(r#""content_filter_results":{"#, safe!(), "},");
const NOT_JUDGED: &str = r#""content_filter_results":{},"#;

pub(crate) fn complete(call: &Call<'_>) -> Result<Answer, Refusal> {
    if call.fields.messages.is_none() {
        return Err(missing_parameter("messages"));
    }
    let tool = called(call.fields);
    if call.fields.stream() {
        return Ok(Answer::Stream(stream(call, tool.as_deref())));
    }
    Ok(unary(call, tool.as_deref()))
}

fn unary(call: &Call<'_>, tool: Option<&str>) -> Answer {
    let usage = call.usage();
    let message = match tool {
        None => [r#""content":""#, &answer(usage.completion), r#"""#].concat(),
        Some(name) => {
            let id = fresh_id("call_");
            let arguments = ARGUMENT_PIECES.concat();
            [
                r#""content":null,"tool_calls":[{"function":{"arguments":""#,
                &arguments,
                r#"","name":"#,
                name,
                r#"},"id":""#,
                &id,
                r#"","type":"function"}]"#,
            ]
            .concat()
        }
    };
    let (filter, prompt_filter) = match call.kind {
        Kind::Azure => (SAFE, PROMPT_FILTER),
        Kind::Openai => ("", ""),
    };
    let body = [
        r#"{"choices":[{"#,
        filter,
        r#""finish_reason":""#,
        finish_reason(call, tool),
        r#"","index":0,"logprobs":null,"message":{"annotations":[],"#,
        &message,
        r#","refusal":null,"role":"assistant"}}],"created":"#,
        &unix_seconds(),
        r#","id":""#,
        &fresh_id("chatcmpl-"),
        r#"","model":"#,
        &call.deployment.model_json,
        r#","object":"chat.completion""#,
        prompt_filter,
        r#","system_fingerprint":"fp_ee1d74bde0","usage":"#,
        &usage_json(usage),
        "}",
    ]
    .concat();
    Unary::generated(body, usage)
}

fn stream(call: &Call<'_>, tool: Option<&str>) -> Script {
    let usage = call.usage();
    let with_usage = call.fields.include_usage();
    let no_usage = if with_usage { r#","usage":null"# } else { "" };
    let head = [
        r#","created":"#,
        &unix_seconds(),
        r#","id":""#,
        &fresh_id("chatcmpl-"),
        r#"","model":"#,
        &call.deployment.model_json,
        r#","object":"chat.completion.chunk","system_fingerprint":"fp_ee1d74bde0""#,
    ]
    .concat();
    let tail = [&head, no_usage, "}\n\n"].concat();
    let (filter, no_filter) = match call.kind {
        Kind::Azure => (SAFE, NOT_JUDGED),
        Kind::Openai => ("", ""),
    };
    let mut script = Script::new(Dialect::Completions, usage);
    if call.kind == Kind::Azure {
        script.event(&[PROMPT_FILTER_EVENT, no_usage, "}\n\n"]);
    }
    let start = [r#"data: {"choices":[{"#, no_filter, r#""delta":{"#].concat();
    let rest = [
        r#"},"finish_reason":null,"index":0,"logprobs":null}]"#,
        &tail,
    ]
    .concat();
    match tool {
        None => {
            script.event(&[
                &start,
                r#""content":"","refusal":null,"role":"assistant""#,
                &rest,
            ]);
            let start = [r#"data: {"choices":[{"#, filter, r#""delta":{"content":""#].concat();
            for index in 0..usage.completion {
                script.token(&[&start, token(index), r#"""#, &rest]);
            }
        }
        Some(name) => {
            let id = fresh_id("call_");
            script.event(&[
                &start,
                r#""content":null,"refusal":null,"role":"assistant","tool_calls":[{"function":{"arguments":"","name":"#,
                name,
                r#"},"id":""#,
                &id,
                r#"","index":0,"type":"function"}]"#,
                &rest,
            ]);
            for piece in ARGUMENT_PIECES {
                let open = r#""tool_calls":[{"function":{"arguments":""#;
                script.token(&[&start, open, piece, r#""},"index":0}]"#, &rest]);
            }
        }
    }
    let reason = finish_reason(call, tool);
    let finish = [
        r#""delta":{},"finish_reason":""#,
        reason,
        r#"","index":0,"logprobs":null}]"#,
    ]
    .concat();
    script.event(&[r#"data: {"choices":[{"#, no_filter, &finish, &tail]);
    if with_usage {
        script.event(&[
            r#"data: {"choices":[]"#,
            &head,
            r#","usage":"#,
            &usage_json(usage),
            "}\n\n",
        ]);
    }
    script.event(&["data: [DONE]\n\n"]);
    script
}

fn finish_reason(call: &Call<'_>, tool: Option<&str>) -> &'static str {
    match tool {
        Some(_) => "tool_calls",
        None if call.is_truncated() => "length",
        None => "stop",
    }
}

fn usage_json(usage: Usage) -> String {
    format!(
        concat!(
            r#"{{"completion_tokens":{},"completion_tokens_details":{{"accepted_prediction_tokens":0,"audio_tokens":0,"#,
            r#""reasoning_tokens":0,"rejected_prediction_tokens":0}},"prompt_tokens":{},"prompt_tokens_details":"#,
            r#"{{"audio_tokens":0,"cached_tokens":0}},"total_tokens":{}}}"#
        ),
        usage.completion,
        usage.prompt,
        usage.total()
    )
}
