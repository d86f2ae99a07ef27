//! An HTTP/2 client (prior knowledge): several requests at a time share a connection, which is replaced when it was
//! given up. A request that the gateway says it has not processed is sent again, as every HTTP/2 client does.

use std::io;

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    client::{ResponseFuture, SendRequest, handshake},
};
use tokio::{
    net::TcpStream,
    sync::Mutex,
    time::{sleep, timeout},
};

use crate::{
    client::PAUSE,
    clock::now,
    connection::PATIENCE,
    tally::{Fate, Seen, Tally, judge_broken, judge_whole},
};

pub(crate) struct Message {
    pub(crate) head: http::Request<()>,
    pub(crate) body: Bytes,
    /// It asks for a stream of events.
    pub(crate) streamed: bool,
}

/// The connection that the requests of one client share.
pub(crate) struct Link {
    authority: String,
    open: Mutex<Option<SendRequest<Bytes>>>,
}

/// How an exchange failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The connection was over before the request was on it.
    #[error("not sent: {0}")]
    Unsent(h2::Error),
    #[error("{0}")]
    Broken(#[from] h2::Error),
    #[error("nothing came for {PATIENCE:?}")]
    Silent(#[from] tokio::time::error::Elapsed),
}

impl Failure {
    /// The gateway said so, by the last stream of its GOAWAY (h2 gives the error of a GOAWAY only to streams above
    /// it) or by the reason of a reset.
    fn is_unprocessed(&self) -> bool {
        match self {
            Self::Broken(error) => {
                let refused = error.reason() == Some(Reason::REFUSED_STREAM);
                error.is_remote() && (error.is_go_away() || error.is_reset() && refused)
            }
            Self::Unsent(_) | Self::Silent(_) => false,
        }
    }
}

impl Link {
    pub(crate) fn new(authority: &str) -> Self {
        Self {
            authority: authority.to_owned(),
            open: Mutex::default(),
        }
    }

    /// `piece` is called for each piece of an answer's body.
    pub(crate) async fn ask(&self, message: &Message, tally: &mut Tally, mut piece: impl FnMut()) {
        loop {
            let sent = now();
            let (mut sender, reused) = match self.sender().await {
                Ok(ready) => ready,
                Err(error) => {
                    tally.count(Fate::Refused, sent, &error);
                    sleep(PAUSE).await;
                    return;
                }
            };
            let mut seen = Seen::default();
            let answer = exchange(&mut sender, message, |bytes| {
                piece();
                seen.feed(bytes);
            })
            .await;
            let stream = message.streamed.then_some(&seen);
            match answer {
                Ok(status) => {
                    let fate = judge_whole(status, stream);
                    return tally.count(fate, sent, &format_args!("status {status}"));
                }
                Err(Failure::Unsent(_)) if reused => *self.open.lock().await = None,
                Err(failure) if failure.is_unprocessed() && !seen.has_begun() => {
                    tally.count(Fate::Retried, sent, &failure);
                }
                Err(failure) => return tally.count(judge_broken(stream), sent, &failure),
            }
        }
    }

    /// The connection that is open, or a new one; whether it was open.
    async fn sender(&self) -> io::Result<(SendRequest<Bytes>, bool)> {
        let mut open = self.open.lock().await;
        // It is not ready once it broke or a GOAWAY came.
        if let Some(sender) = open.take()
            && let Ok(ready) = sender.ready().await
        {
            *open = Some(ready.clone());
            return Ok((ready, true));
        }
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(stream).await.map_err(io::Error::other)?;
        // Its requests hear of its end.
        tokio::spawn(async { drop(connection.await) });
        *open = Some(sender.clone());
        Ok((sender, false))
    }
}

/// The status of a whole answer.
async fn exchange(
    sender: &mut SendRequest<Bytes>,
    message: &Message,
    mut piece: impl FnMut(&[u8]),
) -> Result<u16, Failure> {
    let (response, mut sending) = sender
        .send_request(message.head.clone(), message.body.is_empty())
        .map_err(Failure::Unsent)?;
    if !message.body.is_empty() {
        // Where it cannot be sent the answer says why.
        let _ = sending.send_data(message.body.clone(), true);
    }
    let (status, mut body) = head(response).await?;
    while let Some(bytes) = timeout(PATIENCE, body.data()).await? {
        let bytes = bytes?;
        piece(&bytes);
        body.flow_control().release_capacity(bytes.len())?;
    }
    Ok(status)
}

async fn head(response: ResponseFuture) -> Result<(u16, RecvStream), Failure> {
    let (head, body) = timeout(PATIENCE, response).await??.into_parts();
    Ok((head.status.as_u16(), body))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        thread,
    };

    use super::*;

    const PREFACE_BYTES: usize = 24;
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const GO_AWAY: u8 = 7;
    const END_STREAM_AND_HEADERS: u8 = 5;
    /// `:status: 200` in HPACK's static table.
    const STATUS_200: &[u8] = &[0x88];

    /// What the server does when a request's head has come.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        Answer,
        Reset(Reason),
        /// With its last stream, and then the connection ends or not.
        GoAway(u32),
        GoAwayAndAnswer,
        Close,
    }

    fn write(stream: &mut TcpStream, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(id.to_be_bytes());
        frame.extend(payload);
        stream.write_all(&frame).unwrap();
    }

    /// The stream of the next request; what else comes is skipped.
    fn next_request(stream: &mut TcpStream) -> u32 {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length.try_into().unwrap()];
            stream.read_exact(&mut payload).unwrap();
            if head[3] == HEADERS {
                return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            }
        }
    }

    fn serve(mut stream: TcpStream, acts: &[Act]) {
        stream.read_exact(&mut [0; PREFACE_BYTES]).unwrap();
        write(&mut stream, SETTINGS, 0, 0, &[]);
        let go_away = |stream: &mut TcpStream, last: u32| {
            let payload = [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
            write(stream, GO_AWAY, 0, 0, &payload);
        };
        for act in acts {
            let id = next_request(&mut stream);
            let answer = |stream: &mut TcpStream| {
                write(stream, HEADERS, END_STREAM_AND_HEADERS, id, STATUS_200);
            };
            match *act {
                Act::Answer => answer(&mut stream),
                Act::Reset(reason) => {
                    let code = u32::from(reason).to_be_bytes();
                    write(&mut stream, RESET, 0, id, &code);
                }
                Act::GoAway(last) => go_away(&mut stream, last),
                Act::GoAwayAndAnswer => {
                    go_away(&mut stream, id);
                    answer(&mut stream);
                }
                Act::Close => {}
            }
        }
        // Until the client has taken what was sent, lest a reset overtakes it.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }

    /// One connection after the other, then nobody listens. What a client counts that sends `requests`.
    fn counted(script: &[&[Act]], requests: usize) -> Vec<(Fate, u64)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Link::new(&listener.local_addr().unwrap().to_string());
        let script: Vec<Vec<Act>> = script.iter().map(|one| one.to_vec()).collect();
        let server = thread::spawn(move || {
            for acts in script {
                serve(listener.accept().unwrap().0, &acts);
            }
        });
        let message = Message {
            head: http::Request::post("http://gateway/").body(()).unwrap(),
            body: Bytes::from_static(b"ping"),
            streamed: false,
        };
        let mut tally = Tally::new("test", now());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for _ in 0..requests {
                link.ask(&message, &mut tally, || {}).await;
            }
        });
        drop((link, runtime));
        server.join().unwrap();
        let counts = Fate::ALL.map(|fate| (fate, tally.of(fate)));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn only_what_the_gateway_says_it_has_not_processed_is_sent_again() {
        use Act::{Answer, Close, GoAway, GoAwayAndAnswer, Reset};
        use Fate::{Lost, Ok, Refused, Retried};
        let refused = Reset(Reason::REFUSED_STREAM);
        for (script, requests, expected) in [
            (&[&[Answer, Answer][..]][..], 2, vec![(Ok, 2)]),
            (&[&[GoAwayAndAnswer], &[Answer]], 2, vec![(Ok, 2)]),
            (&[&[GoAway(0)], &[Answer]], 1, vec![(Ok, 1), (Retried, 1)]),
            (&[&[refused, Answer]], 1, vec![(Ok, 1), (Retried, 1)]),
            (
                &[&[Reset(Reason::CANCEL), Answer]],
                2,
                vec![(Ok, 1), (Lost, 1)],
            ),
            (&[&[GoAway(1)], &[Answer]], 2, vec![(Ok, 1), (Lost, 1)]),
            (&[&[Close], &[Answer]], 2, vec![(Ok, 1), (Lost, 1)]),
            (
                &[&[Answer, Close]],
                3,
                vec![(Ok, 1), (Lost, 1), (Refused, 1)],
            ),
        ] {
            assert_eq!(counted(script, requests), expected, "{script:?}");
        }
    }
}
