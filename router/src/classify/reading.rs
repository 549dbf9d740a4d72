//! What the one pass over a text found, for all families; its room is used again by the next text of the thread.

use std::cell::RefCell;

use fearless_simd::{Level, Simd, dispatch};

use super::{
    candidates::Candidates,
    pii::lex::{Lexed, Lexer},
};

/// Marks, words and numbers of one text.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The places worth a second look.
    pub(super) candidates: Candidates,
    /// Cue words, capitalised words and numbers.
    pub(super) lexed: Lexed,
}

/// Most readings that a thread keeps: a text and the views in it.
const SPARE_MAX: usize = 4;
/// Largest room that is kept, in marks and words; a megabyte of text needs more.
const ROOM_MAX: usize = 64 * 1024;
/// Bytes of a text that takes little room.
const SMALL: usize = 1024;

thread_local! {
    #[expect(clippy::vec_box, reason = "a reading is hundreds of bytes and goes in and out with each text")]
    static SPARE: RefCell<Vec<Box<Reading>>> = const { RefCell::new(Vec::new()) };
}

impl Reading {
    /// Reads `text`. Linear in its length.
    pub(super) fn of(text: &str) -> Box<Self> {
        let spare = SPARE.with(|spare| spare.try_borrow_mut().ok().and_then(|mut all| all.pop()));
        let mut reading = spare.unwrap_or_default();
        dispatch!(Level::new(), simd => reading.read(simd, text));
        reading
    }

    /// The same with the vectors that the machine has.
    #[expect(
        clippy::inline_always,
        reason = "the vectors of the machine are known where it is called"
    )]
    #[inline(always)]
    fn read<S: Simd>(&mut self, simd: S, text: &str) {
        let mut lexer = Lexer::new(text, &mut self.lexed);
        self.candidates.read(
            simd,
            text,
            #[inline(always)]
            |base, masks| lexer.block(base, masks),
        );
        lexer.end();
    }

    /// Leaves the room to the next text, after `text`.
    pub(super) fn recycle(self: Box<Self>, text: &str) {
        if text.len() > SMALL && self.candidates.room() + self.lexed.room() > ROOM_MAX {
            return;
        }
        SPARE.with(|spare| {
            if let Ok(mut all) = spare.try_borrow_mut()
                && all.len() < SPARE_MAX
            {
                all.push(self);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_reading_finds_what_a_new_one_finds() {
        let long =
            "Anna Berg paid 4111 1111 1111 1111, password = hunter2x, x@example.org\n".repeat(9);
        let fresh = |text: &str| {
            std::thread::scope(|scope| {
                scope.spawn(|| format!("{:?}", Reading::of(text))).join().unwrap()
            })
        };
        for text in [long.as_str(), "key: value1", "", "Maria"] {
            let reading = Reading::of(text);
            assert_eq!(format!("{reading:?}"), fresh(text));
            reading.recycle(text);
        }
    }

    #[test]
    fn the_room_of_a_large_text_is_given_back() {
        let kept = |text: &str| {
            std::thread::scope(|scope| {
                let kept = || {
                    Reading::of(text).recycle(text);
                    SPARE.with(|spare| spare.borrow().len())
                };
                scope.spawn(kept).join().unwrap()
            })
        };
        assert_eq!(kept(&"a@b ".repeat(200_000)), 0);
        assert_eq!(kept("a@b"), 1);
    }
}
