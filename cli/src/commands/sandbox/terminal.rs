//! This terminal, or these pipes, as the ends of a program in a sandbox.

use std::{io, time::Duration};

use rustix::{
    process::Signal,
    stdio::{stdin, stdout},
    termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr},
};
use sandbox::control::{
    Screen, Word,
    client::{ControlError, Conversation, Listener, Said, Speaker, Words},
};
use tokio::{
    io::AsyncReadExt as _,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::{args::sandbox::TtyArgs, output};

/// How much of standard input is read at once, bytes.
const PIECE_BYTES: usize = 32 << 10;
/// Ctrl-P Ctrl-Q.
const DETACH: [u8; 2] = [16, 17];

/// What a conversation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The program ended with this code.
    Ended(u8),
    /// The person left it.
    Detached,
    /// It took too long, and was killed.
    TimedOut,
    /// Nobody reads what it says any more, so it was left.
    Unheard,
}

/// Whether Ctrl-P Ctrl-Q leaves the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// It does.
    Detach,
    /// It is input like any other.
    Plain,
}

/// The size of the terminal that a program gets; `None` for pipes.
pub(crate) fn size(wanted: TtyArgs) -> Option<Screen> {
    let is_one = isatty(stdin()) && isatty(stdout());
    if wanted.no_tty || !(wanted.tty || is_one) {
        return None;
    }
    Some(own_size().unwrap_or(Screen { rows: 24, columns: 80 }))
}

fn own_size() -> Option<Screen> {
    let size = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())).ok()?;
    (size.ws_row > 0).then_some(Screen { rows: size.ws_row, columns: size.ws_col })
}

/// Carries everything between the program and this process until one of them leaves. A limit of zero is none.
pub(crate) async fn attend(
    conversation: Conversation,
    keys: Keys,
    limit: Duration,
) -> Result<Outcome, ControlError> {
    let Conversation { mut speaker, mut listener, terminal, words } = conversation;
    let raw = if terminal && isatty(stdin()) { Raw::enter().ok() } else { None };
    let keys = if raw.is_some() { keys } else { Keys::Plain };
    let outcome = {
        let hear = hear(&mut listener);
        tokio::pin!(hear);
        let give = give(&mut speaker, keys);
        let pass_on = pass_on(&words, terminal);
        let both = async {
            tokio::select! {
                biased;
                heard = &mut hear => heard,
                () = pass_on => std::future::pending().await,
                left = give => match left {
                    Left::Detached => Ok(Outcome::Detached),
                    // It takes no more input, and may still have something to say.
                    Left::Closed => hear.await,
                },
            }
        };
        if limit.is_zero() { Ok(both.await) } else { timeout(limit, both).await }
    };
    drop(raw);
    if let Ok(outcome) = outcome {
        return outcome;
    }
    let kill = told(Signal::KILL);
    // A program that has ended in this moment is as good as killed.
    words.say(kill).await.ok();
    Ok(Outcome::TimedOut)
}

/// Writes what the program says where it belongs. When nobody reads it any more, the program is left.
async fn hear(listener: &mut Listener) -> Result<Outcome, ControlError> {
    loop {
        let written = match listener.next().await? {
            Said::Output(bytes) => write(&mut io::stdout().lock(), &bytes),
            Said::Errors(bytes) => write(&mut io::stderr().lock(), &bytes),
            Said::Ended(code) => return Ok(Outcome::Ended(code)),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Outcome::Unheard),
            other => other.map_err(ControlError::Broken)?,
        }
    }
}

fn write(to: &mut impl io::Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).and_then(|()| to.flush())
}

/// Why nothing is said to the program any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Detached,
    Closed,
}

/// Passes on input. It waits for as long as the program reads none.
async fn give(speaker: &mut Speaker, keys: Keys) -> Left {
    let mut input = tokio::io::stdin();
    let mut piece = vec![0; PIECE_BYTES];
    let mut held = false;
    loop {
        let length = input.read(&mut piece).await.unwrap_or(0);
        let bytes = piece.get(..length).unwrap_or_default();
        if keys == Keys::Detach && leaves(bytes, &mut held) {
            return Left::Detached;
        }
        if speaker.give(bytes).await.is_err() {
            return Left::Closed;
        }
        if length == 0 {
            return std::future::pending().await;
        }
    }
}

/// Whether the two keys that leave a program are in this piece, or end in it.
fn leaves(bytes: &[u8], held: &mut bool) -> bool {
    let begins_with_second = *held && bytes.first() == Some(&DETACH[1]);
    *held = bytes.last() == Some(&DETACH[0]);
    begins_with_second || bytes.windows(2).any(|two| two == DETACH)
}

/// Passes on signals and sizes for as long as it is not dropped, whatever becomes of input.
async fn pass_on(words: &Words, terminal: bool) {
    let listen = |kind| signal(kind).ok();
    let (mut resized, mut interrupted) =
        (listen(SignalKind::window_change()), listen(SignalKind::interrupt()));
    let (mut terminated, mut hung_up) =
        (listen(SignalKind::terminate()), listen(SignalKind::hangup()));
    loop {
        let word = tokio::select! {
            () = next(&mut resized) => own_size().filter(|_| terminal).map(Word::Resize),
            () = next(&mut interrupted) => Some(told(Signal::INT)),
            () = next(&mut terminated) => Some(told(Signal::TERM)),
            () = next(&mut hung_up) => Some(told(Signal::HUP)),
        };
        if let Some(word) = word {
            // A supervisor that is gone has ended the program, which shows.
            words.say(word).await.ok();
        }
    }
}

fn told(signal: Signal) -> Word {
    Word::Signal { number: signal.as_raw() }
}

async fn next(signals: &mut Option<tokio::signal::unix::Signal>) {
    match signals {
        Some(signals) => {
            if signals.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}

/// The terminal without its own line editing, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Flush, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if tcsetattr(stdin(), OptionalActions::Flush, &self.0).is_err() {
            output::complain("the terminal could not be set back; type `reset`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_leave_a_program_wherever_they_are_cut() {
        let mut held = false;
        assert!(!leaves(b"a\x10", &mut held));
        assert!(leaves(b"\x11b", &mut held));
        assert!(leaves(b"x\x10\x11y", &mut false));
        assert!(!leaves(b"\x11\x10", &mut false));
        let mut held = false;
        assert!(!leaves(b"\x10", &mut held) && !leaves(b"a\x11", &mut held));
    }
}
