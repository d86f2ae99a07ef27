//! Where log lines go: standard output, or a file that is only ever appended to. The only file of the log that touches
//! the file system.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Write},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    },
    path::Path,
};

use anstream::{AutoStream, ColorChoice};

/// The kernel does not divide a write to a pipe that is no longer (PIPE_BUF, pipe(7)). Two processes write to the
/// same one during a hand-over, and their lines must not mix.
const PIPE_BYTES_MAX: usize = 4096;
/// It divides none to a file: each call holds the file's lock. Four lines at a time would cost a microsecond a line.
const FILE_BYTES_MAX: usize = 256 * 1024;
/// Others are neither to read a file nor to write it.
const MODE: u32 = 0o640;

#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// Set if a person reads it as it comes.
    pub(super) terminal: Option<Terminal>,
    /// What is written at one time stays together up to here.
    pub(super) piece_bytes_max: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal {
    pub(super) colours: bool,
}

impl Output {
    /// Not `Stdout`: that one writes line by line, and has a lock.
    pub(super) fn stdout() -> io::Result<Self> {
        let stdout = io::stdout();
        let mut output = Self::from(stdout.as_fd().try_clone_to_owned()?);
        output.terminal = stdout.is_terminal().then(|| Terminal {
            // Somebody may have asked for none (`NO_COLOR`, `TERM=dumb`).
            colours: AutoStream::choice(&stdout) != ColorChoice::Never,
        });
        Ok(output)
    }

    pub(super) fn file(path: &Path) -> io::Result<Self> {
        // A pipe would keep us waiting for somebody to read.
        if path
            .metadata()
            .is_ok_and(|found| found.file_type().is_fifo())
        {
            return Err(io::Error::other("it is a pipe"));
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(MODE)
            .open(path)?;
        Ok(Self::from(OwnedFd::from(file)))
    }
}

impl From<OwnedFd> for Output {
    fn from(descriptor: OwnedFd) -> Self {
        let file = File::from(descriptor);
        let is_file = file.metadata().is_ok_and(|what| what.is_file());
        Self {
            file,
            terminal: None,
            piece_bytes_max: if is_file {
                FILE_BYTES_MAX
            } else {
                PIPE_BYTES_MAX
            },
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
