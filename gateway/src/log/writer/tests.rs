use std::{
    io::{BufRead as _, BufReader, PipeReader, Read as _, pipe},
    os::fd::OwnedFd,
    path::Path,
    sync::OnceLock,
};

use super::*;

fn to_a_pipe() -> (PipeReader, Output) {
    let (reader, writer) = pipe().unwrap();
    (reader, Output::from(OwnedFd::from(writer)))
}

/// A loss is told by a line of its own, as the log does it.
fn start_telling(output: Output) -> (Lines, LastLines) {
    let own = Arc::new(OnceLock::<Lines>::new());
    let lines = own.clone();
    let started = start(output, move |lost| {
        let lines = lines.get().expect("it was set before anything was lost");
        lines.push(format!("lost {lost}\n").as_bytes());
    })
    .unwrap();
    own.set(started.0.clone()).unwrap();
    started
}

const THREADS: usize = 4;
const LINES: u64 = 24_000;

#[test]
fn a_reader_that_stalls_costs_lines_which_are_counted_and_told() {
    let (reader, output) = to_a_pipe();
    let (lines, last_lines) = start_telling(output);
    let body = "x".repeat(1000);
    // Ends although nobody reads: whoever logs waits for nobody.
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (lines, body) = (lines.clone(), &body);
            scope.spawn(move || {
                for number in 0..LINES / 4 {
                    lines.push(format!("{thread} {number} {body}\n").as_bytes());
                }
            });
        }
    });
    let dropped = lines.dropped();
    assert!(dropped > 0, "24 MB fit into 16 MiB and a pipe");

    let (mut got, mut told) = (0, 0);
    let mut next = [0; THREADS];
    let mut from = BufReader::new(reader).lines();
    while got + told < LINES {
        let line = from.next().unwrap().unwrap();
        if let Some(lost) = line.strip_prefix("lost ") {
            told += lost.parse::<u64>().unwrap();
            continue;
        }
        let [thread, number, rest] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("not one of ours: {line}")
        };
        let next = &mut next[thread.parse::<usize>().unwrap()];
        let number: u64 = number.parse().unwrap();
        assert!(
            number >= *next && rest == body,
            "in order and whole: {line}"
        );
        *next = number + 1;
        got += 1;
    }
    assert_eq!(told, dropped);
    drop(last_lines);
}

#[test]
fn a_full_disk_costs_lines_until_there_is_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (lines, last_lines) = start_telling(Output::file(Path::new("/dev/full")).unwrap());
    lines.push(b"one\n");
    while lines.dropped() < 1 {
        thread::yield_now();
    }
    lines.push(b"two\n");
    while lines.dropped() < 2 {
        thread::yield_now();
    }
    lines.redirect(Output::file(&path).unwrap());
    lines.push(b"three\n");
    drop(last_lines);
    let written = read(&path);
    let mut written: Vec<&str> = written.lines().collect();
    written.sort_unstable();
    assert_eq!(written, ["lost 2", "three"]);
    assert_eq!(lines.dropped(), 2);
}

#[test]
fn a_stop_writes_the_last_lines_and_does_not_wait_for_a_reader_that_stalls() {
    let (mut reader, output) = to_a_pipe();
    let (lines, last_lines) = start_telling(output);
    lines.push(b"last words\n");
    drop(last_lines);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "last words\n");

    let (_reader, output) = to_a_pipe();
    let (lines, last_lines) = start_telling(output);
    lines.push(format!("{}\n", "x".repeat(1024 * 1024)).as_bytes());
    drop(last_lines);
}

#[test]
fn a_line_that_was_written_in_part_is_ended_before_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut writer = Writer {
        queue: Arc::default(),
        output: Output::file(&path).unwrap(),
        torn: false,
    };
    assert!(writer.write(b"{\"a\":"));
    assert!(writer.write(b"{}\n"));
    assert_eq!(read(&path), "{\"a\":\n{}\n");
}

#[test]
fn what_is_written_at_one_time_is_whole_lines_that_a_pipe_does_not_divide() {
    let line = |length: usize| "x".repeat(length - 1) + "\n";
    for (waiting, expected) in [
        (line(10), 10),
        (line(10) + &line(4085), 4095),
        (line(10) + &line(4086), 4096),
        (line(10) + &line(4087), 10),
        (line(4096) + &line(10), 4096),
        (line(5000) + &line(10), 5000),
    ] {
        assert_eq!(
            piece(waiting.as_bytes(), 4096),
            expected,
            "{}",
            waiting.len()
        );
    }
}

fn read(path: &Path) -> String {
    let mut text = String::new();
    let mut file = rustix::fs::open(path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
        .map(PipeReader::from)
        .unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}
