use proptest::prelude::*;

use super::*;

/// What passes of a stream that comes in these chunks.
fn passed<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut unasked = Unasked::default();
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&unasked.pass(Bytes::copy_from_slice(chunk)));
    }
    out.extend_from_slice(&unasked.rest());
    String::from_utf8(out).unwrap()
}

/// What a provider sends once it is asked, and what it would have sent.
const EVENTS: [(&str, &str); 14] = [
    // Azure.
    (
        r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"a":{}}],"usage":null}"#,
        r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"a":{}}]}"#,
    ),
    (
        r#"{"choices":[{"content_filter_results":{},"delta":{"content":"usage\":null}"},"index":0}],"id":"c","usage":null}"#,
        r#"{"choices":[{"content_filter_results":{},"delta":{"content":"usage\":null}"},"index":0}],"id":"c"}"#,
    ),
    (
        r#"{"choices":[],"id":"c","usage":{"completion_tokens":1,"prompt_tokens":2,"x":{"usage":null}}}"#,
        "",
    ),
    // OpenAI.
    (
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"ä"},"finish_reason":null}],"usage":null,"obfuscation":"x"}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"ä"},"finish_reason":null}],"obfuscation":"x"}"#,
    ),
    (
        r#"{"id":"c","usage":null,"choices":[{"index":0,"delta":{}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{}}]}"#,
    ),
    (r#"{"id":"c","usage":{"prompt_tokens":2},"choices":[]}"#, ""),
    // With spaces.
    (
        r#"{ "choices": [ ], "id": "c" , "usage" : null }"#,
        r#"{ "choices": [ ], "id": "c"  }"#,
    ),
    (r#"{"choices": [ ] , "usage": { "prompt_tokens": 2 } }"#, ""),
    // Sent in any case.
    (
        r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":2}}"#,
        r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":2}}"#,
    ),
    (
        r#"{"usage":{"prompt_tokens":2}}"#,
        r#"{"usage":{"prompt_tokens":2}}"#,
    ),
    (
        r#"{"choices":[{"usage":null,"a":[1,"usage",null]}],"a":{"b":1,"usage":null}}"#,
        r#"{"choices":[{"usage":null,"a":[1,"usage",null]}],"a":{"b":1,"usage":null}}"#,
    ),
    (
        r#"{"error":{"message":"m"},"usages":null,"usage":nul}"#,
        r#"{"error":{"message":"m"},"usages":null,"usage":nul}"#,
    ),
    ("[DONE]", "[DONE]"),
    (r#"["choices","usage",null"#, r#"["choices","usage",null"#),
];

#[test]
fn what_was_not_asked_for_is_taken_out_and_nothing_else() {
    for (sent, expected) in EVENTS {
        for (space, end) in [(" ", "\n"), ("", "\r\n")] {
            let framed = |data: &str| match data {
                "" => String::new(),
                data => format!("data:{space}{data}{end}{end}"),
            };
            let around = format!(": x{end}{end}");
            let [sent, expected] =
                [sent, expected].map(|data| format!("{around}{}{around}", framed(data)));
            assert_eq!(passed([sent.as_bytes()]), expected, "{sent:?}");
            assert_eq!(
                passed(sent.as_bytes().chunks(1)),
                expected,
                "byte by byte: {sent:?}"
            );
        }
    }
}

#[test]
fn other_lines_of_the_event_that_is_taken_out_pass() {
    let usage = "data: {\"choices\":[],\"usage\":{}}\n";
    for (sent, expected) in [
        (format!("id: 7\n{usage}\nx"), "id: 7\n\nx"),
        (format!("{usage}id: 7\n\nx"), "id: 7\n\nx"),
        (format!("{usage}{usage}\n\nx"), "\nx"),
        (format!("{usage}\r\n\r\nx"), "\r\nx"),
        // The stream ends within it.
        (usage.to_owned(), ""),
        (usage.trim_end().to_owned(), ""),
        ("data: {\"choices\":[]".to_owned(), "data: {\"choices\":[]"),
        ("data".to_owned(), "data"),
        ("data:  ".to_owned(), "data:  "),
        ("\r".to_owned(), "\r"),
        (String::new(), ""),
    ] {
        assert_eq!(passed([sent.as_bytes()]), expected, "{sent:?}");
        assert_eq!(
            passed(sent.as_bytes().chunks(1)),
            expected,
            "byte by byte: {sent:?}"
        );
    }
}

#[test]
fn no_more_waits_than_may_have_to_be_taken_out() {
    let start = r#"data: {"choices":["#;
    let member = r#","usage":null"#;
    let event =
        format!("{start}{{\"delta\":{{\"content\":\"words\"}}}}],\"model\":\"m\"{member}}}\n\n");
    let mut unasked = Unasked::default();
    for (number, byte) in (1..).zip(event.bytes()) {
        let _ = unasked.pass(Bytes::from(vec![byte]));
        let waiting = unasked.held.len();
        let most = if number <= start.len() {
            start.len()
        } else {
            member.len()
        };
        assert!(waiting <= most, "{waiting} behind {:?}", &event[..number]);
        let has_ended = event[..number].ends_with(['}', '\n']);
        assert!(
            !has_ended || waiting == 0,
            "{waiting} behind {:?}",
            &event[..number]
        );
    }
    for line in ["id: 1", "event: x", "data: word", "data: [", ": x", "\r\n"] {
        assert_eq!(unasked.pass(line.into()), line);
        assert_eq!(unasked.pass("\n".into()), "\n");
    }
}

#[test]
fn a_chunk_with_nothing_to_take_out_is_not_copied() {
    let mut unasked = Unasked::default();
    for text in [
        "data: {\"choices\":[{\"delta\":{}}]}\n\ndata: [DONE]\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"",
        "x\"}}]}\n",
    ] {
        let chunk = Bytes::from_static(text.as_bytes());
        let passed = unasked.pass(chunk.clone());
        assert_eq!(
            (passed.as_ptr(), passed.len()),
            (chunk.as_ptr(), chunk.len())
        );
    }
}

#[test]
fn what_is_longer_than_the_limit_passes() {
    let start = r#"data: {"choices":[],"a":""#;
    for (excess, expected) in [(0, 0), (1, HELD_BYTES_MAX + 1)] {
        let mut unasked = Unasked::default();
        let text = start.to_owned() + &"x".repeat(HELD_BYTES_MAX - start.len() + excess);
        let passed: usize = text
            .into_bytes()
            .chunks(1000)
            .map(|chunk| unasked.pass(Bytes::copy_from_slice(chunk)).len())
            .sum();
        assert_eq!(passed, expected, "{excess} over");
        let end = unasked.pass(Bytes::from_static(b"\",\"usage\":{}}\n"));
        assert_eq!(end.is_empty(), excess == 0, "{excess} over");
    }
}

fn any_stream() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let event = |data: &'static str| match data {
        "" => Vec::new(),
        data => format!("data: {data}\n\n").into_bytes(),
    };
    let known = prop::sample::select(EVENTS.to_vec())
        .prop_map(move |(sent, expected)| (event(sent), event(expected)));
    let other = prop::sample::select(vec![
        ": x\n\n",
        "\n",
        "\r\n\r\n",
        "id: 1\ndata: {}\n\n",
        "event: a\n\n",
    ])
    .prop_map(|text| (text.as_bytes().to_vec(), text.as_bytes().to_vec()));
    prop::collection::vec(prop_oneof![3 => known, 1 => other], 0..8).prop_map(|events| {
        let (sent, expected): (Vec<_>, Vec<_>) = events.into_iter().unzip();
        (sent.concat(), expected.concat())
    })
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "data:",
            " ",
            "{",
            "}",
            "[",
            "]",
            "\"",
            ",",
            ":",
            "\n",
            "\r",
            "null",
            "\"usage\"",
            "\"choices\"",
            "\\",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn cut(stream: &[u8], cuts: &[prop::sample::Index]) -> Vec<u8> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(stream.len());
    let mut unasked = Unasked::default();
    let (mut out, mut start) = (Vec::new(), 0);
    for end in cuts {
        out.extend_from_slice(&unasked.pass(Bytes::copy_from_slice(&stream[start..end])));
        start = end;
    }
    out.extend_from_slice(&unasked.rest());
    out
}

proptest! {
    #[test]
    fn any_chunks_give_what_would_have_come_unasked(
        (sent, expected) in any_stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        prop_assert_eq!(cut(&sent, &cuts), expected);
    }

    #[test]
    fn what_comes_out_of_any_bytes_does_not_depend_on_the_chunks(
        sent in any_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        prop_assert_eq!(cut(&sent, &cuts), cut(&sent, &[]));
    }
}
