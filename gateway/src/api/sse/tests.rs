use proptest::prelude::*;

use super::*;

fn summary(stream: &[u8]) -> Summary {
    let mut tap = Tap::default();
    tap.feed(stream);
    tap.summary()
}

const fn usage(prompt: u64, completion: u64, cached: u64, reasoning: u64) -> Option<Usage> {
    Some(Usage {
        prompt,
        completion,
        cached,
        reasoning,
    })
}

const CHAT: &str = concat!(
    "data: {\"choices\":[],\"created\":0,\"prompt_filter_results\":[],\"usage\":null}\n\n",
    ": keep-alive\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"say \\\"usage\\\": \\\"error\\\" ä\"}}],\"usage\":null}\n\n",
    "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\" : null}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5,",
    "\"prompt_tokens_details\":{\"cached_tokens\":2},\"completion_tokens_details\":{\"reasoning_tokens\":1}}}\n\n",
    "data: [DONE]\n\n",
);

const RESPONSES: &str = concat!(
    "event: response.created\n",
    "data: {\"type\":\"response.created\",\"response\":{\"error\":null,\"usage\":null,",
    "\"tools\":[{\"parameters\":{\"usage\":{\"type\":\"string\"}}}]}}\n\n",
    "event: response.output_text.delta\n",
    "data: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\n",
    "event: response.completed\n",
    "data: {\"type\":\"response.completed\",\"response\":{\"error\":null,\"usage\":{\"input_tokens\":9,",
    "\"output_tokens\":5,\"input_tokens_details\":{\"cached_tokens\":2},",
    "\"output_tokens_details\":{\"reasoning_tokens\":1}}}}\n\n",
);

#[test]
fn a_chat_stream_is_summed_up() {
    let expected = Summary {
        events: 5,
        deltas: 1,
        end: Some(End::Done),
        error: None,
        usage: usage(9, 5, 2, 1),
    };
    assert_eq!(summary(CHAT.as_bytes()), expected);
    assert_eq!(summary(CHAT.replace('\n', "\r\n").as_bytes()), expected);
}

#[test]
fn a_responses_stream_is_summed_up() {
    let expected = Summary {
        events: 3,
        deltas: 1,
        end: Some(End::Completed),
        error: None,
        usage: usage(9, 5, 2, 1),
    };
    assert_eq!(summary(RESPONSES.as_bytes()), expected);
    assert_eq!(
        summary(RESPONSES.replace('\n', "\r\n").as_bytes()),
        expected
    );
}

#[test]
fn the_end_of_a_stream_is_recognized() {
    for (stream, expected) in [
        ("data: [DONE]\n\n", Some(End::Done)),
        ("data:[DONE]", Some(End::Done)),
        ("data: [DONE] \r\n", Some(End::Done)),
        (
            "event: response.incomplete\ndata: {}\n\n",
            Some(End::Incomplete),
        ),
        ("event: response.failed\ndata: {}\n\n", Some(End::Failed)),
        (
            "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"x\"}}}\n\n",
            Some(End::Failed),
        ),
        (
            "event: transcript.text.done\ndata: {}\n\n",
            Some(End::Completed),
        ),
        (
            "event: response.completed\ndata: {}\n\ndata: [DONE]\n\n",
            Some(End::Completed),
        ),
        // The event broke off before its data.
        ("event: response.completed\n", None),
        ("event: response.completed\n\ndata: {}\n\n", None),
        ("data: {\"text\":\"[DONE]\"}\n\n", None),
        ("event: response.done\ndata: {}\n\n", None),
        ("data: [DONE", None),
        ("", None),
    ] {
        assert_eq!(summary(stream.as_bytes()).end, expected, "{stream:?}");
    }
}

#[test]
fn an_error_inside_a_stream_is_recognized() {
    let (server, throttled, filter) = (
        Some(Fault::Server),
        Some(Fault::Throttled),
        Some(Fault::ContentFilter),
    );
    for (stream, expected) in [
        ("data: {\"error\":{\"code\":\"429\"}}\n\n", throttled),
        (
            "data: { \"id\":\"\", \"error\" : \"overloaded\" }\n",
            server,
        ),
        ("data: {\"type\":\"error\",\"code\":\"x\"}\n\n", server),
        (
            "data: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\"}\n\n",
            throttled,
        ),
        ("event: error\ndata: {\"code\":\"x\"}\n\n", server),
        (
            "event: error\ndata: {\"code\":\"content_filter\"}\n\n",
            filter,
        ),
        (
            "event: error\ndata: {\"error\":{\"code\":\"content_filter\"}}\n\n",
            filter,
        ),
        ("event: response.failed\ndata: {}\n\n", server),
        (
            "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"rate_limit_exceeded\"}}}\n\n",
            throttled,
        ),
        // The first one is why the stream failed.
        (
            "data: {\"error\":{\"code\":\"429\"}}\n\nevent: error\ndata: {}\n\n",
            throttled,
        ),
        (
            "data: {\"type\":\"response.incomplete\",\"response\":{\"error\":null,\"usage\":{}}}\n\n",
            None,
        ),
        ("event: error\n\n", None),
        ("data: {\"error\":null}\n\n", None),
        ("data: {\"error\":\"\",\"choices\":[]}\n\n", None),
        ("data: {\"error\":{},\"choices\":[]}\n\n", None),
        ("data: {\"error\":false,\"choices\":[]}\n\n", None),
        ("event: error\ndata: {\"error\":{}}\n\n", server),
        ("data: {\"choices\":[{\"error\":{}}]}\n\n", None),
        ("data: {\"delta\":\"\\\"error\\\":{}\"}\n\n", None),
        ("data: {\"delta\":\"error\"}\n\n", None),
        ("data: {\"error\":{\n\n", None),
    ] {
        assert_eq!(summary(stream.as_bytes()).error, expected, "{stream:?}");
    }
}

#[test]
fn an_event_with_a_piece_of_the_answer_is_a_delta() {
    for (stream, expected) in [
        (r#"data: {"choices":[{"delta":{"content":"a"}}]}"#, 1),
        (r#"data: {"choices": [{"delta": {"content": "\""}}]}"#, 1),
        (
            r#"data: {"choices":[{"delta":{"role":"assistant","content":"","refusal":null}}]}"#,
            0,
        ),
        (
            r#"data: {"choices":[{"delta":{"content":null,"tool_calls":[{"function":{"arguments":"{"}}]}}]}"#,
            1,
        ),
        (
            r#"data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":""}}]}}]}"#,
            0,
        ),
        (
            r#"data: {"choices":[{"delta":{"reasoning_content":"a"}}]}"#,
            1,
        ),
        (r#"data: {"choices":[{"delta":{"refusal":"a"}}]}"#, 1),
        (r#"data: {"choices":[{"text":"a"}]}"#, 1),
        (
            r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            0,
        ),
        (
            r#"data: {"choices":[{"content_filter_results":{},"content_filter_offsets":{}}]}"#,
            0,
        ),
        (
            r#"data: {"choices":[{"delta":{"role":"content \"content\":\"a\""}}]}"#,
            0,
        ),
        (
            "event: response.output_text.delta\ndata: {\"delta\":\"\"}",
            1,
        ),
        ("event: response.function_call_arguments.delta\ndata: {}", 1),
        (
            "event: response.output_text.done\ndata: {\"text\":\"a\"}",
            0,
        ),
        ("event: response.output_text.delta", 0),
        ("data: [DONE]", 0),
    ] {
        let stream = format!("{stream}\n\n");
        assert_eq!(summary(stream.as_bytes()).deltas, expected, "{stream}");
    }
}

#[test]
fn the_last_usage_counts() {
    for (stream, expected) in [
        (
            "data: {\"usage\":{\"prompt_tokens\":1}}\ndata: {\"usage\":{\"prompt_tokens\":2}}\n",
            usage(2, 0, 0, 0),
        ),
        (
            "data: {\"usage\":{\"prompt_tokens\":1}}\n\ndata: {\"usage\":null}\n\n",
            usage(1, 0, 0, 0),
        ),
        (
            "data: {\"usage\":{\"prompt_tokens\":1}}\n\ndata: {\"usage\":\"odd\"}\n\n",
            usage(1, 0, 0, 0),
        ),
        ("data: {\"usage\":{\"prompt_tokens\":1", None),
        ("data: \"usage\"\n\n", None),
        ("id: 1\n\n", None),
    ] {
        assert_eq!(summary(stream.as_bytes()).usage, expected, "{stream:?}");
    }
}

#[test]
fn a_line_over_the_limit_is_passed_over_and_what_follows_is_read() {
    let frame = |padding: usize| {
        format!(
            "data: {{\"usage\":{{\"prompt_tokens\":1}}}}{}",
            " ".repeat(padding)
        )
    };
    let base = frame(0).len();
    for (excess, expected) in [(0, usage(1, 0, 0, 0)), (1, None)] {
        let line = frame(LINE_BYTES_MAX - base + excess);
        assert_eq!(
            summary(line.as_bytes()).usage,
            expected,
            "unfinished, {excess} over"
        );
        let stream = format!("{line}\n\ndata: [DONE]\n\n");
        for chunk_len in [1000, stream.len()] {
            let mut tap = Tap::default();
            stream
                .as_bytes()
                .chunks(chunk_len)
                .for_each(|chunk| tap.feed(chunk));
            let found = tap.summary();
            assert_eq!(
                found.usage, expected,
                "{excess} over, chunks of {chunk_len}"
            );
            assert_eq!(
                (found.events, found.end),
                (2, Some(End::Done)),
                "{excess} over, chunks of {chunk_len}"
            );
            assert!(tap.line.capacity() <= 2 * LINE_BYTES_MAX);
        }
    }
}

#[test]
fn a_summary_can_be_asked_for_at_any_time() {
    let mut tap = Tap::default();
    for byte in CHAT.bytes() {
        tap.feed(&[byte]);
        let _ = tap.summary();
    }
    assert_eq!(tap.summary(), summary(CHAT.as_bytes()));
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            CHAT,
            RESPONSES,
            "\n",
            "\r\n",
            "\r",
            "data:",
            "data: [DONE]\n",
            "event: error\n",
            "event: response.failed",
            "{\"error\":{}}",
            "{\"usage\":{\"prompt_tokens\":3}}",
            ": x",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_summary_does_not_depend_on_the_chunks(
        stream in any_stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let mut tap = Tap::default();
        let mut start = 0;
        for end in cuts.into_iter().chain([stream.len()]) {
            tap.feed(&stream[start..end]);
            start = end;
        }
        prop_assert_eq!(tap.summary(), summary(&stream));
    }
}
