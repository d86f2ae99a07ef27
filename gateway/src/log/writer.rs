//! Lines on their way to the disk or to whoever reads them. They wait in a buffer that is bounded in bytes, and a thread
//! writes them; what finds the buffer full, or cannot be written, is lost and counted.
//!
//! Not tracing-appender (0.2.5): its queue is bounded in lines, whatever they weigh; it allocates, wakes its thread and
//! calls the kernel for each line; lines that a full disk refuses it does not count; and it cannot change its file.

use std::{
    io::{self, ErrorKind, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use memchr::{memchr, memchr_iter, memrchr};
use parking_lot::{Condvar, Mutex};

use super::output::Output;

/// Lines that wait to be written, all together; as many bytes may be on their way to the kernel. Ten seconds of a
/// thousand requests a second.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Lines come in company: the thread that writes them is woken for the first one, and waits so long for the rest. To
/// wake it costs the request that does it a call of the kernel, and the machine two changes of threads.
const GATHER: Duration = Duration::from_millis(10);
/// A pipe that somebody has made non-blocking is full.
const FULL: Duration = Duration::from_millis(1);
/// For the last lines; somebody who does not read them must not hold up a stop.
const LAST_LINES: Duration = Duration::from_millis(100);

/// Takes lines; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// For the thread that writes.
    work: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// What is to be written to from now on.
    redirected: Option<Output>,
    closed: bool,
    /// Nobody looks here without being told to.
    asleep: bool,
}

impl Waiting {
    fn is_urgent(&self) -> bool {
        self.closed || self.redirected.is_some()
    }
}

/// Starts the thread that writes to `output`. It calls `on_loss` with the number of lines that were lost, once there is
/// room for a line that says so.
pub(super) fn start(
    output: Output,
    on_loss: impl Fn(u64) + Send + 'static,
) -> io::Result<(Lines, LastLines)> {
    // Memory that is never written to is never had.
    let buffer = || Vec::with_capacity(WAITING_BYTES_MAX);
    let lines = Lines::default();
    lines.0.waiting.lock().bytes = buffer();
    let mut writer = Writer {
        queue: lines.0.clone(),
        output,
        torn: false,
    };
    let (running, ended) = mpsc::channel();
    thread::Builder::new()
        .name("tokenweir-log".to_owned())
        .spawn(move || {
            writer.run(buffer(), on_loss);
            drop::<mpsc::Sender<()>>(running);
        })?;
    let last_lines = LastLines {
        lines: lines.clone(),
        ended,
    };
    Ok((lines, last_lines))
}

impl Lines {
    /// `line` has one line end, its last byte. Never waits for a reader.
    pub(super) fn push(&self, line: &[u8]) {
        let queue = &*self.0;
        let mut waiting = queue.waiting.lock();
        if waiting.bytes.len() + line.len() > WAITING_BYTES_MAX {
            drop(waiting);
            queue.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes.extend_from_slice(line);
        if std::mem::take(&mut waiting.asleep) {
            drop(waiting);
            queue.work.notify_one();
        }
    }

    /// What waits, and what comes, is written to `output`.
    pub(super) fn redirect(&self, output: Output) {
        self.0.waiting.lock().redirected = Some(output);
        self.0.work.notify_one();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// What nobody has begun to write.
    #[cfg(test)]
    pub(super) fn take_waiting(&self) -> String {
        let bytes = std::mem::take(&mut self.0.waiting.lock().bytes);
        String::from_utf8(bytes).expect("lines are text")
    }
}

/// Writes what is left of the log when it is dropped, as far as somebody takes it.
pub struct LastLines {
    lines: Lines,
    ended: mpsc::Receiver<()>,
}

impl Drop for LastLines {
    fn drop(&mut self) {
        let queue = &self.lines.0;
        queue.waiting.lock().closed = true;
        queue.work.notify_one();
        let _ = self.ended.recv_timeout(LAST_LINES);
    }
}

struct Writer {
    queue: Arc<Queue>,
    output: Output,
    /// The last line was written in part.
    torn: bool,
}

impl Writer {
    fn run(&mut self, mut batch: Vec<u8>, on_loss: impl Fn(u64)) {
        let (mut told, mut written) = (0, true);
        loop {
            let lost = self.queue.dropped.load(Ordering::Relaxed) - told;
            // Not while nothing can be written: the line that says so would be lost like the others.
            let tells = written && lost > 0;
            if self.take(&mut batch, tells).is_none() {
                return;
            }
            if tells {
                told += lost;
                // What was taken came before the loss, and made room.
                on_loss(lost);
            }
            written = self.write(&batch);
        }
    }

    /// Exchanges the empty `batch` for what waits; first waits for something to come, unless told `at_once`. `None` if
    /// nothing will come any more.
    fn take(&mut self, batch: &mut Vec<u8>, at_once: bool) -> Option<()> {
        batch.clear();
        let mut waiting = self.queue.waiting.lock();
        if waiting.bytes.is_empty() && !waiting.is_urgent() && !at_once {
            waiting.asleep = true;
            let work = &self.queue.work;
            work.wait_while(&mut waiting, |waiting| {
                waiting.asleep && !waiting.is_urgent()
            });
            waiting.asleep = false;
            work.wait_while_for(&mut waiting, |waiting| !waiting.is_urgent(), GATHER);
        }
        let old = waiting.redirected.take().map(|output| {
            self.torn = false;
            std::mem::replace(&mut self.output, output)
        });
        if waiting.closed && waiting.bytes.is_empty() && !at_once {
            return None;
        }
        std::mem::swap(&mut waiting.bytes, batch);
        drop(waiting);
        // Closing it may take a while.
        drop(old);
        Some(())
    }

    /// Whether all was written. What was not is counted as lost: a disk that is full may not be so later.
    fn write(&mut self, batch: &[u8]) -> bool {
        let mut rest = batch;
        if self.torn && !rest.is_empty() && self.output.write_all(b"\n").is_ok() {
            self.torn = false;
        }
        while !rest.is_empty() {
            match self
                .output
                .write(&rest[..piece(rest, self.output.piece_bytes_max)])
            {
                Ok(count @ 1..) => {
                    self.torn = rest[count - 1] != b'\n';
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(FULL),
                Ok(_) | Err(_) => {
                    let lost = memchr_iter(b'\n', rest).count() as u64;
                    self.queue.dropped.fetch_add(lost, Ordering::Relaxed);
                    return false;
                }
            }
        }
        true
    }
}

/// How much is written at one time: whole lines, if they are not too long.
fn piece(rest: &[u8], bytes_max: usize) -> usize {
    let Some(start) = rest.get(..bytes_max) else {
        return rest.len();
    };
    memrchr(b'\n', start)
        .or_else(|| memchr(b'\n', rest))
        .map_or(rest.len(), |end| end + 1)
}

#[cfg(test)]
mod tests;
