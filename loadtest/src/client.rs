//! An HTTP/1.1 client as SDKs are: it keeps its connection, opens another when it was told to or had to, and sends
//! again what may be sent again. What becomes of each request is counted.

use std::time::Duration;

use crate::{
    clock::{now, sleep},
    connection::Connection,
    stop::Stop,
    tally::{Fate, Seen, Tally, judge},
};

/// After a refused connection, so that an outage is not a busy loop.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    /// It asks for a stream of events.
    pub(crate) streamed: bool,
}

pub(crate) struct Client {
    authority: String,
    stop: Stop,
    kept: Option<Connection>,
}

impl Client {
    pub(crate) fn new(authority: &str, stop: &Stop) -> Self {
        Self {
            authority: authority.to_owned(),
            stop: stop.clone(),
            kept: None,
        }
    }

    /// Sends until it is no race. `piece` is called for each piece of an answer's body.
    pub(crate) fn ask(&mut self, request: &Request, tally: &mut Tally, mut piece: impl FnMut()) {
        loop {
            let sent = now();
            let reused = self.kept.is_some();
            let opened = self
                .kept
                .take()
                .map_or_else(|| Connection::open(&self.authority, &self.stop), Result::Ok);
            let mut connection = match opened {
                Ok(connection) => connection,
                Err(error) => {
                    tally.count(Fate::Refused, sent, &error);
                    sleep(PAUSE);
                    return;
                }
            };
            let mut seen = Seen::default();
            let answer = connection.exchange(&request.bytes, |bytes| {
                piece();
                seen.feed(bytes);
            });
            let stream = request.streamed.then_some(&seen);
            let fate = judge(&answer, reused, connection.has_begun(), stream);
            match answer {
                Ok(answer) => {
                    tally.count(fate, sent, &format_args!("status {}", answer.status));
                    self.kept = (!answer.closes).then_some(connection);
                }
                Err(error) => tally.count(fate, sent, &error),
            }
            if fate != Fate::Race {
                return;
            }
        }
    }

    /// The next request opens a connection.
    pub(crate) fn close(&mut self) {
        self.kept = None;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 2\r\n\r\nok";
    const BUSY: &[u8] = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
    const DONE: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    const NOT_DONE: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: {}\n\r\n0\r\n\r\n";
    const BROKEN: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: {}\n\r\n";

    /// One connection after the other, each with its answers, of which the first byte of an empty one is a close;
    /// then nobody listens. What a client counts that sends `requests`.
    fn counted(script: &[&[&'static [u8]]], requests: usize, streamed: bool) -> Vec<(Fate, u64)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let script: Vec<Vec<&'static [u8]>> = script.iter().map(|one| one.to_vec()).collect();
        let server = thread::spawn(move || {
            for answers in script {
                let (mut stream, _) = listener.accept().unwrap();
                for answer in answers {
                    stream.read_exact(&mut [0; 4]).unwrap();
                    stream.write_all(answer).unwrap();
                }
            }
        });
        let mut client = Client::new(&authority, &Stop::default());
        let mut tally = Tally::new("test", now());
        let request = Request {
            bytes: b"ping".to_vec(),
            streamed,
        };
        for _ in 0..requests {
            client.ask(&request, &mut tally, || {});
        }
        server.join().unwrap();
        let counts = Fate::ALL.map(|fate| (fate, tally.of(fate)));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn what_becomes_of_a_request_is_counted_by_when_its_connection_ended() {
        use Fate::{Lost, Ok, Race, Refused};
        let begun: &[u8] = b"H";
        for (name, script, requests, expected) in [
            ("kept", &[&[OK, OK, OK][..]][..], 3, vec![(Ok, 3)]),
            ("announced close", &[&[LAST], &[OK]], 2, vec![(Ok, 2)]),
            (
                "closed while idle",
                &[&[OK], &[OK]],
                2,
                vec![(Ok, 2), (Race, 1)],
            ),
            (
                "closed for no answer",
                &[&[OK, b""], &[OK]],
                2,
                vec![(Ok, 2), (Race, 1)],
            ),
            (
                "closed after a byte",
                &[&[OK, begun], &[OK]],
                3,
                vec![(Ok, 2), (Lost, 1)],
            ),
            (
                "fresh and closed",
                &[&[b""], &[OK]],
                2,
                vec![(Ok, 1), (Lost, 1)],
            ),
            ("503", &[&[BUSY, OK]], 2, vec![(Ok, 1), (Lost, 1)]),
            ("nobody listens", &[&[LAST]], 2, vec![(Ok, 1), (Refused, 1)]),
        ] {
            assert_eq!(counted(script, requests, false), expected, "{name}");
        }
    }

    #[test]
    fn a_stream_is_whole_only_with_its_last_event() {
        use Fate::{Cut, Lost, Ok, Race};
        for (name, script, requests, expected) in [
            ("whole", &[&[DONE, DONE][..]][..], 2, vec![(Ok, 2)]),
            ("ended early", &[&[NOT_DONE]], 1, vec![(Cut, 1)]),
            ("broken", &[&[DONE, BROKEN]], 2, vec![(Ok, 1), (Cut, 1)]),
            (
                "closed while idle",
                &[&[DONE], &[DONE]],
                2,
                vec![(Ok, 2), (Race, 1)],
            ),
            ("no stream", &[&[BUSY]], 1, vec![(Lost, 1)]),
        ] {
            assert_eq!(counted(script, requests, true), expected, "{name}");
        }
    }
}
