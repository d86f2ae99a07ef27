//! Numbers, spans and times in the few characters that a cell has.

use std::time::Duration;

/// Four characters at most; a dash for what is not known.
pub(super) fn rate(per_second: Option<f64>) -> String {
    per_second.map_or_else(|| "-".to_owned(), count)
}

/// `0`, `0.4`, `12`, `1.2k`, `34M`.
pub(super) fn count(number: f64) -> String {
    // What would be rounded up to the next unit is said in it.
    for (below, unit, suffix) in [
        (999.5, 1.0, ""),
        (999.5e3, 1e3, "k"),
        (999.5e6, 1e6, "M"),
        (f64::INFINITY, 1e9, "G"),
    ] {
        if number < below {
            let shown = number / unit;
            let digits = usize::from(shown < 9.95);
            let text = format!("{shown:.digits$}");
            let whole = text.strip_suffix(".0");
            // Little is not nothing: it stays `0.0`.
            let text = match whole.filter(|whole| *whole != "0" || number == 0.0) {
                Some(whole) => whole,
                None => &text,
            };
            return format!("{text}{suffix}");
        }
    }
    "-".to_owned()
}

/// `7s`, `12m`, `3h`, `2d`: whole units that have passed, or are left.
pub(super) fn span(seconds: f64) -> String {
    let (unit, suffix) = match seconds {
        ..100.0 => (1.0, "s"),
        ..6_000.0 => (60.0, "m"),
        ..172_800.0 => (3_600.0, "h"),
        _ => (86_400.0, "d"),
    };
    format!("{:.0}{suffix}", (seconds / unit).floor())
}

pub(super) fn millis(millis: f64) -> String {
    match millis {
        ..999.5 => format!("{millis:.0}ms"),
        ..9_950.0 => format!("{:.1}s", millis / 1_000.0),
        _ => format!("{:.0}s", millis / 1_000.0),
    }
}

pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent > 0.0 && percent < 9.95 {
        format!("{percent:.1}%")
    } else {
        format!("{percent:.0}%")
    }
}

/// A time of the day, of seconds since 1970.
pub(super) fn time(unix: f64) -> String {
    let at = Duration::try_from_secs_f64(unix)
        .ok()
        .and_then(|since| jiff::SignedDuration::try_from(since).ok())
        .and_then(|since| jiff::Timestamp::from_duration(since).ok());
    at.map_or_else(
        || "-".to_owned(),
        |at| at.strftime("%H:%M:%S UTC").to_string(),
    )
}

/// `text` in `width` characters, without its middle if it is longer: names are told apart by their ends.
pub(super) fn shortened(text: &str, width: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= width {
        return text.to_owned();
    }
    let Some(kept) = width.checked_sub(1) else {
        return String::new();
    };
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let head = letters[..head].iter();
    let tail = letters[letters.len() - tail..].iter();
    head.chain(&['…']).chain(tail).collect()
}

/// `text` in lines of at most `width` characters, broken between words where that can be.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let room = lines
            .last()
            .map_or(0, |line| width.saturating_sub(line.chars().count()));
        match lines.last_mut() {
            Some(line) if word.chars().count() < room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => {
                let letters: Vec<char> = word.chars().collect();
                lines.extend(letters.chunks(width).map(|part| part.iter().collect()));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_characters_at_most() {
        for (number, text) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (0.4, "0.4"),
            (1.0001, "1"),
            (7.0, "7"),
            (9.96, "10"),
            (12.3, "12"),
            (999.4, "999"),
            (999.6, "1k"),
            (1234.0, "1.2k"),
            (12_345.0, "12k"),
            (999_600.0, "1M"),
            (5e9, "5G"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn spans_latencies_and_ratios_are_short() {
        for (seconds, text) in [
            (0.4, "0s"),
            (7.9, "7s"),
            (99.9, "99s"),
            (100.0, "1m"),
            (3_599.0, "59m"),
            (7_300.0, "2h"),
            (200_000.0, "2d"),
        ] {
            assert_eq!(span(seconds), text);
        }
        for (latency, text) in [(3.4, "3ms"), (999.6, "1.0s"), (9_960.0, "10s")] {
            assert_eq!(millis(latency), text);
        }
        for (ratio, text) in [(0.0, "0%"), (0.004, "0.4%"), (0.0999, "10%"), (1.0, "100%")] {
            assert_eq!(percent(ratio), text);
        }
        assert_eq!(time(1_763_712_000.9), "08:00:00 UTC");
        assert_eq!(time(-1.0), "-");
    }

    #[test]
    fn long_names_lose_their_middle() {
        for (width, text) in [
            (10, "abcdefghij"),
            (9, "abcd…ghij"),
            (4, "ab…j"),
            (1, "…"),
            (0, ""),
        ] {
            assert_eq!(shortened("abcdefghij", width), text);
        }
    }

    #[test]
    fn lines_are_broken_between_words_and_long_words_anywhere() {
        for (text, lines) in [
            ("", &[][..]),
            ("one two", &["one two"]),
            ("one two three", &["one two", "three"]),
            ("abcdefghijkl m", &["abcdefgh", "ijkl m"]),
        ] {
            assert_eq!(wrapped(text, 8), lines, "{text}");
        }
    }
}
