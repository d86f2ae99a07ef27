//! What a provider's answer says about what is left of a deployment: the rate limits of a pay-as-you-go deployment,
//! the utilization of a provisioned one. Whatever cannot be read is unknown; Azure also says `-1`, and nothing at all.

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    pub remaining_requests: Option<u64>,
    pub remaining_tokens: Option<u64>,
    /// 1 = all of it. It can be more.
    pub utilization: Option<f64>,
}

impl Limits {
    /// `header`: the value of a header by its name.
    #[must_use]
    pub fn read<'a>(header: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        Self {
            remaining_requests: header("x-ratelimit-remaining-requests").and_then(count),
            remaining_tokens: header("x-ratelimit-remaining-tokens").and_then(count),
            utilization: header("azure-openai-deployment-utilization").and_then(share),
        }
    }
}

fn count(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&count| count != u64::MAX)
}

/// `37.1%` is 0.371.
fn share(text: &str) -> Option<f64> {
    let text = text.trim();
    let percent: f64 = text.strip_suffix('%').unwrap_or(text).trim().parse().ok()?;
    (percent.is_finite() && percent >= 0.0).then_some(percent / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_unknown() {
        for (text, expected) in [
            ("79", Some(79)),
            (" 61353 ", Some(61_353)),
            ("0", Some(0)),
            ("-1", None),
            ("", None),
            ("many", None),
            ("1e3", None),
            ("18446744073709551615", None),
        ] {
            let limits = Limits::read(|name| name.ends_with("tokens").then_some(text));
            assert_eq!(limits.remaining_tokens, expected, "{text}");
            assert_eq!(limits.remaining_requests, None);
        }
        for (text, expected) in [
            ("37.1%", Some(0.371)),
            ("0%", Some(0.0)),
            ("112 %", Some(1.12)),
            ("37.1", Some(0.371)),
            ("", None),
            ("%", None),
            ("-1%", None),
            ("NaN%", None),
            ("inf", None),
        ] {
            let limits = Limits::read(|name| name.ends_with("utilization").then_some(text));
            assert_eq!(limits.utilization, expected, "{text}");
        }
    }
}
