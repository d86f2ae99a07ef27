//! Endpoint URLs: scheme, host, optional port, optional path. What follows belongs to the request.

use std::net::{IpAddr, Ipv6Addr};

use http::Uri;

use crate::config::compiled::{EndpointKind, EndpointUrl};

/// Parses the URL of an endpoint and drops the API's own path from its end.
///
/// # Errors
/// What is wrong, as a message. It does not repeat the URL, which may contain a password.
pub(super) fn parse(text: &str, kind: EndpointKind) -> Result<EndpointUrl, String> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("expected `https://` or `http://` and a host")?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err("unknown scheme, expected `https://` or `http://`".to_owned()),
    };
    if rest.contains(['?', '#']) {
        return Err(
            "a query or fragment is not allowed, expected scheme, host and path only".to_owned(),
        );
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("a user or password is not allowed, use `credential`".to_owned());
    }
    let (host, port) = split_port(authority, if tls { 443 } else { 80 })?;
    Ok(EndpointUrl {
        tls,
        host: self::host(host)?.into(),
        port,
        base_path: base_path(path, kind)?.into(),
    })
}

/// Whether what is sent there stays on this machine.
pub(super) fn is_loopback(url: &EndpointUrl) -> bool {
    let address = url.host.parse::<IpAddr>();
    address.map_or_else(|_| &*url.host == "localhost", |ip| ip.is_loopback())
}

/// Whether nobody on the way can read or change what is exchanged.
#[must_use]
pub fn is_safe_url(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    !host.is_empty() && (url.starts_with("https://") || url.starts_with("http://") && is_here)
}

fn split_port(authority: &str, default: u16) -> Result<(&str, u16), String> {
    let host_end = authority.rfind(']').unwrap_or(0);
    let Some(colon) = authority[host_end..].find(':') else {
        return Ok((authority, default));
    };
    let (host, port) = authority.split_at(host_end + colon);
    match port[1..].parse::<u16>() {
        Ok(port) if port != 0 => Ok((host, port)),
        Ok(_) | Err(_) => Err("the port is not a number from 1 to 65535".to_owned()),
    }
}

fn host(text: &str) -> Result<String, String> {
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let address = inner
            .parse::<Ipv6Addr>()
            .map_err(|_| "not an IPv6 address in brackets")?;
        return Ok(address.to_string());
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if text.len() <= 253 && text.split('.').all(label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("the host is not a name or an address".to_owned())
    }
}

fn base_path(path: &str, kind: EndpointKind) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    let own: &[&str] = match kind {
        EndpointKind::Azure => &["/openai/v1", "/openai"],
        EndpointKind::OpenAi => &["/v1"],
    };
    let path = own
        .iter()
        .find_map(|suffix| path.strip_suffix(suffix))
        .unwrap_or(path);
    let path = path.trim_end_matches('/');
    let good = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    if path.split('/').skip(1).all(good) {
        Ok(path.to_owned())
    } else {
        Err("the path has an empty, `.` or `..` segment, or a character other than letters, digits and -._~".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_safe_by_https_or_on_this_machine() {
        for (url, expected) in [
            ("https://a.example.com/x", true),
            ("http://127.0.0.1:1/x", true),
            ("http://[::1]/x", true),
            ("http://localhost:8080", true),
            ("http://a.example.com/x", false),
            ("http://a.localhost/", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://localhost@example.com/", false),
            ("ftp://127.0.0.1/", false),
            ("https://", false),
            ("127.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_safe_url(url), expected, "{url}");
        }
    }

    fn shown(text: &str, kind: EndpointKind) -> Result<String, String> {
        let url = parse(text, kind)?;
        Ok(format!(
            "{} {} {} {}",
            url.tls, url.host, url.port, url.base_path
        ))
    }

    #[test]
    fn urls_are_taken_apart() {
        use EndpointKind::{Azure, OpenAi};
        for (text, kind, expected) in [
            (
                "https://aoi-1.openai.azure.com",
                Azure,
                "true aoi-1.openai.azure.com 443 ",
            ),
            (
                "https://aoi-1.openai.azure.com/",
                Azure,
                "true aoi-1.openai.azure.com 443 ",
            ),
            (
                "HTTPS://AOI.example.com:8443/openai/",
                Azure,
                "true aoi.example.com 8443 ",
            ),
            (
                "https://a.example.com/openai/v1",
                Azure,
                "true a.example.com 443 ",
            ),
            (
                "https://a.example.com/eu/openai",
                Azure,
                "true a.example.com 443 /eu",
            ),
            (
                "https://a.example.com/openai/v1",
                OpenAi,
                "true a.example.com 443 /openai",
            ),
            ("http://vllm_1:8000/v1", OpenAi, "false vllm_1 8000 "),
            (
                "http://127.0.0.1/a/b/v1/",
                OpenAi,
                "false 127.0.0.1 80 /a/b",
            ),
            ("http://[::1]:8000", OpenAi, "false ::1 8000 "),
            ("https://[2001:DB8::1]", OpenAi, "true 2001:db8::1 443 "),
        ] {
            assert_eq!(shown(text, kind).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_url_is_refused() {
        for text in [
            "",
            "a.example.com",
            "ftp://a",
            "https://",
            "https:///v1",
            "https://a b",
            "https://a:0",
            "https://a:65536",
            "https://a:x",
            "https://[::1",
            "https://::1",
            "https://[1.2.3.4]",
            "https://a..b",
            "https://a/?x=1",
            "https://a/#x",
            "https://a//b",
            "https://a/../b",
            "https://a/%2e",
            "https://ä.example.com",
        ] {
            assert!(parse(text, EndpointKind::OpenAi).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_shown() {
        let error = parse("https://user:hunter2@a.example.com", EndpointKind::Azure).unwrap_err();
        assert!(
            error.contains("use `credential`") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn loopback_is_told_from_the_network() {
        for (text, expected) in [
            ("http://localhost:1", true),
            ("http://sim.localhost", false),
            ("http://127.0.0.9", true),
            ("http://[::1]", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example.com", false),
        ] {
            let url = parse(text, EndpointKind::OpenAi).unwrap();
            assert_eq!(is_loopback(&url), expected, "{text}");
        }
    }
}
