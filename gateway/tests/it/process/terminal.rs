//! `tokenweir top` on a terminal: it can be used, and is left as it was found.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Command, ExitStatus},
    sync::mpsc::{self, Receiver},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{InputModes, LocalModes, OutputModes, Winsize, tcgetattr, tcsetwinsize},
};
use tokio::time::Instant;

use crate::support::PATIENCE;

/// The program on a terminal of its own.
pub(super) struct Terminal {
    child: Child,
    /// Where a person would sit.
    keys: File,
    /// What the program sees.
    line: File,
    output: Receiver<Vec<u8>>,
    seen: String,
    /// Before the program touched it.
    found: Modes,
}

type Modes = (InputModes, OutputModes, LocalModes);

fn modes(terminal: &File) -> Modes {
    let found = tcgetattr(terminal).expect("it is a terminal");
    (found.input_modes, found.output_modes, found.local_modes)
}

impl Terminal {
    pub(super) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keys).expect("it is ours");
        unlockpt(&keys).expect("it is ours");
        let name = ptsname(&keys, Vec::new()).expect("it has a name");
        let name = name.to_str().expect("a path").to_owned();
        let keys = File::from(keys);
        let line = File::options().read(true).write(true).open(name).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&line, size).expect("it is a terminal");
        let found = modes(&line);
        let child = Command::new(env!("CARGO_BIN_EXE_tokenweir"))
            .args(arguments)
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied())
            .stdin(line.try_clone().unwrap())
            .stdout(line.try_clone().unwrap())
            .stderr(line.try_clone().unwrap())
            .spawn()
            .expect("the binary was built");
        let (sender, output) = mpsc::channel();
        let mut screen = keys.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys,
            line,
            output,
            seen: String::new(),
            found,
        }
    }

    /// Waits until the program has written `text`.
    pub(super) fn until(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(bytes) = self.output.recv_timeout(left) else {
                panic!("no {text:?} in {:?}", self.seen);
            };
            self.seen += &String::from_utf8_lossy(&bytes);
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it is open");
    }

    pub(super) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The terminal is in use: another screen, keys one by one.
const TAKEN: &str = "\x1b[?1049h";
/// The screen before is back, the cursor is seen.
const GIVEN_BACK: [&str; 2] = ["\x1b[?1049l", "\x1b[?25h"];

const TOP: [&str; 3] = ["top", "--socket", "/nonexistent.sock"];

#[test]
fn top_gives_the_terminal_back_after_a_key_and_after_a_signal() {
    let interrupt = "\x03";
    for end in [Ok("q"), Ok(interrupt), Err(Signal::TERM), Err(Signal::HUP)] {
        let mut terminal = Terminal::start(&TOP, &[]);
        terminal.until(TAKEN);
        terminal.until("no answer since ");
        assert_ne!(modes(&terminal.line), terminal.found, "keys one by one");
        terminal.press("?");
        terminal.until("any key: back");
        terminal.press(" ");
        match end {
            Ok(keys) => terminal.press(keys),
            Err(signal) => {
                kill_process(Pid::from_child(&terminal.child), signal).expect("it runs");
            }
        }
        assert!(terminal.ended().success(), "{end:?}");
        assert_eq!(modes(&terminal.line), terminal.found, "{end:?}");
        for sequence in GIVEN_BACK {
            terminal.until(sequence);
        }
    }
}

#[test]
fn top_has_colours_where_they_are_wanted() {
    for (variables, is_coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let mut terminal = Terminal::start(&TOP, variables);
        terminal.until("no answer since ");
        terminal.press("q");
        assert!(terminal.ended().success());
        assert_eq!(
            terminal.seen.contains("\x1b[38;5;"),
            is_coloured,
            "{:?}",
            terminal.seen
        );
    }
}
