use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Model and stream, or the code of the refusal.
type Read<'a> = Result<(Option<&'a str>, bool), &'a str>;

fn read(facts: &Result<BodyFacts, ApiError>) -> Read<'_> {
    match facts {
        Ok(facts) => Ok((
            facts.model.as_ref().map(|model| model.value.as_str()),
            facts.stream,
        )),
        Err(error) => {
            assert_eq!(error.status, 400, "{error}");
            Err(error.code)
        }
    }
}

fn name(text: &str) -> DeploymentName {
    DeploymentName::new(text).unwrap()
}

fn with_model(body: &Bytes, facts: &BodyFacts, model: &DeploymentName) -> Bytes {
    let changes = Changes {
        model: Some(model),
        usage: false,
    };
    rewritten(body, facts, changes)
}

fn rewritten_json(body: &str, model: &str) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let facts = inspect_json(&body).unwrap();
    String::from_utf8(with_model(&body, &facts, &name(model)).to_vec()).unwrap()
}

// === JSON ===

#[test]
fn model_and_stream_are_read_from_json() {
    for (body, expected) in [
        (r#"{}"#, Ok((None, false))),
        (r#"{"model":"m"}"#, Ok((Some("m"), false))),
        (
            r#" { "stream" : true , "model" : "m" } "#,
            Ok((Some("m"), true)),
        ),
        (r#"{"mod\u0065l":"\u006d"}"#, Ok((Some("m"), false))),
        (r#"{"model":""}"#, Ok((Some(""), false))),
        (
            r#"{"a":{"model":"x","stream":true},"model":"m"}"#,
            Ok((Some("m"), false)),
        ),
        (r#"{"stream":false}"#, Ok((None, false))),
        (r#"{"stream":null}"#, Ok((None, false))),
        (r#"{"stream":"true"}"#, Ok((None, false))),
        (r#"{"stream":true,"stream":false}"#, Ok((None, false))),
        (r#"{"Model":"m","models":["a"]}"#, Ok((None, false))),
        (r#"{"model":"a","model":"a"}"#, Err("duplicate_model")),
        (r#"{"model":"a","mod\u0065l":"b"}"#, Err("duplicate_model")),
        (r#"{"model":1}"#, Err("invalid_model")),
        (r#"{"model":null}"#, Ok((None, false))),
        (r#"{"model":["m"]}"#, Err("invalid_model")),
        (r#"{"model":"\ud800"}"#, Err("invalid_model")),
        ("", Err("invalid_json")),
        ("  ", Err("invalid_json")),
        ("[]", Err("invalid_json")),
        (r#""model""#, Err("invalid_json")),
        (r#"{"model":"m""#, Err("invalid_json")),
        (r#"{"model":"m"} x"#, Err("invalid_json")),
        (r#"{"model":"m"}{"model":"n"}"#, Err("invalid_json")),
        (r#"{"model":"m",}"#, Err("invalid_json")),
        ("\u{feff}{\"model\":\"m\"}", Err("invalid_json")),
        ("{'model':'m'}", Err("invalid_json")),
    ] {
        assert_eq!(read(&inspect_json(body.as_bytes())), expected, "{body}");
    }
}

#[test]
fn a_refusal_of_json_repeats_nothing_of_the_body() {
    for body in [
        "\"my prompt\"",
        "{\"a\": my prompt}",
        "{\"my prompt\"}",
        "{\"model\": [\"my prompt\"]}",
    ] {
        let error = inspect_json(body.as_bytes()).unwrap_err();
        assert!(!error.message.contains("prompt"), "{error}");
    }
}

#[test]
fn deep_nesting_costs_no_stack() {
    let depth = 1_000_000;
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    let body = format!(r#"{{"messages":{open}{close},"model":"m"}}"#);
    assert_eq!(read(&inspect_json(body.as_bytes())), Ok((Some("m"), false)));
    let body = format!(r#"{{"model":{open}{close}}}"#);
    assert_eq!(read(&inspect_json(body.as_bytes())), Err("invalid_model"));
    assert_eq!(read(&inspect_json(open.as_bytes())), Err("invalid_json"));
}

#[test]
fn a_model_is_replaced_or_added_and_nothing_else_moves() {
    for (body, expected) in [
        (r#"{"model":"a"}"#, r#"{"model":"d/1"}"#),
        (r#"{"model": null}"#, r#"{"model": "d/1"}"#),
        (
            "\n{ \"x\" : 1.0 ,\t\"mod\\u0065l\" : \"a\\n\" }\n",
            "\n{ \"x\" : 1.0 ,\t\"mod\\u0065l\" : \"d/1\" }\n",
        ),
        (r#"{}"#, r#"{"model":"d/1"}"#),
        (" {\n} ", " {\"model\":\"d/1\"\n} "),
        (r#"{ "x":"{"}"#, r#"{"model":"d/1", "x":"{"}"#),
        (
            r#"{"x":{"model":"a"}}"#,
            r#"{"model":"d/1","x":{"model":"a"}}"#,
        ),
    ] {
        assert_eq!(rewritten_json(body, "d/1"), expected);
    }
}

#[test]
fn a_body_that_has_the_model_already_is_shared() {
    for body in [r#"{"model":"m"}"#, r#"{"model":"\u006d"}"#] {
        let body = Bytes::from_static(body.as_bytes());
        let facts = inspect_json(&body).unwrap();
        assert_eq!(
            with_model(&body, &facts, &name("m")).as_ptr(),
            body.as_ptr()
        );
    }
    let none = Bytes::new();
    assert!(with_model(&none, &BodyFacts::default(), &name("m")).is_empty());
}

// === Multipart ===

const FORM: &str = "multipart/form-data; boundary=B";

fn part(head: &str, content: &str) -> String {
    format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
}

fn form(parts: &[String]) -> String {
    format!("{}--B--\r\n", parts.concat())
}

#[test]
fn model_and_stream_are_found_anywhere_in_a_form() {
    let file = || {
        part(
            "name=\"file\"; filename=\"a;b\\\".wav\"\r\nContent-Type: audio/wav",
            "\r\n--\r\n\0",
        )
    };
    let model = |value| part("name=\"model\"", value);
    let stream = |value| part("name=stream", value);
    for (parts, expected) in [
        (vec![], Ok((None, false))),
        (vec![file()], Ok((None, false))),
        (vec![model("m"), file()], Ok((Some("m"), false))),
        (
            vec![file(), stream("true"), model("m")],
            Ok((Some("m"), true)),
        ),
        (vec![stream("True")], Ok((None, true))),
        (vec![stream("false")], Ok((None, false))),
        (vec![model("")], Ok((Some(""), false))),
        (
            vec![part("filename=\"model\"; name=\"x\"", "m")],
            Ok((None, false)),
        ),
        (
            vec![part("filename=\"; name=\\\"model\"; name=\"x\"", "m")],
            Ok((None, false)),
        ),
        (vec![part("NAME=\"model\"", "m")], Ok((Some("m"), false))),
        (vec![model("a"), file(), model("a")], Err("duplicate_model")),
    ] {
        let body = form(&parts);
        assert_eq!(
            read(&inspect_multipart(FORM, body.as_bytes())),
            expected,
            "{body}"
        );
    }
}

#[test]
fn a_boundary_is_read_from_the_content_type() {
    let body = form(&[part("name=\"model\"", "m")]);
    let found = Ok((Some("m"), false));
    let refused = Err("invalid_multipart");
    for (content_type, expected) in [
        ("multipart/form-data; boundary=B", found),
        ("Multipart/Form-Data;charset=utf-8 ; Boundary=\"B\"", found),
        ("multipart/form-data; boundary=B;", found),
        ("multipart/form-data", refused),
        ("multipart/form-data; boundary=", refused),
        ("multipart/form-data; boundary=\"B", refused),
        ("multipart/form-data; boundary=B; boundary=C", refused),
        ("multipart/form-data; boundary=\"B\" x", refused),
        ("multipart/form-data; boundary=C", refused),
        ("multipart/form-data; boundary=ä", refused),
    ] {
        assert_eq!(
            read(&inspect_multipart(content_type, body.as_bytes())),
            expected,
            "{content_type}"
        );
    }
    for (chars, accepted) in [(70, true), (71, false)] {
        let boundary = "b".repeat(chars);
        let body = format!("--{boundary}--");
        let facts = inspect_multipart(
            &format!("multipart/form-data; boundary={boundary}"),
            body.as_bytes(),
        );
        assert_eq!(facts.is_ok(), accepted, "{chars} characters");
    }
}

#[test]
fn a_form_that_two_parsers_could_read_differently_is_refused() {
    let model = part("name=\"model\"", "m");
    let raw = |head: &str| format!("--B\r\n{head}\r\n\r\nm\r\n--B--\r\n");
    for body in [
        String::new(),
        "{}".to_owned(),
        model.clone(),
        format!("{model}--B"),
        format!("{model}--B-"),
        format!("{model}--B--x"),
        format!("x{model}--B--"),
        format!("{model}--B--\r\n{model}--B--"),
        form(&[part("name=\"x\"", "a\n--B\nb")]),
        form(&[part("name=\"x\"", "a\r\n--Bb")]),
        form(&[part("name=\"x\"", "--B")]),
        "--B\r\n--B--".to_owned(),
        "--B\r\n\r\n--B--".to_owned(),
        "--B\r\n\r\n\r\nm\r\n--B--".to_owned(),
        raw("Content-Disposition: form-data"),
        raw("Content-Disposition: attachment; name=\"model\""),
        raw("Content-Disposition: form-data; name=\"model"),
        raw("Content-Disposition: form-data; name=\"a\"; name=\"model\""),
        raw("Content-Disposition: form-data; name=\"a\"; name*=utf-8''model"),
        raw("Content-Disposition: form-data; name=\"a\" model"),
        raw("Content-Disposition: form-data; filename=\"a\""),
        raw(
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"model\"",
        ),
        raw("Content-Disposition: form-data;\r\n name=\"model\""),
        raw("Content-Disposition: form-data; name=\"a\"\nX: y"),
        raw("Content-Disposition : form-data; name=\"model\""),
        raw("model"),
    ] {
        let facts = inspect_multipart(FORM, body.as_bytes());
        assert_eq!(read(&facts), Err("invalid_multipart"), "{body:?}");
    }
    let no_text = b"--B\r\nContent-Disposition: form-data; name=model\r\n\r\n\xff\r\n--B--";
    assert_eq!(
        read(&inspect_multipart(FORM, no_text)),
        Err("invalid_model")
    );
}

#[test]
fn a_model_is_replaced_in_a_form_or_added_to_it() {
    let file = part("name=\"file\"; filename=\"model\"", "m\r\n\r\nm");
    let model = |value| part("name=\"model\"", value);
    for (body, expected) in [
        (
            form(&[file.clone(), model("m")]),
            form(&[file.clone(), model("d/1")]),
        ),
        (
            form(&[model(""), file.clone()]),
            form(&[model("d/1"), file.clone()]),
        ),
        (
            form(std::slice::from_ref(&file)),
            form(&[model("d/1"), file.clone()]),
        ),
        (form(&[]), form(&[model("d/1")])),
        (
            format!("hello\r\n{}", form(&[])),
            format!("hello\r\n{}", form(&[model("d/1")])),
        ),
    ] {
        let body = Bytes::from(body);
        let facts = inspect_multipart(FORM, &body).unwrap();
        assert_eq!(with_model(&body, &facts, &name("d/1")), expected);
    }
}

#[test]
fn a_body_is_a_form_only_where_its_content_type_says_so() {
    let form = form(&[part("name=\"model\"", "m")]);
    let json = r#"{"model":"m"}"#;
    let found = Ok((Some("m"), false));
    for (content_type, body, expected) in [
        (Some(FORM), form.as_str(), found),
        (
            Some("multipart/mixed; boundary=B"),
            &form,
            Err("invalid_json"),
        ),
        (Some(FORM), json, Err("invalid_multipart")),
        (Some("application/json; charset=utf-8"), json, found),
        (Some("text/plain"), json, found),
        (None, json, found),
    ] {
        assert_eq!(
            read(&inspect(content_type, body.as_bytes())),
            expected,
            "{content_type:?}"
        );
    }
}

// === Properties ===

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => any::<String>(),
        1 => Just("model".to_owned()),
        1 => Just("stream".to_owned()),
    ]
}

fn any_space() -> impl Strategy<Value = String> {
    let space = prop::sample::select(vec![' ', '\t', '\n', '\r']);
    prop::collection::vec(space, 0..3).prop_map(String::from_iter)
}

/// An object as text with white space of its own at every place that allows some, and as a value.
fn any_object() -> impl Strategy<Value = (String, Value)> {
    let member = (any_key(), any_json(), any_space(), any_space());
    let members = prop::collection::vec(member, 0..6);
    (members, any_space(), any_space()).prop_map(|(members, before, after)| {
        let mut value = json!({});
        let mut text = format!("{before}{{{after}");
        for (key, member, left, right) in members {
            if value.get(&key).is_some() {
                continue;
            }
            let comma = if value == json!({}) { "" } else { "," };
            let (k, v) = (json!(key), &member);
            text += &format!("{comma}{left}{k}{right}:{left}{v:#}{right}");
            value[key] = member;
        }
        (format!("{text}{before}}}{after}"), value)
    })
}

proptest! {
    #[test]
    fn inspection_agrees_with_a_full_parser((text, value) in any_object()) {
        let facts = inspect_json(text.as_bytes());
        let expected = match value.get("model") {
            Some(Value::String(model)) => Ok(Some(model.as_str())),
            Some(Value::Null) | None => Ok(None),
            Some(_) => Err("invalid_model"),
        };
        let stream = value.get("stream") == Some(&Value::Bool(true));
        prop_assert_eq!(read(&facts), expected.map(|model| (model, stream)));
    }

    #[test]
    fn a_rewrite_changes_the_model_and_no_other_byte(
        (text, mut value) in any_object(),
        model in "[a-zA-Z0-9._:@+-]{3,20}",
    ) {
        let body = Bytes::from(text);
        let Ok(facts) = inspect_json(&body) else {
            return Ok(());
        };
        let rewritten = with_model(&body, &facts, &name(&model));
        let start = body.iter().position(|byte| *byte == b'{').unwrap() + 1;
        let span = match (&facts.model, &facts.format) {
            (Some(present), _) => present.span.clone(),
            (None, Format::Json { null_model: Some(null), .. }) => null.clone(),
            (None, _) => start..start,
        };
        prop_assert!(rewritten.starts_with(&body[..span.start]));
        prop_assert!(rewritten.ends_with(&body[span.end..]));
        value["model"] = json!(model);
        prop_assert_eq!(serde_json::from_slice::<Value>(&rewritten).unwrap(), value);
    }

    #[test]
    fn no_bytes_make_inspection_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        content_type in any::<String>(),
    ) {
        let _ = inspect_json(&bytes);
        let _ = inspect_multipart(FORM, &bytes);
        let _ = inspect_multipart(&content_type, &bytes);
    }

    /// Pieces that matter to the parser, in any order.
    #[test]
    fn no_form_makes_inspection_panic_or_a_rewrite_unreadable(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "--B", "--", "\r\n", "\n", "\r\n\r\n", "Content-Disposition: form-data; name=", "\"model\"",
                "stream", "x", "--B\r\nContent-Disposition: form-data; name=\"", "\"", ";", "\r\n--B--",
            ]),
            0..12,
        ),
    ) {
        let body = Bytes::from(pieces.concat());
        if let Ok(facts) = inspect_multipart(FORM, &body) {
            let rewritten = with_model(&body, &facts, &name("d"));
            let again = inspect_multipart(FORM, &rewritten);
            prop_assert_eq!(read(&again), Ok((Some("d"), facts.stream)));
        }
    }
}
