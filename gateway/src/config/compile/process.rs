//! Keys of the process itself: listeners, threads, limits, log.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::secret::secret;
use crate::{
    config::{
        compiled::{Admin, Limits, Listen, Log, LogFormat},
        diagnostics::{At, Diagnostics},
        raw::{List, Raw, RawLogFormat, RawSecret, Switch},
        secrets::SecretSource,
        suggest,
    },
    secret::Secret,
};

const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(30);
/// What the kernel can hold of a unix socket's path, without the zero at its end (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Whoever reaches the address can try as often as the network allows.
const TOKEN_CHARS_MIN: usize = 16;
const LOG_LEVEL: &str = "info";
const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const LIMITS: Limits = Limits {
    body_bytes_max: 32 * 1024 * 1024,
    buffered_bytes_max: 1024 * 1024 * 1024,
    header_bytes_max: 32 * 1024,
    keep_alive: Duration::from_secs(75),
    client_read: Duration::from_secs(30),
    client_body: Duration::from_secs(300),
};

pub(super) fn threads(raw: &Raw) -> usize {
    raw.threads
        .map_or(0, |threads| usize::try_from(threads.0).unwrap_or(0))
}

pub(super) fn drain_timeout(raw: &Raw) -> Duration {
    raw.drain_timeout.map_or(DRAIN_TIMEOUT, |span| span.0)
}

pub(super) fn hand_over_timeout(raw: &Raw) -> Duration {
    raw.hand_over_timeout
        .map_or(HAND_OVER_TIMEOUT, |span| span.0)
}

/// The clients' listeners and the operators' one.
pub(super) fn listeners(
    raw: &Raw,
    secrets: &dyn SecretSource,
    diagnostics: &mut Diagnostics,
) -> (Vec<Listen>, Option<Admin>) {
    let at = At::ROOT.key("listen");
    let mut listen = Vec::new();
    let mut taken = HashMap::new();
    for (index, entry) in raw.listen.iter().flat_map(List::iter) {
        let at = at.index(index);
        let Some(address) = entry.address.map(|address| address.0) else {
            diagnostics.missing(
                at.key("address"),
                "missing, write for example `127.0.0.1:8080`",
            );
            continue;
        };
        // Port 0 is another port each time.
        if address.port() != 0
            && let Some(first) = taken.insert(address, index)
        {
            let message = format!("`{address}` is already the address of listen[{first}]");
            diagnostics.error(at.key("address"), message);
        }
        if raw.open == Some(true) && !address.ip().is_loopback() {
            let message = format!(
                "`open: true` lets everyone who reaches `{address}` use every model without a key"
            );
            diagnostics.warn(at.key("address"), message);
        }
        let tls = entry
            .tls
            .as_ref()
            .map(|tls| super::tls::listener(tls, secrets, at.key("tls"), diagnostics));
        if tls.is_some() && entry.h2c == Some(true) {
            let message = "HTTP/2 without TLS cannot be spoken beside `tls`, remove one of them";
            diagnostics.error(at.key("h2c"), message);
        }
        listen.push(Listen {
            address,
            h2c: entry.h2c.unwrap_or(false),
            tls,
        });
    }
    if listen.is_empty() {
        let message = "at least one is needed, write for example `[{ address: 127.0.0.1:8080 }]`";
        diagnostics.missing(at, message);
    }
    let admin = admin(raw, secrets, diagnostics);
    if let Some(Admin { address, .. }) = &admin
        && address.port() != 0
        && let Some(first) = taken.get(address)
    {
        let at = At::ROOT.key("admin");
        diagnostics.error(
            at.key("address"),
            format!("`{address}` is already the address of listen[{first}]"),
        );
    }
    (listen, admin)
}

fn admin(raw: &Raw, secrets: &dyn SecretSource, diagnostics: &mut Diagnostics) -> Option<Admin> {
    match &raw.admin {
        Some(Switch::Off) => None,
        Some(Switch::On(admin)) => Some(Admin {
            address: admin.address.map_or(ADMIN, |address| address.0),
            socket: admin_socket(admin.socket.as_deref(), diagnostics),
            token: admin_token(admin.token.as_ref(), secrets, diagnostics),
        }),
        None => Some(Admin {
            address: ADMIN,
            socket: None,
            token: None,
        }),
    }
}

fn admin_socket(path: Option<&Path>, diagnostics: &mut Diagnostics) -> Option<Arc<Path>> {
    let path = path?;
    let problem = if !path.is_absolute() {
        "expected an absolute path, for example `/run/tokenweir/admin.sock`".to_owned()
    } else if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        format!(
            "the path has {} bytes, expected at most {SOCKET_PATH_BYTES_MAX}",
            path.as_os_str().len()
        )
    } else {
        return Some(path.into());
    };
    let at = At::ROOT.key("admin");
    diagnostics.error(at.key("socket"), problem);
    None
}

fn admin_token(
    raw: Option<&RawSecret>,
    secrets: &dyn SecretSource,
    diagnostics: &mut Diagnostics,
) -> Option<Secret> {
    let at = At::ROOT.key("admin");
    let at = at.key("token");
    let token = secret(raw?, secrets, at, diagnostics)?;
    if token.expose().len() < TOKEN_CHARS_MIN {
        let message = format!("too short, expected at least {TOKEN_CHARS_MIN} characters");
        diagnostics.error(at, message);
    }
    Some(token)
}

/// systemd names the folders of `StateDirectory=` with colons between them (systemd.exec(5)).
pub(super) fn state_directory(
    raw: &Raw,
    secrets: &dyn SecretSource,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Path>> {
    let Some(path) = &raw.state_directory else {
        let folders = secrets.env("STATE_DIRECTORY").ok()?;
        return folders
            .expose()
            .split(':')
            .next()
            .map(|folder| Path::new(folder).into());
    };
    if path.is_absolute() {
        return Some(path.as_path().into());
    }
    diagnostics.error(
        At::ROOT.key("state_directory"),
        "expected an absolute path, for example `/var/lib/tokenweir`",
    );
    None
}

pub(super) fn limits(raw: &Raw, diagnostics: &mut Diagnostics) -> Limits {
    let Some(raw) = &raw.limits else {
        return LIMITS;
    };
    let limits = Limits {
        body_bytes_max: raw.body.map_or(LIMITS.body_bytes_max, |size| size.bytes()),
        buffered_bytes_max: raw
            .buffered
            .map_or(LIMITS.buffered_bytes_max, |size| size.bytes()),
        header_bytes_max: raw
            .header
            .map_or(LIMITS.header_bytes_max, |size| size.bytes()),
        keep_alive: raw.keep_alive.map_or(LIMITS.keep_alive, |span| span.0),
        client_read: raw.client_read.map_or(LIMITS.client_read, |span| span.0),
        client_body: raw.client_body.map_or(LIMITS.client_body, |span| span.0),
    };
    if limits.buffered_bytes_max < limits.body_bytes_max {
        let at = At::ROOT.key("limits");
        let message = format!(
            "{} bytes are less than the {} of one largest `body`, expected at least as many",
            limits.buffered_bytes_max, limits.body_bytes_max
        );
        diagnostics.error(at.key("buffered"), message);
    }
    limits
}

pub(super) fn log(raw: &Raw, diagnostics: &mut Diagnostics) -> Log {
    let at = At::ROOT.key("log");
    let raw = raw.log.as_ref();
    let level = raw
        .and_then(|log| log.level.as_deref())
        .unwrap_or(LOG_LEVEL);
    for problem in log_level_problems(level) {
        diagnostics.error(at.key("level"), problem);
    }
    let format = match raw.and_then(|log| log.format) {
        Some(RawLogFormat::Auto) | None => LogFormat::Auto,
        Some(RawLogFormat::Json) => LogFormat::Json,
        Some(RawLogFormat::Logfmt) => LogFormat::Logfmt,
        Some(RawLogFormat::Text) => LogFormat::Text,
    };
    let file = raw.and_then(|log| log.file.as_deref());
    if file.is_some_and(|path| !path.is_absolute()) {
        diagnostics.error(
            at.key("file"),
            "expected an absolute path, for example `/var/log/tokenweir/tokenweir.log`",
        );
    }
    Log {
        level: level.to_owned(),
        format,
        file: file.map(Arc::from),
    }
}

/// Everything that is wrong with a filter of the log: `info`, `warn,gateway=debug`.
#[must_use]
pub fn log_level_problems(filter: &str) -> Vec<String> {
    let problem = |directive: &str| {
        let (module, level) = match directive.rsplit_once('=') {
            Some((module, level)) => (Some(module), level),
            None => (None, directive),
        };
        let is_level = LOG_LEVELS.contains(&level.to_ascii_lowercase().as_str());
        let is_module = |module: &str| {
            let mut bytes = module.bytes();
            !module.is_empty()
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte))
        };
        if !is_level {
            Some(suggest::unknown("level", level, LOG_LEVELS))
        } else if !module.is_none_or(is_module) {
            let module = module.unwrap_or_default();
            Some(format!(
                "`{module}` is not the name of a module, expected for example `gateway`"
            ))
        } else {
            None
        }
    };
    filter
        .split(',')
        .map(str::trim)
        .filter_map(problem)
        .collect()
}
