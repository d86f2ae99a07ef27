//! Binary hand-over: this process starts its program again, gives the new process the listening sockets and what it
//! remembers, and lets it serve. Until the new process says that it serves, nothing changes here; if it fails, is
//! slow or dies, it is killed and this one serves on.
//!
//! ```text
//! old: start the program, its standard input is a unix socket
//!      sockets (SCM_RIGHTS), then one line: their places, the memory, tokens ─▶ new: reads its configuration,
//!                                                                              opens what it was not given
//!                                                    ready | failed: why ◀─
//!                                                   serve ─▶                 accepts
//!                                                                serving ◀─
//!      MAINPID= to systemd, speak ─▶                                           READY=1 to systemd
//! old: accepts no more, drains
//! ```
//! Descriptors travel over the socket and are close-on-exec in both processes, so none leaks into another program.

mod successor;
mod wire;

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::successor::{Program, Successor, hand_over};
use self::wire::Wire;
use crate::{
    log::ByHand,
    server::{
        Remembered,
        sockets::{Inherited, Place, Socket},
    },
    state::Memory,
};

/// Given to the new process, hidden from people: tells a process that its standard input is its predecessor.
pub const FLAG: &str = "--take-over";

#[derive(Serialize, Deserialize)]
struct Inheritance {
    /// One for each descriptor, in their order.
    places: Vec<Place>,
    memory: Memory,
    /// Not for a process of another version, which may write them in another way: it fetches its own.
    #[serde(default)]
    tokens: serde_json::Value,
    #[serde(default)]
    key_sets: Vec<serde_json::Value>,
    #[serde(default)]
    log_level: Option<ByHand>,
}

impl Inheritance {
    fn new(places: Vec<Place>, remembered: Remembered) -> Self {
        Self {
            places,
            memory: remembered.memory,
            tokens: serde_json::to_value(remembered.tokens).unwrap_or_default(),
            key_sets: remembered.key_sets,
            log_level: remembered.log_level,
        }
    }

    fn remembered(self) -> Remembered {
        Remembered {
            memory: self.memory,
            tokens: serde_json::from_value(self.tokens).unwrap_or_default(),
            key_sets: self.key_sets,
            log_level: self.log_level,
        }
    }
}

/// What the old process says after the inheritance.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Serve,
    /// From now on systemd listens to the new process.
    Speak,
}

/// What the new process says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Ready,
    Failed(String),
    Serving,
}

/// For the last word of the old process, when the new one already serves.
const FAREWELL: Duration = Duration::from_secs(5);

/// The process that this one takes over from.
pub struct Predecessor(Wire);

impl Predecessor {
    /// Meets it on standard input.
    ///
    /// # Errors
    /// Standard input is not a predecessor.
    pub fn meet() -> io::Result<(Self, Inherited, Remembered)> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut wire = Wire::new(stream)?;
        let descriptors = wire.receive_descriptors()?;
        let mut inheritance: Inheritance = wire.receive()?;
        let places = std::mem::take(&mut inheritance.places);
        if places.len() != descriptors.len() {
            let message = "the number of sockets is not the announced one";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let sockets = places
            .into_iter()
            .zip(descriptors)
            .map(|(place, descriptor)| {
                let socket = socket(&place, descriptor);
                (place, socket)
            })
            .collect();
        let remembered = inheritance.remembered();
        Ok((Self(wire), Inherited::new(sockets), remembered))
    }

    /// Tells it why this process cannot take over.
    pub fn decline(mut self, reason: &str) {
        // It notices the end of this process as well.
        let _ = self.0.send(&Reply::Failed(reason.to_owned()));
    }

    /// Tells it that this process could serve, and returns when it may.
    ///
    /// # Errors
    /// The predecessor has given up or has ended. This process must not serve then.
    pub fn await_turn(&mut self) -> io::Result<()> {
        self.0.send(&Reply::Ready)?;
        match self.0.receive()? {
            Command::Serve => Ok(()),
            Command::Speak => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Tells it that this process serves, and returns when this one is the service for systemd, too.
    ///
    /// # Errors
    /// The predecessor was lost at the last moment. This process serves; it may be that systemd does not know it.
    pub fn relieve(mut self) -> io::Result<()> {
        self.0.set_patience(FAREWELL)?;
        self.0.send(&Reply::Serving)?;
        self.0.receive::<Command>().map(drop)
    }
}

fn socket(place: &Place, descriptor: OwnedFd) -> Socket {
    match place {
        Place::Tcp(_) => Socket::Tcp(descriptor.into()),
        Place::Unix(_) => Socket::Unix(descriptor.into()),
    }
}
