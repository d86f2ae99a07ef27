//! Whether an answer is a tool call, and of which tool.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::request::Fields;
use crate::text::quoted;

/// The arguments of every call, in the pieces that a stream sends.
pub(crate) const ARGUMENT_PIECES: [&str; 3] = [
    r#"{\"location\":"#,
    r#"\"Stockholm\","#,
    r#"\"unit\":\"celsius\"}"#,
];

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function: Option<Named<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// The JSON string of the tool to call: the chosen one, else the first, where the choice is forced or the
/// conversation ends with a user who mentions a tool or the weather.
pub(crate) fn called(fields: &Fields<'_>) -> Option<String> {
    let tools: Vec<Tool<'_>> = serde_json::from_str(fields.tools?.get()).ok()?;
    let choice = fields.tool_choice.map_or("\"auto\"", RawValue::get);
    let called = match choice {
        "\"none\"" => return None,
        "\"required\"" => true,
        forced if forced.starts_with('{') => true,
        _ => mentions_a_tool(fields.messages.or(fields.input)?.get()),
    };
    let chosen = serde_json::from_str::<Tool<'_>>(choice)
        .ok()
        .and_then(Tool::into_name);
    let name = chosen.or_else(|| tools.into_iter().find_map(Tool::into_name))?;
    called.then(|| quoted(&name))
}

impl<'a> Tool<'a> {
    fn into_name(self) -> Option<Cow<'a, str>> {
        self.name.or(self.function.map(|function| function.name))
    }
}

fn mentions_a_tool(conversation: &str) -> bool {
    let mentions = |text: &str| text.contains("tool") || text.contains("weather");
    if conversation.starts_with('"') {
        return mentions(conversation);
    }
    let Ok(messages) = serde_json::from_str::<Vec<Message<'_>>>(conversation) else {
        return false;
    };
    messages.last().is_some_and(|last| {
        last.role.as_deref() == Some("user")
            && last.content.is_some_and(|content| mentions(content.get()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_called_when_forced_or_mentioned_and_not_after_its_result() {
        let tools = r#""tools":[{"type":"function","function":{"name":"get_weather"}},{"type":"function","name":"b"}]"#;
        let cases = [
            (
                r#""messages":[{"role":"user","content":"the weather?"}]"#,
                Some("\"get_weather\""),
            ),
            (r#""messages":[{"role":"user","content":"hello"}]"#, None),
            (
                r#""messages":[{"role":"user","content":"weather"},{"role":"tool","content":"weather: 7"}]"#,
                None,
            ),
            (r#""input":"which tool?""#, Some("\"get_weather\"")),
            (
                r#""messages":[],"tool_choice":"required""#,
                Some("\"get_weather\""),
            ),
            (r#""input":"weather","tool_choice":"none""#, None),
            (
                r#""input":"x","tool_choice":{"type":"function","name":"b"}"#,
                Some("\"b\""),
            ),
        ];
        for (conversation, expected) in cases {
            let body = format!("{{{tools},{conversation}}}");
            let fields = Fields::parse("application/json", body.as_bytes()).unwrap();
            assert_eq!(called(&fields).as_deref(), expected, "{conversation}");
        }
    }
}
