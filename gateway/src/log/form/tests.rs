use serde_json::json;

use super::*;

const FORMS: [Form; 3] = [Form::Json, Form::Logfmt, Form::Text { colours: false }];

fn written(form: Form, fields: impl FnOnce(&mut Line<'_>)) -> String {
    let mut out = Vec::new();
    let now = Duration::from_millis(1_763_712_000_250);
    let mut line = Line::begin(&mut out, form, now, Level::WARN, "gateway::pool");
    fields(&mut line);
    line.end();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_has_time_level_target_message_and_fields() {
    let fields = |line: &mut Line<'_>| {
        line.field("message", "a breaker opened");
        line.field("endpoint", "aoi-1");
        line.field("failures", 5_u64);
        line.field("share", 0.25);
        line.field("probe", true);
        line.field("absent", None::<&str>);
    };
    for (form, expected) in [
        (
            Form::Json,
            r#"{"timestamp":"2025-11-21T08:00:00.250000Z","level":"WARN","target":"gateway::pool","message":"a breaker opened","endpoint":"aoi-1","failures":5,"share":0.25,"probe":true}"#,
        ),
        (
            Form::Logfmt,
            r#"timestamp=2025-11-21T08:00:00.250000Z level=WARN target=gateway::pool message="a breaker opened" endpoint=aoi-1 failures=5 share=0.25 probe=true"#,
        ),
        (
            Form::Text { colours: false },
            "2025-11-21T08:00:00.250000Z  WARN gateway::pool: a breaker opened endpoint=aoi-1 failures=5 share=0.25 probe=true",
        ),
        (
            Form::Text { colours: true },
            "\x1b[2m2025-11-21T08:00:00.250000Z\x1b[0m  \x1b[33mWARN\x1b[0m \x1b[2mgateway::pool:\x1b[0m a breaker opened \
             \x1b[2mendpoint=\x1b[0maoi-1 \x1b[2mfailures=\x1b[0m5 \x1b[2mshare=\x1b[0m0.25 \x1b[2mprobe=\x1b[0mtrue",
        ),
    ] {
        assert_eq!(written(form, fields), format!("{expected}\n"));
    }
}

/// What somebody else chose, as a JSON string, as a value after `=`, and as a message for people.
const ESCAPED: [(&str, &str, &str, &str); 14] = [
    ("plain", r#""plain""#, "plain", "plain"),
    ("", r#""""#, r#""""#, ""),
    ("two words", r#""two words""#, r#""two words""#, "two words"),
    ("a=b", r#""a=b""#, r#""a=b""#, "a=b"),
    ("a\"b", r#""a\"b""#, r#""a\"b""#, "a\"b"),
    ("a\\nb", r#""a\\nb""#, r#""a\\nb""#, r"a\nb"),
    ("a\nb", r#""a\nb""#, r#""a\nb""#, r"a\u000ab"),
    (
        "a\r\0b",
        r#""a\r\u0000b""#,
        r#""a\r\u0000b""#,
        r"a\u000d\u0000b",
    ),
    (
        "\x1b[31m",
        r#""\u001b[31m""#,
        r#""\u001b[31m""#,
        r"\u001b[31m",
    ),
    (
        "\x7f\u{9b}",
        r#""\u007f\u009b""#,
        r#""\u007f\u009b""#,
        r"\u007f\u009b",
    ),
    ("a\u{2028}b", r#""a\u2028b""#, r#""a\u2028b""#, r"a\u2028b"),
    (
        "\u{85}\u{2029}",
        r#""\u0085\u2029""#,
        r#""\u0085\u2029""#,
        r"\u0085\u2029",
    ),
    (
        "\u{202e}x\u{2066}",
        r#""\u202ex\u2066""#,
        r#""\u202ex\u2066""#,
        r"\u202ex\u2066",
    ),
    ("caf\u{e9}", "\"caf\u{e9}\"", "\"caf\u{e9}\"", "caf\u{e9}"),
];

#[test]
fn nothing_ends_a_line_colours_it_or_passes_for_another_field() {
    for (text, json, value, message) in ESCAPED {
        let [as_json, as_logfmt, as_text] = FORMS.map(|form| {
            let line = written(form, |line| {
                line.field("message", text);
                line.field("key", text);
            });
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            line
        });
        assert!(
            as_json.ends_with(&format!("\"message\":{json},\"key\":{json}}}\n")),
            "{as_json}"
        );
        assert!(
            as_logfmt.ends_with(&format!(" message={value} key={value}\n")),
            "{as_logfmt}"
        );
        assert!(
            as_text.ends_with(&format!("gateway::pool: {message} key={value}\n")),
            "{as_text}"
        );
        // Whoever parses it reads what was there.
        let parsed: serde_json::Value = serde_json::from_str(&as_json).unwrap();
        assert_eq!(parsed["key"], json!(text));
    }
}

#[test]
fn without_a_choice_people_get_text_and_machines_json() {
    let text = |colours| Form::Text { colours };
    let terminal = |colours| Some(Terminal { colours });
    for (format, terminal, form) in [
        (LogFormat::Auto, None, Form::Json),
        (LogFormat::Auto, terminal(true), text(true)),
        (LogFormat::Auto, terminal(false), text(false)),
        (LogFormat::Json, terminal(true), Form::Json),
        (LogFormat::Logfmt, terminal(true), Form::Logfmt),
        (LogFormat::Text, None, text(false)),
        (LogFormat::Text, terminal(true), text(true)),
    ] {
        assert_eq!(Form::of(format, terminal), form, "{format:?} {terminal:?}");
    }
}
