//! Values as the operator writes them, and lists of names as people read them.

use std::{
    fmt::{Display, Write as _},
    ops::RangeInclusive,
    time::Duration,
};

use crate::{
    config::{
        bytes,
        compiled::{EndpointKind, LogFormat},
    },
    policy::{cause::Cause, params::Balance},
};

/// More names than this are counted instead of listed.
const LISTED_MAX: usize = 8;

const MINUTE_SECS: u64 = 60;
const HOUR_SECS: u64 = 60 * MINUTE_SECS;

pub(in crate::config) fn plain(value: &impl Display) -> String {
    value.to_string()
}

/// The value, or the word that stands for there being none.
pub(in crate::config) fn or<T: Display>(nothing: &'static str) -> impl Fn(&Option<T>) -> String {
    move |value| {
        value
            .as_ref()
            .map_or_else(|| nothing.to_owned(), T::to_string)
    }
}

/// `90s`, `10m`, `250ms`: never rounded, so that two that differ look different.
pub(in crate::config) fn span(span: &Duration) -> String {
    let seconds = span.as_secs();
    if span.subsec_nanos() != 0 {
        return format!("{span:?}");
    }
    // 60s and 90s are more usual than 1m and 1m30s.
    match seconds {
        0..=MINUTE_SECS => format!("{seconds}s"),
        _ if seconds.is_multiple_of(HOUR_SECS) => format!("{}h", seconds / HOUR_SECS),
        _ if seconds.is_multiple_of(MINUTE_SECS) => format!("{}m", seconds / MINUTE_SECS),
        _ => format!("{seconds}s"),
    }
}

/// `moment`: seconds since 1970.
pub(in crate::config) fn date(moment: &Option<u64>) -> Option<jiff::Timestamp> {
    let at = moment.and_then(|seconds| i64::try_from(seconds).ok());
    at.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
}

pub(in crate::config) fn size(size: &usize) -> String {
    bytes::format_size(u64::try_from(*size).unwrap_or(u64::MAX))
}

pub(in crate::config) fn on_off(value: &bool) -> String {
    if *value { "on" } else { "off" }.to_owned()
}

pub(in crate::config) fn percent(value: &u32) -> String {
    format!("{value}%")
}

pub(in crate::config) fn causes(causes: &[Cause]) -> String {
    commas(causes.iter().map(|cause| cause.as_str()))
}

pub(in crate::config) fn statuses(statuses: &[RangeInclusive<u16>]) -> String {
    commas(statuses.iter().map(|range| {
        let (min, max) = (range.start(), range.end());
        if min == max {
            min.to_string()
        } else {
            format!("{min}-{max}")
        }
    }))
}

/// All of them, however many: two lists that differ must look different.
pub(in crate::config) fn commas<T: Display>(items: impl Iterator<Item = T>) -> String {
    let mut text = String::new();
    for item in items {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{item}").expect("a String takes every write");
    }
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

pub(in crate::config) fn balance(balance: &Balance) -> String {
    balance.as_str().to_owned()
}

pub(in crate::config) fn format(format: &LogFormat) -> String {
    match format {
        LogFormat::Auto => "auto",
        LogFormat::Json => "json",
        LogFormat::Logfmt => "logfmt",
        LogFormat::Text => "text",
    }
    .to_owned()
}

pub(in crate::config) fn kind(kind: &EndpointKind) -> String {
    match kind {
        EndpointKind::Azure => "azure",
        EndpointKind::OpenAi => "openai",
    }
    .to_owned()
}

/// `a`, `a and b`, `a, b and c`, `a, b, … and 4 more`.
pub(in crate::config) fn list<T: Display>(names: &[T]) -> String {
    let listed: Vec<_> = names.iter().take(LISTED_MAX).map(T::to_string).collect();
    let more = names.len() - listed.len();
    match listed.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        all if more > 0 => format!("{} and {more} more", all.join(", ")),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
