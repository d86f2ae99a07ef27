//! The only file here that touches the file system, always on a thread that may block.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Reads a whole file.
///
/// # Errors
/// It cannot be read, or has more than `bytes_max`.
pub async fn read_limited(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let path = path.to_owned();
    blocking(move || read(&path, bytes_max)).await
}

/// Reads a whole file that somebody else named: neither `..` nor a link leads out of `folder`.
///
/// # Errors
/// It is elsewhere (`PermissionDenied`), cannot be read, or has more than `bytes_max`.
pub async fn read_below(folder: &Path, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let (folder, path) = (folder.to_owned(), path.to_owned());
    blocking(move || {
        let real = fs::canonicalize(&path)?;
        if real.starts_with(fs::canonicalize(&folder)?) && real.extension() == path.extension() {
            read(&real, bytes_max)
        } else {
            let message = format!("not below {}", folder.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
        }
    })
    .await
}

/// Writes a file so that whoever reads it sees all of the old content or all of the new.
///
/// # Errors
/// Its folder cannot be written to; the file is then as it was.
pub async fn write_atomically(path: &Path, bytes: Vec<u8>, mode: u32) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || {
        // In the same folder, since a file cannot be renamed into another file system.
        let temporary = temporary(&path);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)
            .and_then(|mut file| {
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    })
    .await
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}", fastrand::u64(..)));
    path.with_file_name(name)
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    // A pipe would keep us waiting for somebody to write.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= bytes_max) {
        Ok(bytes)
    } else {
        let message = format!("larger than {bytes_max} bytes");
        Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[tokio::test]
    async fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_limited(&path, 5).await.unwrap(), b"12345");
        let error = read_limited(&path, 4).await.unwrap_err();
        assert_eq!(error.to_string(), "larger than 4 bytes");
    }

    #[tokio::test]
    async fn what_is_written_replaces_the_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for content in ["first and longer", "second"] {
            write_atomically(&path, content.into(), 0o600)
                .await
                .unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_failed_write_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folder");
        fs::create_dir_all(path.join("not empty")).unwrap();
        assert!(write_atomically(&path, b"new".into(), 0o600).await.is_err());
        assert!(path.join("not empty").is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn nothing_leads_out_of_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("keys");
        fs::create_dir_all(folder.join("below")).unwrap();
        fs::create_dir(outer.path().join("keys2")).unwrap();
        fs::write(outer.path().join("out.key"), "out").unwrap();
        fs::write(outer.path().join("keys2/out.key"), "out").unwrap();
        fs::write(folder.join("in.key"), "in").unwrap();
        fs::write(folder.join("other.txt"), "in").unwrap();
        symlink(outer.path().join("out.key"), folder.join("link.key")).unwrap();
        symlink(folder.join("other.txt"), folder.join("kind.key")).unwrap();
        symlink(folder.join("in.key"), folder.join("below/link.key")).unwrap();
        for (path, expected) in [
            ("keys/in.key", Ok("in")),
            ("keys/below/../in.key", Ok("in")),
            ("keys/below/link.key", Ok("in")),
            ("keys/../out.key", Err(io::ErrorKind::PermissionDenied)),
            ("keys2/out.key", Err(io::ErrorKind::PermissionDenied)),
            ("keys/link.key", Err(io::ErrorKind::PermissionDenied)),
            ("keys/kind.key", Err(io::ErrorKind::PermissionDenied)),
            ("keys/none.key", Err(io::ErrorKind::NotFound)),
        ] {
            let read = read_below(&folder, &outer.path().join(path), 9).await;
            let read = read.map(|bytes| String::from_utf8(bytes).unwrap());
            let expected = expected.map(str::to_owned);
            assert_eq!(read.map_err(|error| error.kind()), expected, "{path}");
        }
    }
}
