//! Which headers go on, in each direction. Unknown headers pass: providers add opt-ins and diagnostics all
//! the time. What is held back is named here, and the caller adds its own.

/// Held back in both directions: they are about one connection (RFC 9110 §7.6.1). An upgrade is made anew by
/// the proxy. Headers that `connection` names as well: see [`named_by_connection`].
const HOP_BY_HOP: [&str; 6] = [
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Held back in both directions: a hop's own business, and the gateway's own names, which nobody else may set.
const OWN_PREFIXES: [&str; 2] = ["proxy-", "x-tokenweir-"];

const REQUEST_ONLY: [&str; 12] = [
    // Written by the proxy.
    "accept-encoding",
    "content-length",
    "expect",
    "host",
    // Shows the client to the gateway and must not reach a provider.
    "api-key",
    "authorization",
    "cookie",
    "ocp-apim-subscription-key",
    "subscription-key",
    // Belong to the client's own account: with the gateway's key the provider would refuse them, and the
    // refusal would count against an endpoint that is well.
    "openai-organization",
    "openai-project",
    // May hold a key, see `forwarded_subprotocols`.
    "sec-websocket-protocol",
];

const RESPONSE_ONLY: [&str; 3] = [
    // True for the provider's host name only.
    "alt-svc",
    "set-cookie",
    "strict-transport-security",
];

/// How the browser client of the `openai` npm package hands over its key.
pub(super) const SUBPROTOCOL_KEY: &str = "openai-insecure-api-key.";

/// Whether a client's header goes to the provider. `name` in any case.
#[must_use]
pub fn forwards_request_header(name: &str) -> bool {
    !(is_own(name) || is_one_of(name, &REQUEST_ONLY))
}

/// Whether a provider's header goes to the client. `name` in any case.
#[must_use]
pub fn forwards_response_header(name: &str) -> bool {
    !(is_own(name) || is_one_of(name, &RESPONSE_ONLY))
}

/// Whether the value of a `connection` header names this header, which then must not go on.
#[must_use]
pub fn named_by_connection(connection: &str, name: &str) -> bool {
    connection
        .split(',')
        .any(|named| named.trim_ascii().eq_ignore_ascii_case(name))
}

/// The value of `sec-websocket-protocol` without the item that carries a key; `None` where nothing is left.
#[must_use]
pub fn forwarded_subprotocols(offered: &str) -> Option<String> {
    let kept: Vec<&str> = offered
        .split(',')
        .map(str::trim_ascii)
        .filter(|item| !item.is_empty() && !has_prefix(item, SUBPROTOCOL_KEY))
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

fn is_own(name: &str) -> bool {
    is_one_of(name, &HOP_BY_HOP) || OWN_PREFIXES.iter().any(|prefix| has_prefix(name, prefix))
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|held| held.eq_ignore_ascii_case(name))
}

pub(super) fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_go_on_unless_they_belong_to_a_hop_or_carry_a_credential() {
        for (name, request, response) in [
            ("connection", false, false),
            ("Keep-Alive", false, false),
            ("proxy-connection", false, false),
            ("proxy-authorization", false, false),
            ("te", false, false),
            ("trailer", false, false),
            ("Transfer-Encoding", false, false),
            ("upgrade", false, false),
            ("x-tokenweir-endpoint", false, false),
            ("authorization", false, true),
            ("API-Key", false, true),
            ("ocp-apim-subscription-key", false, true),
            ("cookie", false, true),
            ("accept-encoding", false, true),
            ("expect", false, true),
            ("host", false, true),
            ("content-length", false, true),
            ("openai-organization", false, true),
            ("openai-project", false, true),
            ("sec-websocket-protocol", false, true),
            ("set-cookie", true, false),
            ("alt-svc", true, false),
            ("strict-transport-security", true, false),
            ("content-type", true, true),
            ("aoai-evals", true, true),
            ("openai-beta", true, true),
            ("x-ms-client-request-id", true, true),
            ("x-stainless-retry-count", true, true),
            ("retry-after-ms", true, true),
            ("x", true, true),
        ] {
            assert_eq!(forwards_request_header(name), request, "request {name}");
            assert_eq!(forwards_response_header(name), response, "response {name}");
        }
    }

    #[test]
    fn a_header_that_connection_names_is_recognized() {
        assert!(named_by_connection("close, X-Hop", "x-hop"));
        assert!(!named_by_connection("close, x-hop", "x-ho"));
        assert!(!named_by_connection("", "x-hop"));
    }

    #[test]
    fn a_key_among_the_subprotocols_stays_here() {
        for (offered, expected) in [
            ("realtime", Some("realtime")),
            ("realtime, openai-insecure-api-key.k,x", Some("realtime, x")),
            ("OpenAI-Insecure-API-Key.k", None),
            ("", None),
        ] {
            assert_eq!(
                forwarded_subprotocols(offered).as_deref(),
                expected,
                "{offered}"
            );
        }
    }
}
