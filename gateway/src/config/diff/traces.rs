//! Export of spans. Header values are secret: that one has changed is all that is said of it.

use super::{Lines, words};
use crate::config::compiled::Traces;

pub(super) fn changes(old: Option<&Traces>, new: Option<&Traces>, lines: &mut Lines) {
    let (Some(old), Some(new)) = (old, new) else {
        let url = |traces: Option<&Traces>| traces.map(|traces| traces.url.clone());
        lines.key("traces", &url(old), &url(new), words::or("off"));
        return;
    };
    let Traces {
        url,
        sample_percent,
        headers,
        service_name,
    } = old;
    lines.key("traces.otlp", url, &new.url, words::plain);
    lines.key(
        "traces.sample",
        sample_percent,
        &new.sample_percent,
        words::percent,
    );
    let names = |traces: &Traces| {
        let names = traces.headers.iter().map(|(name, _)| name.clone());
        names.collect::<Vec<_>>()
    };
    let (before, after) = (names(old), names(new));
    if before != after {
        lines.key("traces.headers", &before, &after, |names| {
            words::commas(names.iter())
        });
    } else {
        for ((name, old), (_, new)) in headers.iter().zip(&new.headers) {
            if old != new {
                lines.add(format!("traces.headers.{name} changed"));
            }
        }
    }
    lines.key(
        "traces.service_name",
        service_name,
        &new.service_name,
        words::plain,
    );
}
