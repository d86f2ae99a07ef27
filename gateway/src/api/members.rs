//! Walks over the members of the outermost object of a JSON text that passes in pieces, and keeps nothing of it.
//! What is below is skipped by its brackets alone. A bystander: a text that is not JSON ends the walk, or leads to
//! steps that mean nothing, but never to a failure.

use memchr::memchr2;

/// The longest name that is told from others, bytes.
const NAME_BYTES_MAX: usize = 7;

/// What the walk came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The comma between two members. It is the last byte of this step.
    Comma,
    /// The name of a member, with its quotes.
    Name(Name),
    /// The first byte of a value, this one. It is the last byte of this step.
    Value(u8),
    /// A value that is an array or an object is not an empty one.
    Item,
    /// A value. Nothing behind it is part of this step.
    End,
}

/// The members that anyone asks for. Names are compared as they stand: no provider escapes a letter in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Usage,
    Choices,
    Other,
}

/// Give [`Members::step`] the pieces one after the other.
#[derive(Debug, Clone)]
pub(super) struct Members {
    place: Place,
    /// Open brackets, the object's own included.
    depth: usize,
    /// A backslash in a string was the last byte.
    escaped: bool,
    name: [u8; NAME_BYTES_MAX],
    name_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// In front of the object.
    Before,
    /// In front of a member's name, or of the object's end.
    Gap,
    Name,
    /// In front of the colon.
    Colon,
    /// In front of a value.
    Value,
    /// In a value that is a string.
    Text,
    /// In a number, `true`, `false` or `null`.
    Word,
    /// Behind the opening bracket of a value.
    Opened,
    /// In an array or an object.
    Nested,
    NestedText,
    /// Behind a value.
    After,
    /// Behind the object, or lost.
    Over,
}

impl Members {
    pub(super) const fn new() -> Self {
        Self {
            place: Place::Before,
            depth: 0,
            escaped: false,
            name: [0; NAME_BYTES_MAX],
            name_bytes: 0,
        }
    }

    /// The next step in `piece` from `at` on, and where it ends. `None`: the rest of the piece has been walked
    /// over, the next one is needed.
    pub(super) fn step(&mut self, piece: &[u8], mut at: usize) -> Option<(usize, Step)> {
        while at < piece.len() {
            match self.place {
                Place::Name => {
                    let start = at;
                    let end = self.end_of_text(piece, at);
                    self.note_name(&piece[start..end.map_or(piece.len(), |end| end - 1)]);
                    at = end?;
                    self.place = Place::Colon;
                    return Some((at, Step::Name(self.name())));
                }
                Place::Text => {
                    at = self.end_of_text(piece, at)?;
                    self.place = Place::After;
                    return Some((at, Step::End));
                }
                Place::NestedText => {
                    at = self.end_of_text(piece, at)?;
                    self.place = Place::Nested;
                }
                Place::Nested => {
                    at += plain_bytes(&piece[at..]);
                    let Some(&byte) = piece.get(at) else { break };
                    at += 1;
                    if self.nested(byte) {
                        return Some((at, Step::End));
                    }
                }
                Place::Over => break,
                Place::Before
                | Place::Gap
                | Place::Colon
                | Place::Value
                | Place::Word
                | Place::Opened
                | Place::After => {
                    let (taken, step) = self.outer(piece[at]);
                    at += usize::from(taken);
                    if let Some(step) = step {
                        return Some((at, step));
                    }
                }
            }
        }
        None
    }

    /// One byte between the outermost object's brackets, outside of strings. Returns whether it was taken.
    fn outer(&mut self, byte: u8) -> (bool, Option<Step>) {
        let is_space = byte.is_ascii_whitespace();
        match (self.place, byte) {
            (Place::Word, b',' | b'}') => {
                self.place = Place::After;
                return (false, Some(Step::End));
            }
            (Place::Word, _) if is_space => {
                self.place = Place::After;
                return (false, Some(Step::End));
            }
            (Place::Word, _) => {}
            (_, _) if is_space => {}
            (Place::Before, b'{') => {
                self.depth = 1;
                self.place = Place::Gap;
            }
            (Place::Gap, b'"') => {
                self.name_bytes = 0;
                self.place = Place::Name;
            }
            (Place::Colon, b':') => self.place = Place::Value,
            (Place::Value, _) => {
                self.place = match byte {
                    b'"' => Place::Text,
                    b'{' | b'[' => {
                        self.depth += 1;
                        Place::Opened
                    }
                    _ => Place::Word,
                };
                return (true, Some(Step::Value(byte)));
            }
            (Place::Opened, b'}' | b']') => {
                self.depth -= 1;
                self.place = Place::After;
                return (true, Some(Step::End));
            }
            (Place::Opened, _) => {
                self.place = Place::Nested;
                return (false, Some(Step::Item));
            }
            (Place::After, b',') => {
                self.place = Place::Gap;
                return (true, Some(Step::Comma));
            }
            // The object's end, or no JSON. The places inside are walked over elsewhere.
            (
                Place::Before
                | Place::Gap
                | Place::Colon
                | Place::After
                | Place::Name
                | Place::Text
                | Place::Nested
                | Place::NestedText
                | Place::Over,
                _,
            ) => self.place = Place::Over,
        }
        (true, None)
    }

    /// One byte inside a value. Returns whether the value ends with it.
    fn nested(&mut self, byte: u8) -> bool {
        match byte {
            b'"' => self.place = Place::NestedText,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 1 {
                    self.place = Place::After;
                    return true;
                }
            }
            _ => {}
        }
        false
    }

    /// Behind the quote that ends the string around `at`.
    fn end_of_text(&mut self, piece: &[u8], mut at: usize) -> Option<usize> {
        while at < piece.len() {
            if std::mem::take(&mut self.escaped) {
                at += 1;
                continue;
            }
            at += memchr2(b'"', b'\\', &piece[at..])? + 1;
            if piece[at - 1] == b'"' {
                return Some(at);
            }
            self.escaped = true;
        }
        None
    }

    fn note_name(&mut self, part: &[u8]) {
        let end = self.name_bytes + part.len();
        if let Some(room) = self.name.get_mut(self.name_bytes..end) {
            room.copy_from_slice(part);
        }
        self.name_bytes = end;
    }

    fn name(&self) -> Name {
        match self.name.get(..self.name_bytes) {
            Some(b"usage") => Name::Usage,
            Some(b"choices") => Name::Choices,
            Some(_) | None => Name::Other,
        }
    }
}

/// How many bytes at the start mean nothing to the walk inside a value.
fn plain_bytes(text: &[u8]) -> usize {
    /// As many are looked at in one go: the compiler makes vector instructions of it. Embeddings are megabytes of
    /// digits.
    const BLOCK: usize = 32;
    // The brackets of the two sorts differ in one bit.
    let means = |byte: u8| byte == b'"' || matches!(byte | 0x20, b'{' | b'}');
    let (blocks, _) = text.as_chunks::<BLOCK>();
    let plain = |block: &&[u8; BLOCK]| !block.iter().fold(false, |any, &byte| any | means(byte));
    let passed = blocks.iter().take_while(plain).count() * BLOCK;
    let rest = &text[passed..];
    passed
        + rest
            .iter()
            .position(|&byte| means(byte))
            .unwrap_or(rest.len())
}
