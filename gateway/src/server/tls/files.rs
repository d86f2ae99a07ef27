//! The files of a listener's TLS: read, and looked at for changes. They are read while the process runs, and on
//! threads that may block.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use crate::{
    config::{compiled::ListenTls, load::SECRET_BYTES_MAX},
    secret::Secret,
};

/// What shows that a file is another one than before, symbolic links followed: a renewal often changes only where
/// they lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// One for each file; `None` where there is none.
pub(super) fn stamps(files: &ListenTls) -> Vec<Option<Stamp>> {
    let pairs = files.certificates.iter();
    let clients = files.clients.iter().map(|clients| &clients.ca);
    pairs
        .flat_map(|pair| [&pair.certificate, &pair.key])
        .chain(clients)
        .map(|path| stamp(path))
        .collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        length: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// The text of a file, which may hold a key.
pub(super) fn read(path: &Path) -> Result<Secret, String> {
    let mut text = String::new();
    // A pipe would keep us waiting for somebody to write.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(format!("{} is no regular file", path.display()));
    }
    let read =
        File::open(path).and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text));
    let text = Secret::new(text);
    match read {
        Ok(_)
            if u64::try_from(text.expose().len())
                .is_ok_and(|length| length <= SECRET_BYTES_MAX) =>
        {
            Ok(text)
        }
        Ok(_) => Err(format!(
            "{} is larger than {SECRET_BYTES_MAX} bytes",
            path.display()
        )),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
