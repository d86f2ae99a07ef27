//! One kept-alive HTTP/1.1 connection, blocking: as little work per request as a client can have, so that what is
//! measured is the other side. Understands answers with a length and chunked ones, nothing else.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{clock::now, stop::Stop};

/// Longest silence of an answer before it counts as failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often a silent connection looks whether the run was interrupted.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const READ_BYTES: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

pub(crate) struct Connection {
    stream: TcpStream,
    stop: Stop,
    /// Received and not yet taken.
    buffer: Vec<u8>,
    taken: usize,
    /// A byte of the current answer is here.
    begun: bool,
}

/// An answer that came to its proper end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// When the first byte of its body was here.
    pub(crate) first_byte: Instant,
    /// `x-tokenweir-attempts`; 0 without it.
    pub(crate) attempts: u64,
    /// It says `connection: close`.
    pub(crate) closes: bool,
}

struct Head {
    status: u16,
    attempts: u64,
    closes: bool,
    length: Length,
}

enum Length {
    Bytes(usize),
    Chunked,
}

impl Connection {
    /// # Errors
    /// Nobody listens at `authority` (`host:port`).
    pub(crate) fn open(authority: &str, stop: &Stop) -> io::Result<Self> {
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        Ok(Self {
            stream,
            stop: stop.clone(),
            buffer: Vec::with_capacity(2 * READ_BYTES),
            taken: 0,
            begun: false,
        })
    }

    /// Sends the bytes of a request and reads its answer; `body` gets the answer's body piece by piece.
    ///
    /// # Errors
    /// The connection broke, the answer was cut or not understood, nothing came for half a minute, or the run was
    /// interrupted. The connection cannot be used again.
    pub(crate) fn exchange(
        &mut self,
        request: &[u8],
        mut body: impl FnMut(&[u8]),
    ) -> io::Result<Answer> {
        self.begun = false;
        self.stream.write_all(request)?;
        let head = self.head()?;
        let mut first_byte = None;
        let mut deliver = |piece: &[u8]| {
            first_byte.get_or_insert_with(now);
            body(piece);
        };
        match head.length {
            Length::Bytes(bytes) => self.take(bytes, &mut deliver)?,
            Length::Chunked => loop {
                let size = self.chunk_size()?;
                self.take(size, &mut deliver)?;
                self.take(2, &mut |_| {})?;
                if size == 0 {
                    break;
                }
            },
        }
        Ok(Answer {
            status: head.status,
            first_byte: first_byte.unwrap_or_else(now),
            attempts: head.attempts,
            closes: head.closes,
        })
    }

    /// Whether a byte of the last exchange's answer came.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    fn head(&mut self) -> io::Result<Head> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut response = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(bytes) = response
                .parse(&self.buffer[self.taken..])
                .map_err(|_| not_understood())?
            {
                let text = |name: &str| {
                    let found = response
                        .headers
                        .iter()
                        .find(|header| header.name.eq_ignore_ascii_case(name));
                    found.and_then(|header| std::str::from_utf8(header.value).ok())
                };
                let number = |name| text(name).and_then(|text| text.parse().ok());
                let head = Head {
                    status: response.code.unwrap_or_default(),
                    attempts: number("x-tokenweir-attempts").unwrap_or_default() as u64,
                    closes: text("connection")
                        .is_some_and(|value| value.eq_ignore_ascii_case("close")),
                    length: number("content-length").map_or(Length::Chunked, Length::Bytes),
                };
                self.taken += bytes;
                return Ok(head);
            }
            self.fill()?;
        }
    }

    fn chunk_size(&mut self) -> io::Result<usize> {
        loop {
            let parsed = httparse::parse_chunk_size(&self.buffer[self.taken..])
                .map_err(|_| not_understood())?;
            if let httparse::Status::Complete((bytes, size)) = parsed {
                self.taken += bytes;
                return usize::try_from(size).map_err(|_| not_understood());
            }
            self.fill()?;
        }
    }

    fn take(&mut self, mut bytes: usize, deliver: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while bytes > 0 {
            if self.taken == self.buffer.len() {
                self.fill()?;
            }
            let end = self.buffer.len().min(self.taken + bytes);
            deliver(&self.buffer[self.taken..end]);
            bytes -= end - self.taken;
            self.taken = end;
        }
        Ok(())
    }

    /// Waits for more bytes.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + READ_BYTES, 0);
        let read = self.read_patiently(held);
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => {
                self.begun = true;
                Ok(())
            }
        }
    }

    fn read_patiently(&mut self, from: usize) -> io::Result<usize> {
        let mut waited = Duration::ZERO;
        while !self.stop.is_set() && waited < PATIENCE {
            match self.stream.read(&mut self.buffer[from..]) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    waited += LOOK_EVERY;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
        Err(ErrorKind::TimedOut.into())
    }
}

fn not_understood() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "not an HTTP/1.1 answer")
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// What the client makes of these bytes, sent one write after the other.
    fn exchange(pieces: Vec<&'static [u8]>) -> io::Result<(u16, u64, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut request = [0; 4];
            stream.read_exact(&mut request).unwrap();
            for piece in pieces {
                stream.write_all(piece).unwrap();
            }
        });
        let mut connection = Connection::open(&authority, &Stop::default())?;
        let mut body = Vec::new();
        let answer = connection.exchange(b"ping", |piece| body.extend_from_slice(piece));
        server.join().unwrap();
        answer.map(|answer| {
            let text = String::from_utf8(body).unwrap();
            (answer.status, answer.attempts, text)
        })
    }

    #[test]
    fn answers_with_a_length_and_chunked_ones_are_read_to_their_end() {
        let sized = exchange(vec![
            b"HTTP/1.1 200 OK\r\nx-tokenweir-",
            b"attempts: 2\r\nContent-Length: 5\r\n\r\nhe",
            b"llo",
        ]);
        assert_eq!(sized.unwrap(), (200, 2, "hello".to_owned()));
        let chunked = exchange(vec![
            b"HTTP/1.1 429 Slow\r\ntransfer-encoding: chunked\r\n\r\n3\r",
            b"\nabc\r\n2\r\nde\r\n0",
            b"\r\n\r\n",
        ]);
        assert_eq!(chunked.unwrap(), (429, 0, "abcde".to_owned()));
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        let head: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for end in [&b""[..], b"3\r\nab", b"3\r\nabc\r\n"] {
            assert!(exchange(vec![head, end]).is_err(), "{end:?} was an answer");
        }
        assert!(exchange(vec![b"\x16\x03 no HTTP\r\n\r\n"]).is_err());
    }
}
