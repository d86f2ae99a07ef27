//! Whatever a slip of the hand makes of a good file, compiling it gives a value or messages, never a panic.

use std::fs;

use super::{Fake, good_files};
use gateway::config;

const EDITS: usize = 400;
const PIECES: [&str; 24] = [
    "",
    " ",
    "\n",
    ":",
    "-",
    "{",
    "}",
    "[",
    "]",
    "#",
    "&a ",
    "*a",
    "!x ",
    "'",
    "\"",
    "0",
    "-1",
    "9999999999999999999",
    "null",
    "true",
    "é",
    "\t",
    "- ",
    "<<: ",
];

#[test]
fn small_edits_of_good_files_never_panic() {
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    for path in good_files() {
        let text = fs::read_to_string(&path).unwrap();
        for _ in 0..EDITS {
            let edited = edit(&text, &mut random);
            if let Err(errors) = config::compile(&edited, &Fake) {
                assert!(!errors.is_empty(), "refused without a reason:\n{edited}");
                assert!(errors.len() <= 100, "too many errors");
                let lines = edited.lines().count() + 1;
                for error in errors {
                    assert!(
                        error.0.line.is_none_or(|line| line <= lines),
                        "{error:?}\n{edited}"
                    );
                }
            }
        }
    }
}

/// One to three times: takes a few characters out and puts a piece in.
fn edit(text: &str, random: &mut XorShift) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(3) {
        let start = random.below(chars.len());
        let end = (start + random.below(4)).min(chars.len());
        chars.splice(start..end, PIECES[random.below(PIECES.len())].chars());
    }
    chars.into_iter().collect()
}

struct XorShift(u64);

impl XorShift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}
