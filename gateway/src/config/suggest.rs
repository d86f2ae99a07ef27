//! What to say about a name nobody knows: the one that was probably meant, or else the known ones.

/// More names than this are not listed.
const LISTED_MAX: usize = 24;

/// ``unknown key `wieght`, did you mean `weight`?``
#[must_use]
pub fn unknown<'a>(what: &str, found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let tail = match nearest(found, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => format!("there is no {what} here"),
        None => {
            let listed: Vec<_> = known
                .iter()
                .take(LISTED_MAX)
                .map(|name| format!("`{name}`"))
                .collect();
            let more = if known.len() > LISTED_MAX {
                ", …"
            } else {
                ""
            };
            format!("known: {}{more}", listed.join(", "))
        }
    };
    format!("unknown {what} `{found}`, {tail}")
}

/// The known name that differs from `found` by a slip of the fingers.
pub(super) fn nearest<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distance_max = 1 + found.chars().count() / 4;
    let lower = found.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name))
        .filter(|&(distance, name)| distance <= distance_max && distance < name.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_and_another_word_does_not() {
        let known = ["weight", "priority", "url", "drain_timeout", "on"];
        for (found, meant) in [
            ("wieght", Some("weight")),
            ("Priority", Some("priority")),
            ("drainTimeout", Some("drain_timeout")),
            ("ulr", Some("url")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(found, known), meant, "{found}");
        }
    }

    #[test]
    fn without_a_near_name_the_known_ones_are_listed() {
        assert_eq!(
            unknown("key", "x", ["abc", "def"]),
            "unknown key `x`, known: `abc`, `def`"
        );
        assert_eq!(
            unknown("credential", "x", []),
            "unknown credential `x`, there is no credential here"
        );
    }
}
