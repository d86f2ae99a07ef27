//! Decides how long an answer asks us to stay away. A parser and nothing else: what is done with the time is
//! decided in `outcome`.
//!
//! Azure is not consistent: provisioned deployments send `retry-after-ms`, standard ones `retry-after` or only
//! `x-ratelimit-reset-*`, and some answers carry `-1` or `0` without meaning it. So whatever is not a positive
//! time is unknown, never "now".

use std::time::Duration;

/// The header values that may say when to come back, as text.
#[derive(Debug, Clone, Copy, Default)]
pub struct WaitHeaders<'a> {
    pub retry_after_ms: Option<&'a str>,
    pub retry_after: Option<&'a str>,
    pub reset_requests: Option<&'a str>,
    pub reset_tokens: Option<&'a str>,
}

/// The first of `retry-after-ms`, `retry-after`, `x-ratelimit-reset-requests`, `x-ratelimit-reset-tokens`
/// that holds a positive time. `unix_now` is wall-clock time since the Unix epoch, for the date form.
#[must_use]
pub fn parse(headers: WaitHeaders<'_>, unix_now: Duration) -> Option<Duration> {
    headers
        .retry_after_ms
        .and_then(millis)
        .or_else(|| {
            headers
                .retry_after
                .and_then(|text| seconds(text).or_else(|| date(text, unix_now)))
        })
        .or_else(|| headers.reset_requests.and_then(reset))
        .or_else(|| headers.reset_tokens.and_then(reset))
}

fn millis(text: &str) -> Option<Duration> {
    decimal(text).map(|ms| ms / 1000.0).and_then(positive)
}

fn seconds(text: &str) -> Option<Duration> {
    decimal(text).and_then(positive)
}

fn date(text: &str, unix_now: Duration) -> Option<Duration> {
    let at = httpdate::parse_http_date(text.trim()).ok()?;
    let at = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    at.checked_sub(unix_now).filter(|wait| !wait.is_zero())
}

/// Azure sends whole seconds (`10`), OpenAI units (`6m0s`, `17ms`, `1h2m`).
fn reset(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Some(plain) = seconds(text) {
        return Some(plain);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value = decimal(&rest[..digits])?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" | "µs" => 0.000_001,
            _ => return None,
        };
        total += value * unit;
        rest = &rest[letters..];
    }
    positive(total)
}

/// Plain digits with an optional fraction: no sign, no exponent, no `inf`.
fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

fn positive(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000); // Tue, 14 Nov 2023 22:13:20 GMT

    fn after(text: &str) -> Option<Duration> {
        parse(
            WaitHeaders {
                retry_after: Some(text),
                ..Default::default()
            },
            NOW,
        )
    }

    fn until_reset(text: &str) -> Option<Duration> {
        parse(
            WaitHeaders {
                reset_tokens: Some(text),
                ..Default::default()
            },
            NOW,
        )
    }

    #[test]
    fn retry_after_is_read_in_every_form_seen_in_the_wild() {
        for (text, expected_ms) in [
            ("1", Some(1_000)),
            (" 20 ", Some(20_000)),
            ("1.5", Some(1_500)),
            ("86400", Some(86_400_000)),
            ("Tue, 14 Nov 2023 22:13:50 GMT", Some(30_000)),
            ("Tuesday, 14-Nov-23 22:13:50 GMT", Some(30_000)),
            ("Tue, 14 Nov 2023 22:13:20 GMT", None),
            ("Tue, 14 Nov 2023 22:00:00 GMT", None),
            ("0", None),
            ("0.0", None),
            ("-1", None),
            ("", None),
            ("soon", None),
            ("inf", None),
            ("NaN", None),
            ("1e3", None),
            ("1.2.3", None),
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(
                after(text),
                expected_ms.map(Duration::from_millis),
                "{text:?}"
            );
        }
    }

    #[test]
    fn reset_headers_are_read_with_and_without_units() {
        for (text, expected_ms) in [
            ("10", Some(10_000)),
            ("6m0s", Some(360_000)),
            ("17ms", Some(17)),
            ("1h2m3s", Some(3_723_000)),
            ("1m30.5s", Some(90_500)),
            ("0", None),
            ("-1", None),
            ("6x", None),
            ("m", None),
            ("6m5", None),
        ] {
            assert_eq!(
                until_reset(text),
                expected_ms.map(Duration::from_millis),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_more_exact_header_wins_and_an_unknown_one_falls_through() {
        let all = WaitHeaders {
            retry_after_ms: Some("250"),
            retry_after: Some("1"),
            reset_requests: Some("2"),
            reset_tokens: Some("3"),
        };
        let secs = |s| Some(Duration::from_secs(s));
        assert_eq!(parse(all, NOW), Some(Duration::from_millis(250)));
        let all = WaitHeaders {
            retry_after_ms: Some("-5"),
            ..all
        };
        assert_eq!(parse(all, NOW), secs(1));
        let all = WaitHeaders {
            retry_after: Some("0"),
            ..all
        };
        assert_eq!(parse(all, NOW), secs(2));
        let all = WaitHeaders {
            reset_requests: Some("x"),
            ..all
        };
        assert_eq!(parse(all, NOW), secs(3));
        assert_eq!(parse(WaitHeaders::default(), NOW), None);
    }
}
