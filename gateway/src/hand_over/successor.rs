//! The old process's side of a hand-over.

use std::{
    env,
    ffi::OsString,
    io,
    net::Shutdown,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command as Spawn, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::spawn_blocking;

use super::{Command, FLAG, Inheritance, Reply, wire::Wire};
use crate::{
    notify,
    server::{
        Remembered,
        sockets::{Place, Socket},
    },
};

/// How this process was started.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// Call it at the start: later the file may have another name.
    ///
    /// # Errors
    /// The folder this process was started in, or its file, is not known.
    pub fn current() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let named = arguments.next().map(PathBuf::from);
        // By the name it was started under, so that a link that now leads to a new version is followed.
        let path = match named {
            Some(named) if named.components().count() > 1 => std::path::absolute(named)?,
            Some(_) | None => env::current_exe()?,
        };
        let mut arguments: Vec<OsString> = arguments.filter(|argument| argument != FLAG).collect();
        arguments.push(FLAG.into());
        Ok(Self { path, arguments })
    }

    fn start(&self, input: OwnedFd) -> io::Result<Child> {
        Spawn::new(&self.path)
            .args(&self.arguments)
            .stdin(Stdio::from(input))
            // They are about this process: sd_watchdog_enabled(3), sd_listen_fds(3).
            .env_remove("WATCHDOG_PID")
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDS")
            .spawn()
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A process that serves in place of this one.
#[derive(Debug)]
pub struct Successor(Child);

impl Successor {
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Has it read its configuration again.
    pub fn reload(&self) {
        // If it is gone, that is noticed elsewhere.
        let _ = kill_process(Pid::from_child(&self.0), Signal::HUP);
    }

    /// Returns when it has ended although nobody told it to, and how. One that was stopped, or has itself handed over,
    /// has not failed.
    pub async fn failed(mut self) -> String {
        let failure = match spawn_blocking(move || self.0.wait()).await {
            Ok(Ok(status)) if status.success() => None,
            Ok(Ok(status)) => Some(status.to_string()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        match failure {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }
}

/// Starts the program and lets it serve. `limit` is for each of its answers.
///
/// # Errors
/// Why it does not serve, for the operator. The new process is gone then.
pub async fn hand_over(
    program: Program,
    sockets: Vec<(Place, Arc<Socket>)>,
    remembered: Remembered,
    limit: Duration,
) -> Result<Successor, String> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
    let _cancelled = HangUp(ours.try_clone().map_err(|error| error.to_string())?);
    // Processes and sockets are waited for: not on a worker.
    spawn_blocking(move || {
        let mut child = program
            .start(theirs.into())
            .map_err(|error| format!("cannot start {}: {error}", program.path.display()))?;
        match instruct(ours, child.id(), sockets, remembered, limit) {
            Ok(()) => Ok(Successor(child)),
            Err(refusal) => Err(explain(refusal, &mut child, limit)),
        }
    })
    .await
    .unwrap_or_else(|panicked| Err(panicked.to_string()))
}

/// Ends the talk when nobody waits for its result any more: a stop in the middle of a hand-over means both.
struct HangUp(UnixStream);

impl Drop for HangUp {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

enum Refusal {
    Declined(String),
    Lost(io::Error),
}

fn instruct(
    stream: UnixStream,
    pid: u32,
    sockets: Vec<(Place, Arc<Socket>)>,
    remembered: Remembered,
    limit: Duration,
) -> Result<(), Refusal> {
    let mut wire = Wire::new(stream).map_err(Refusal::Lost)?;
    wire.set_patience(limit).map_err(Refusal::Lost)?;
    let descriptors: Vec<_> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    wire.send_descriptors(&descriptors).map_err(Refusal::Lost)?;
    let places = sockets.iter().map(|(place, _)| place.clone()).collect();
    wire.send(&Inheritance::new(places, remembered))
        .map_err(Refusal::Lost)?;
    expect(&mut wire, &Reply::Ready)?;
    wire.send(&Command::Serve).map_err(Refusal::Lost)?;
    expect(&mut wire, &Reply::Serving)?;
    // From here, since systemd listens to the main process only; and not before it serves, since this process can not
    // take it back.
    notify::main_process(pid);
    // It serves: whether it hears this changes nothing.
    let _ = wire.send(&Command::Speak);
    Ok(())
}

fn expect(wire: &mut Wire, expected: &Reply) -> Result<(), Refusal> {
    let reply: Reply = wire.receive().map_err(Refusal::Lost)?;
    match (reply, expected) {
        (Reply::Ready, Reply::Ready) | (Reply::Serving, Reply::Serving) => Ok(()),
        (Reply::Failed(reason), _) => Err(Refusal::Declined(reason)),
        (Reply::Ready | Reply::Serving, _) => {
            Err(Refusal::Declined("it answered out of turn".to_owned()))
        }
    }
}

/// Makes sure that it is gone, and says why it does not serve.
fn explain(refusal: Refusal, child: &mut Child, limit: Duration) -> String {
    // A process that is already ending keeps its own exit status.
    let _ = child.kill();
    let ended = child.wait();
    match refusal {
        Refusal::Declined(reason) => reason,
        Refusal::Lost(error) if error.kind() == io::ErrorKind::WouldBlock => {
            format!("the new process did not answer within {limit:?} and was killed")
        }
        Refusal::Lost(error) => match (error.kind(), ended) {
            (
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionReset,
                Ok(status),
            ) => format!("the new process ended before it served ({status})"),
            _ => format!("the talk with the new process failed: {error}"),
        },
    }
}
