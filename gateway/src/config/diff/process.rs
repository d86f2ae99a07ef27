//! Keys of the process itself: listeners, limits, log.

use std::{path::Path, sync::Arc};

use super::{Lines, Pairs, pairs, words};
use crate::config::compiled::{
    Admin, CertificateFiles, ClientCertificates, Limits, Listen, ListenTls, Log,
};

pub(super) fn listen(old: &[Listen], new: &[Listen], at_start: &mut Lines, at_once: &mut Lines) {
    let Pairs {
        added,
        removed,
        kept,
        reordered,
    } = pairs(old, new, |listen| listen.address);
    for listen in added {
        at_start.add(format!("listen {} added", listen.address));
    }
    for listen in removed {
        at_start.add(format!("listen {} removed", listen.address));
    }
    for (old, new) in kept {
        let Listen { address, h2c, tls } = old;
        at_start.key(
            &format!("listen {address} h2c"),
            h2c,
            &new.h2c,
            words::plain,
        );
        match (tls, &new.tls) {
            (Some(old), Some(new)) => {
                self::tls(&format!("listen {address} tls"), old, new, at_once)
            }
            (old, new) => at_start.key(
                &format!("listen {address} tls"),
                &old.is_some(),
                &new.is_some(),
                words::on_off,
            ),
        }
    }
    if reordered {
        // Which one comes first decides nothing.
        at_once.add("listen reordered".to_owned());
    }
}

/// Which files: whether their content has changed is the listener's to see.
fn tls(listen: &str, old: &ListenTls, new: &ListenTls, lines: &mut Lines) {
    let ListenTls {
        certificates,
        clients,
    } = old;
    let file = |CertificateFiles { certificate, key }: &CertificateFiles| {
        format!("{} with {}", certificate.display(), key.display())
    };
    lines.key(
        &format!("{listen}.certificates"),
        certificates.as_slice(),
        new.certificates.as_slice(),
        |files| words::commas(files.iter().map(file)),
    );
    let asked = |clients: &Option<ClientCertificates>| {
        clients.as_ref().map(|ClientCertificates { ca, required }| {
            let required = if *required { "required" } else { "optional" };
            format!("{required}, signed by {}", ca.display())
        })
    };
    lines.key(
        &format!("{listen} client certificates"),
        &asked(clients),
        &asked(&new.clients),
        words::or("none"),
    );
}

pub(super) fn admin(
    old: Option<&Admin>,
    new: Option<&Admin>,
    lines: &mut Lines,
    at_once: &mut Lines,
) {
    let (Some(old), Some(new)) = (old, new) else {
        let address = |admin: Option<&Admin>| admin.map(|admin| admin.address);
        lines.key("admin", &address(old), &address(new), words::or("off"));
        return;
    };
    let Admin {
        address,
        socket,
        token,
    } = old;
    lines.key("admin.address", address, &new.address, words::plain);
    let shown = |path: &Arc<Path>| path.display().to_string();
    let (socket, new_socket) = (socket.as_ref().map(shown), new.socket.as_ref().map(shown));
    lines.key("admin.socket", &socket, &new_socket, words::or("none"));
    if *token != new.token {
        let change = match (token, &new.token) {
            (None, _) => "set",
            (Some(_), None) => "removed",
            (Some(_), Some(_)) => "changed",
        };
        at_once.add(format!("admin.token {change}"));
    }
}

pub(super) fn log(old: &Log, new: &Log, at_start: &mut Lines, at_once: &mut Lines) {
    let Log {
        level,
        format,
        file,
    } = old;
    at_once.key("log.level", level, &new.level, words::plain);
    at_start.key("log.format", format, &new.format, words::format);
    at_start.key(
        "log.file",
        &shown(file.as_ref()),
        &shown(new.file.as_ref()),
        words::or("none"),
    );
}

fn shown(path: Option<&Arc<Path>>) -> Option<String> {
    path.map(|path| path.display().to_string())
}

pub(super) fn limits(old: &Limits, new: &Limits, lines: &mut Lines) {
    let Limits {
        body_bytes_max: body,
        buffered_bytes_max: buffered,
        header_bytes_max: header,
        keep_alive,
        client_read,
        client_body,
    } = old;
    lines.key("limits.body", body, &new.body_bytes_max, words::size);
    lines.key(
        "limits.buffered",
        buffered,
        &new.buffered_bytes_max,
        words::size,
    );
    lines.key("limits.header", header, &new.header_bytes_max, words::size);
    lines.key(
        "limits.keep_alive",
        keep_alive,
        &new.keep_alive,
        words::span,
    );
    lines.key(
        "limits.client_read",
        client_read,
        &new.client_read,
        words::span,
    );
    lines.key(
        "limits.client_body",
        client_body,
        &new.client_body,
        words::span,
    );
}
