//! The unix socket between two processes: descriptors once, then values as lines of JSON.

use std::{
    io::{self, BufRead as _, BufReader, IoSlice, IoSliceMut, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};

/// Descriptors in one message (the kernel's SCM_MAX_FD).
const DESCRIPTORS_MAX: usize = 253;

pub(super) struct Wire(BufReader<UnixStream>);

impl Wire {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// How long each later read and write may take.
    pub(super) fn set_patience(&self, limit: Duration) -> io::Result<()> {
        self.0.get_ref().set_read_timeout(Some(limit))?;
        self.0.get_ref().set_write_timeout(Some(limit))
    }

    pub(super) fn send_descriptors(&self, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if descriptors.len() > DESCRIPTORS_MAX {
            let message = format!(
                "{} sockets are too many, at most {DESCRIPTORS_MAX} can be handed over",
                descriptors.len()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut space =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(descriptors.len()))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(descriptors));
        // Descriptors travel with at least one byte (unix(7)).
        let bytes = [IoSlice::new(b"\n")];
        sendmsg(self.0.get_ref(), &bytes, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Must be the first thing received: what is read ahead has no descriptors.
    pub(super) fn receive_descriptors(&mut self) -> io::Result<Vec<OwnedFd>> {
        let mut space =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut bytes = [IoSliceMut::new(&mut byte)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(self.0.get_ref(), &mut bytes, &mut control, flags)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect())
    }

    pub(super) fn send(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.0.get_mut().write_all(&line)
    }

    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn sockets_and_values_arrive_in_their_order() {
        let (old, new) = UnixStream::pair().unwrap();
        let (mut old, mut new) = (Wire::new(old).unwrap(), Wire::new(new).unwrap());
        let listeners: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let descriptors: Vec<_> = listeners.iter().map(|listener| listener.as_fd()).collect();
        old.send_descriptors(&descriptors).unwrap();
        old.send(&["a", "b"]).unwrap();
        old.send(&7).unwrap();
        let received = new.receive_descriptors().unwrap();
        let ports = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let arrived: Vec<u16> = received
            .into_iter()
            .map(|descriptor| {
                let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
                ports(&TcpListener::from(descriptor))
            })
            .collect();
        assert_eq!(arrived, listeners.iter().map(ports).collect::<Vec<_>>());
        assert_eq!(new.receive::<[String; 2]>().unwrap(), ["a", "b"]);
        assert_eq!(new.receive::<u32>().unwrap(), 7);
        drop(old);
        let end = new.receive::<u32>().unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }
}
