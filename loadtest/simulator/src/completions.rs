//! Legacy text completions, unary and streamed.

use crate::answer::{Answer, Dialect, Script, Unary};
use crate::errors::{Refusal, missing_parameter};
use crate::state::Call;
use crate::text::{answer, fresh_id, token, unix_seconds};

pub(crate) fn complete(call: &Call<'_>) -> Result<Answer, Refusal> {
    if call.fields.prompt.is_none() {
        return Err(missing_parameter("prompt"));
    }
    let usage = call.usage();
    let reason = if call.is_truncated() {
        r#""length""#
    } else {
        r#""stop""#
    };
    let head = [
        r#"],"created":"#,
        &unix_seconds(),
        r#","id":""#,
        &fresh_id("cmpl-"),
        r#"","model":"#,
        &call.deployment.model_json,
        r#","object":"text_completion""#,
    ]
    .concat();
    let usage_json = format!(
        r#"{{"completion_tokens":{},"prompt_tokens":{},"total_tokens":{}}}"#,
        usage.completion,
        usage.prompt,
        usage.total()
    );
    let choice = |text: &str, reason: &str| {
        [
            r#"{"choices":[{"finish_reason":"#,
            reason,
            r#","index":0,"logprobs":null,"text":""#,
            text,
            r#""}"#,
        ]
        .concat()
    };
    if !call.fields.stream() {
        let body = [
            &choice(&answer(usage.completion), reason),
            &head,
            r#","usage":"#,
            &usage_json,
            "}",
        ]
        .concat();
        return Ok(Unary::generated(body, usage));
    }
    let with_usage = call.fields.include_usage();
    let no_usage = if with_usage { r#","usage":null"# } else { "" };
    let mut script = Script::new(Dialect::Completions, usage);
    for index in 0..usage.completion {
        script.token(&[
            "data: ",
            &choice(token(index), "null"),
            &head,
            no_usage,
            "}\n\n",
        ]);
    }
    script.event(&["data: ", &choice("", reason), &head, no_usage, "}\n\n"]);
    if with_usage {
        script.event(&[
            r#"data: {"choices":["#,
            &head,
            r#","usage":"#,
            &usage_json,
            "}\n\n",
        ]);
    }
    script.event(&["data: [DONE]\n\n"]);
    Ok(Answer::Stream(script))
}
