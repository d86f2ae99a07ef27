//! Listening sockets: those that were open before this process (from its predecessor, or held by systemd) are
//! matched to the configured addresses, the rest is bound here. Knows nothing of what is spoken on them.

use std::{
    fs, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::FileTypeExt as _,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{Mode, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with},
};
use serde::{Deserialize, Serialize};

use super::StartError;

/// Connections that the kernel completes and keeps until they are accepted. The kernel lowers it to
/// `net.core.somaxconn` (4096 since Linux 5.4); std's own 128 is too few for the moment of a hand-over.
const BACKLOG: i32 = 65_535;

/// Where a socket listens, as the configuration says it: port 0 stays 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A listening socket. A clone is another descriptor of the same socket.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }

    fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true)?,
            Self::Unix(listener) => listener.set_nonblocking(true)?,
        }
        // On a socket that listens already, Linux changes the backlog.
        Ok(rustix::net::listen(self, BACKLOG)?)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Sockets that were open before this process.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(Place, Socket)>,
    /// Why others are not used, for the operator.
    pub(super) refused: Vec<String>,
}

impl Inherited {
    /// From the predecessor, each with the place it was opened for.
    #[must_use]
    pub fn new(sockets: Vec<(Place, Socket)>) -> Self {
        Self {
            sockets,
            refused: Vec::new(),
        }
    }

    /// Those that systemd holds for us (`LISTEN_FDS`, sd_listen_fds(3)); close-on-exec is set on them. Reads and
    /// clears the environment: call it before any thread is started.
    #[must_use]
    pub fn from_systemd() -> Self {
        let mut passed = listenfd::ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..passed.len() {
            // No unix sockets: who may open the admin socket is for us to see to.
            match passed.take_tcp_listener(index) {
                Ok(Some(listener)) => {
                    if let Ok(address) = listener.local_addr() {
                        let socket = (Place::Tcp(address), Socket::Tcp(listener));
                        inherited.sockets.push(socket);
                    }
                }
                Ok(None) => {}
                Err(error) => inherited.refused.push(error.to_string()),
            }
        }
        inherited
    }

    /// The socket for a configured place: inherited, or bound now.
    ///
    /// # Errors
    /// It cannot be bound.
    pub(super) fn take_or_bind(&mut self, place: &Place) -> Result<Arc<Socket>, StartError> {
        let refused = |source| StartError::Bind {
            place: place.to_string(),
            source,
        };
        let inherited = self.sockets.iter().position(|(open, socket)| {
            open == place || serves_both_families(open, place) && !is_v6_only(socket)
        });
        let socket = match inherited {
            Some(index) => self.sockets.remove(index).1,
            None => bind(place).map_err(refused)?,
        };
        socket.prepare().map_err(refused)?;
        Ok(Arc::new(socket))
    }

    /// The places of the sockets that nothing in the configuration asked for.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.sockets.iter().map(|(place, _)| place)
    }
}

impl Place {
    /// Removes what a socket leaves in the file system.
    pub(super) fn clear(&self) {
        if let Self::Unix(path) = self {
            // It may be gone, or be in a folder that is removed after us.
            let _ = fs::remove_file(path);
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Whether a socket opened for one place may stand for another: systemd's `ListenStream=8080` gives `[::]:8080`, which
/// takes IPv4 as well.
fn serves_both_families(open: &Place, wanted: &Place) -> bool {
    let (Place::Tcp(open), Place::Tcp(wanted)) = (open, wanted) else {
        return false;
    };
    open.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        && wanted.ip().is_unspecified()
        && open.port() == wanted.port()
}

fn is_v6_only(socket: &Socket) -> bool {
    rustix::net::sockopt::ipv6_v6only(socket).unwrap_or(true)
}

/// Binds here and not in pingora, which would panic, or wait and try again, where an operator wants to be told.
fn bind(place: &Place) -> io::Result<Socket> {
    match place {
        Place::Tcp(address) => TcpListener::bind(address).map(Socket::Tcp),
        Place::Unix(path) => {
            remove_abandoned(path)?;
            let address = SocketAddrUnix::new(path)?;
            let flags = SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            // Whoever can open it can reload and upgrade: nobody else for a moment. Linux gives the file the mode that
            // the socket had when it was bound.
            fchmod(&socket, Mode::from_raw_mode(0o600))?;
            rustix::net::bind(&socket, &address)?;
            rustix::net::listen(&socket, BACKLOG)?;
            Ok(Socket::Unix(socket.into()))
        }
    }
}

/// A process that was killed leaves the name of its socket behind. One that answers is somebody's, and anything
/// else that has the name is not ours to remove.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let is_socket =
                fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
            if is_socket {
                fs::remove_file(path)?;
            }
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn tcp(text: &str) -> Place {
        Place::Tcp(text.parse().unwrap())
    }

    #[test]
    fn a_wildcard_of_ipv6_stands_for_both_families() {
        for (open, wanted, expected) in [
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "0.0.0.0:80", false),
            ("[::]:80", "0.0.0.0:80", true),
            ("[::]:80", "0.0.0.0:81", false),
            ("0.0.0.0:80", "[::]:80", false),
            ("[::]:80", "127.0.0.1:80", false),
        ] {
            assert_eq!(
                serves_both_families(&tcp(open), &tcp(wanted)),
                expected,
                "{open} {wanted}"
            );
        }
    }

    #[test]
    fn an_abandoned_socket_is_replaced_and_one_in_use_or_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let place = Place::Unix(path.clone());
        let first = bind(&place).unwrap();
        assert_eq!(bind(&place).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let second = bind(&place).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(second);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        assert!(bind(&place).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    }

    #[test]
    fn an_inherited_socket_is_used_once_and_the_rest_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let any = tcp("127.0.0.1:0");
        let mut inherited = Inherited::new(vec![
            (any.clone(), Socket::Tcp(listener)),
            (tcp("127.0.0.1:1"), {
                let other = TcpListener::bind("127.0.0.1:0").unwrap();
                Socket::Tcp(other)
            }),
        ]);
        let mut port_of_next = || match &*inherited.take_or_bind(&any).unwrap() {
            Socket::Tcp(listener) => listener.local_addr().unwrap().port(),
            Socket::Unix(_) => unreachable!(),
        };
        assert_eq!(port_of_next(), port);
        assert_ne!(port_of_next(), port);
        let left: Vec<&Place> = inherited.places().collect();
        assert_eq!(left, [&tcp("127.0.0.1:1")]);
    }
}
