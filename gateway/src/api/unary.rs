//! Watches an answer that is one JSON object as it passes, without changing, holding or copying it, and finds the
//! tokens it reports. Of an answer of megabytes nothing is kept but the outermost `usage`. The result does not
//! depend on how the bytes were cut into chunks. A bystander: nothing in an answer can make it fail.

use super::{
    answer::Usage,
    members::{Members, Name, Step},
};

/// Longest `usage` that is read, bytes. Real ones have a few hundred.
const USAGE_BYTES_MAX: usize = 8 * 1024;

/// Give it every chunk, then ask [`Tap::usage`].
#[derive(Debug)]
pub struct Tap {
    members: Members,
    /// The member under way is `usage`.
    here: bool,
    /// Its value as far as it has come, while it is an object and not too long.
    value: Option<Vec<u8>>,
    usage: Option<Usage>,
}

impl Default for Tap {
    fn default() -> Self {
        Self {
            members: Members::new(),
            here: false,
            value: None,
            usage: None,
        }
    }
}

impl Tap {
    pub fn feed(&mut self, chunk: &[u8]) {
        let (mut at, mut start) = (0, 0);
        while let Some((next, step)) = self.members.step(chunk, at) {
            match step {
                Step::Name(name) => self.here = name == Name::Usage,
                Step::Value(first) if self.here => {
                    // Of several the last one counts, as most parsers have it.
                    self.usage = None;
                    self.value = (first == b'{').then(Vec::new);
                    start = next - 1;
                }
                Step::End => {
                    self.keep(&chunk[start..next]);
                    self.usage = self
                        .value
                        .take()
                        .map_or(self.usage, |value| Usage::read(&value));
                }
                Step::Value(_) | Step::Comma | Step::Item => {}
            }
            at = next;
        }
        self.keep(&chunk[start..]);
    }

    /// As the provider reported it, once that has passed.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn keep(&mut self, part: &[u8]) {
        self.value = self
            .value
            .take()
            .filter(|value| value.len() + part.len() <= USAGE_BYTES_MAX)
            .map(|mut value| {
                value.extend_from_slice(part);
                value
            });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn usage<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Option<Usage> {
        let mut tap = Tap::default();
        chunks.into_iter().for_each(|chunk| tap.feed(chunk));
        tap.usage()
    }

    /// By a parser that has all of it.
    fn parsed(body: &[u8]) -> Option<Usage> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let usage = body.get("usage").filter(|usage| usage.is_object())?;
        Usage::read(usage.to_string().as_bytes())
    }

    const fn prompt(prompt: u64) -> Option<Usage> {
        Some(Usage {
            prompt,
            completion: 0,
            cached: 0,
            reasoning: 0,
        })
    }

    #[test]
    fn only_the_outermost_usage_of_an_object_counts() {
        for (body, expected) in [
            (r#"{"usage":{"prompt_tokens":3}}"#, prompt(3)),
            (
                " {\n \"usage\" : { \"prompt_tokens\" : 3 } ,\t\"x\":1}\n",
                prompt(3),
            ),
            (
                r#"{"data":[{"embedding":[0.5,-1e-3,[]]},{}],"usage":{"prompt_tokens":3}}"#,
                prompt(3),
            ),
            (
                r#"{"a":"\"usage\":{\"prompt_tokens\":1}","b":"\\","usage":{"input_tokens":3}}"#,
                prompt(3),
            ),
            (r#"{"a":"x\\\"","usage":{"prompt_tokens":3}}"#, prompt(3)),
            (
                r#"{"usage":{"prompt_tokens":3,"details":{"prompt_tokens":4},"x":"}{"}}"#,
                prompt(3),
            ),
            (
                r#"{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":3}}"#,
                prompt(3),
            ),
            (r#"{"usage":{"prompt_tokens":1},"usage":null}"#, None),
            // It broke off behind it.
            (r#"{"usage":{"prompt_tokens":3},"choices":[{"x"#, prompt(3)),
            (r#"{"usage":{"prompt_tokens":3"#, None),
            (r#"{"usage":{"type":"duration","seconds":3}}"#, None),
            (r#"{"usage":[{"prompt_tokens":3}]}"#, None),
            (r#"{"usage":"{\"prompt_tokens\":3}"}"#, None),
            (r#"{"response":{"usage":{"prompt_tokens":3}}}"#, None),
            (r#"{"a":["usage",{"usage":{"prompt_tokens":3}}]}"#, None),
            (r#"{"a":"usage","b":{"prompt_tokens":3}}"#, None),
            (
                r#"{"usages":{"prompt_tokens":3},"usag":{"prompt_tokens":3}}"#,
                None,
            ),
            (r#"[{"usage":{"prompt_tokens":3}}]"#, None),
            (r#""usage""#, None),
            (r#"{"a" "usage":{"prompt_tokens":3}}"#, None),
            (r#"{}{"usage":{"prompt_tokens":3}}"#, None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(usage([body.as_bytes()]), expected, "{body}");
            let bytes = body.as_bytes().chunks(1);
            assert_eq!(usage(bytes), expected, "byte by byte: {body}");
        }
    }

    #[test]
    fn a_usage_over_the_limit_is_passed_over_and_little_is_kept() {
        for (excess, expected) in [(0, prompt(3)), (1, None)] {
            let start = r#"{"prompt_tokens":3"#;
            let padding = " ".repeat(USAGE_BYTES_MAX - start.len() - 1 + excess);
            let body = format!(
                r#"{{"a":"{}","usage":{start}{padding}}}}}"#,
                "x".repeat(1 << 20)
            );
            let mut tap = Tap::default();
            for chunk in body.as_bytes().chunks(1000) {
                tap.feed(chunk);
                let kept = tap.value.as_ref().map_or(0, Vec::capacity);
                assert!(kept <= 2 * USAGE_BYTES_MAX, "{kept}");
            }
            assert_eq!(tap.usage(), expected, "{excess}");
        }
    }

    fn any_json() -> impl Strategy<Value = String> {
        let text = prop::sample::select(vec![
            r#""""#,
            r#""usage""#,
            r#""\"usage\":{\"prompt_tokens\":1}""#,
            r#""\\""#,
            r#""{[ä\u0022""#,
            "null",
            "true",
            "-0.25e-7",
            r#"{"prompt_tokens":7}"#,
            r#"{"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":4}}"#,
        ]);
        let name = prop::sample::select(vec!["usage", "choices", "u", "a long name", "\\\"", ""]);
        let space = || prop::sample::select(vec!["", " ", "\n\t"]);
        text.prop_map(str::to_owned)
            .prop_recursive(4, 40, 5, move |inner| {
                let member = (space(), name.clone(), space(), inner.clone(), space())
                    .prop_map(|(a, name, b, value, c)| format!("{a}\"{name}\"{b}:{c}{value}"));
                prop_oneof![
                    prop::collection::vec(member, 0..5)
                        .prop_map(|members| format!("{{{}}}", members.join(","))),
                    (space(), prop::collection::vec(inner, 0..5))
                        .prop_map(|(a, items)| format!("[{a}{}]", items.join(", "))),
                ]
            })
    }

    proptest! {
        #[test]
        fn any_chunks_give_what_a_parser_finds_in_the_whole(
            body in any_json(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let body = body.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(body.len());
            let mut start = 0;
            let chunks = cuts.into_iter().map(|end| &body[std::mem::replace(&mut start, end)..end]);
            prop_assert_eq!(usage(chunks), parsed(body));
        }

        #[test]
        fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..200_usize) {
            let (start, end) = bytes.split_at(cut.min(bytes.len()));
            let _ = usage([start, end]);
        }
    }
}
