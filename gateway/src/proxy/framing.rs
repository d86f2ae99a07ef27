//! Refuses requests that two HTTP parsers could read differently, and sets the deadlines of the client's
//! connection. Pingora 0.9.1 is lenient here (tried against raw sockets): it accepts content-length beside
//! transfer-encoding, repeated lengths, a missing host, and it keeps idle connections for ever after their first
//! request (v1/server.rs respect_keepalive).

use http::{HeaderMap, Method, Version, header};
use pingora_proxy::Session;

use super::context::{Reply, RequestContext};
use crate::api::error::ApiError;

/// Runs before anything of the request is looked at. A refusal is answered by `admit`.
pub(super) fn prepare(session: &mut Session, ctx: &mut RequestContext, stopping: bool) {
    let limits = &ctx.snapshot.config.limits;
    let request = session.req_header();
    let keeps_alive = session.get_keepalive().is_some();
    let problem = problem(&request.method, request.version, &request.headers)
        .or_else(|| hidden_length(session))
        .or_else(|| {
            too_large(
                request.raw_path(),
                &request.headers,
                limits.header_bytes_max,
            )
        });
    let downstream = &mut session.downstream_session;
    if stopping {
        downstream.set_keepalive(None);
    } else if keeps_alive {
        downstream.set_keepalive(Some(limits.keep_alive.as_secs().max(1)));
    }
    downstream.set_read_timeout(Some(limits.client_read));
    downstream.set_write_timeout(Some(limits.client_read));
    downstream.set_total_drain_timeout(Some(limits.client_read));
    // A provider's 1xx answers are its own affair with the gateway, and `answer` needs, for a head that it holds back, a status that
    // does not go out.
    downstream.set_ignore_info_resp(true);
    if let Some(reason) = problem {
        downstream.set_keepalive(None);
        ctx.reply = Reply::Own(reason);
    }
}

const TWO_LENGTHS: &str = "content-length and transfer-encoding exclude each other";

fn problem(method: &Method, version: Version, headers: &HeaderMap) -> Option<ApiError> {
    let count = |name| headers.get_all(name).iter().count();
    let reason = if version < Version::HTTP_2 && count(header::HOST) != 1 {
        "exactly one host header is required"
    } else if !plain_host(headers) {
        "the host is not a name and a port"
    } else if headers.contains_key(header::CONTENT_LENGTH)
        && headers.contains_key(header::TRANSFER_ENCODING)
    {
        TWO_LENGTHS
    } else if count(header::CONTENT_LENGTH) > 1 || !plain_length(headers) {
        "content-length must be one number"
    } else if count(header::TRANSFER_ENCODING) > 1 || !only_chunked(headers) {
        "the only transfer-encoding is chunked"
    } else if !matches!(
        *method,
        Method::GET
            | Method::POST
            | Method::HEAD
            | Method::DELETE
            | Method::OPTIONS
            | Method::PUT
            | Method::PATCH
    ) {
        "the method is not one of HTTP's own"
    } else {
        return None;
    };
    Some(ApiError::malformed_request(reason))
}

/// Pingora takes the content-length away from a request that also has a transfer-encoding (v1/server.rs
/// read_request), so only the bytes of the head show that it was there.
fn hidden_length(session: &Session) -> Option<ApiError> {
    session.get_header(header::TRANSFER_ENCODING)?;
    let head = session
        .downstream_session
        .as_http1()?
        .get_headers_raw_bytes();
    names_length(&head).then(|| ApiError::malformed_request(TWO_LENGTHS))
}

fn names_length(head: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length:";
    head.split(|&byte| byte == b'\n').any(|line| {
        line.get(..NAME.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(NAME))
    })
}

/// No space, slash, comma or `@`, after which parsers disagree about what the host is.
fn plain_host(headers: &HeaderMap) -> bool {
    headers.get(header::HOST).is_none_or(|value| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
        value.as_bytes().iter().all(plain)
    })
}

fn plain_length(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_LENGTH)
        .is_none_or(|value| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit))
}

fn only_chunked(headers: &HeaderMap) -> bool {
    headers
        .get(header::TRANSFER_ENCODING)
        .is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

fn too_large(path: &[u8], headers: &HeaderMap, bytes_max: usize) -> Option<ApiError> {
    let bytes = path.len()
        + headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum::<usize>();
    (bytes > bytes_max).then(|| ApiError::header_too_large(bytes_max))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn refused(lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for &(name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        problem(&Method::POST, Version::HTTP_11, &headers).is_some()
    }

    #[test]
    fn requests_that_could_be_read_in_two_ways_are_refused() {
        let host = ("host", "gateway");
        for (lines, expected) in [
            (vec![host], false),
            (vec![host, ("content-length", "2")], false),
            (vec![host, ("transfer-encoding", "Chunked")], false),
            (vec![], true),
            (vec![host, host], true),
            (vec![("host", "[::1]:8080")], false),
            (vec![("host", "a b")], true),
            (vec![("host", "a/b")], true),
            (vec![("host", "a,b")], true),
            (vec![("host", "a@b")], true),
            (
                vec![
                    host,
                    ("content-length", "2"),
                    ("transfer-encoding", "chunked"),
                ],
                true,
            ),
            (
                vec![host, ("content-length", "2"), ("content-length", "2")],
                true,
            ),
            (vec![host, ("content-length", "2, 2")], true),
            (vec![host, ("content-length", "+2")], true),
            (vec![host, ("content-length", "")], true),
            (vec![host, ("transfer-encoding", "gzip, chunked")], true),
            (
                vec![
                    host,
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                true,
            ),
        ] {
            assert_eq!(refused(&lines), expected, "{lines:?}");
        }
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nCONTENT-length: 3\r\n\r\n";
        assert!(names_length(head));
        assert!(!names_length(
            b"POST / HTTP/1.1\r\nx: content-length: 3\r\n\r\n"
        ));
        assert!(problem(&Method::TRACE, Version::HTTP_2, &HeaderMap::new()).is_some());
        assert!(problem(&Method::POST, Version::HTTP_2, &HeaderMap::new()).is_none());
    }
}
