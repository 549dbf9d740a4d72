//! How a supervisor is spoken to: one connection to its socket for each thing that is asked.
//!
//! The first frame asks, the next one answers; what a question opens (a program, an archive, a connection) then flows in
//! frames of the same connection, which ends with it. Frames rather than HTTP: the streams of a program are several, go both
//! ways, and carry sizes and signals between them, so that HTTP would only carry these frames.
//!
//! Below: bytes of frames (`frame`), the asking side (`client`). Not here: answers (`supervisor`). Invariant: lengths are
//! bounded before they are believed, and what cannot be read ends the connection.

pub mod client;
pub mod frame;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    providers::Provider,
    state::{Record, State},
};

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How the sandbox is doing.
    Status,
    /// Run a program; its streams follow. It gets a hang-up signal when the connection ends before it does.
    Exec {
        /// Its name and its arguments.
        command: Vec<String>,
        /// Further environment variables.
        #[serde(default)]
        environment: BTreeMap<String, String>,
        /// Where it starts; the workspace if not given.
        #[serde(default)]
        folder: Option<String>,
        /// The size of its terminal; pipes if not given.
        #[serde(default)]
        terminal: Option<Screen>,
    },
    /// Start the main command, if it does not run, and stay with it if so asked.
    Launch {
        /// Whether its streams follow.
        attach: bool,
        /// Whether one that has run since the sandbox was started stays ended.
        #[serde(default)]
        once: bool,
        /// The size of its terminal, if it has one.
        #[serde(default)]
        terminal: Option<Screen>,
    },
    /// The streams of the main command, from what is still known of its output. It goes on when the connection ends.
    Attach {
        /// The size of its terminal, if it has one.
        #[serde(default)]
        terminal: Option<Screen>,
    },
    /// Say something to a program that runs. Not on its own connection, where input that it does not read may be in the way.
    Tell {
        /// Its number, as the answer that it has started had it.
        program: u32,
        /// What.
        word: Word,
    },
    /// An archive follows, to be unpacked in there.
    Upload {
        /// Where to.
        to: String,
        /// The name of the file, when it is a single one.
        #[serde(default)]
        file: Option<String>,
    },
    /// A file or the contents of a folder as an archive.
    Download {
        /// Which.
        from: String,
    },
    /// A TCP connection to a port in there; after the answer the bytes of the connection are its own.
    Forward {
        /// The port.
        port: u16,
    },
    /// Put another policy in force.
    SetPolicy {
        /// The file.
        text: String,
        /// The version that it replaces; any if not given.
        #[serde(default)]
        base: Option<u64>,
    },
    /// Give the sandbox these providers, and take away all others.
    SetProviders {
        /// Their records, with the secrets.
        providers: Vec<Provider>,
    },
    /// What the policy refused lately, with the rule that would allow it.
    Denials,
    /// Forget refusals that somebody has decided about.
    ForgetDenials {
        /// Which.
        ids: Vec<String>,
    },
    /// Become the sandbox whose folder this one's has become; asked of a prepared one. It stays what it was built as, or
    /// refuses.
    Adopt {
        /// The folder, which holds the record and the policy by now.
        folder: PathBuf,
    },
    /// End the main command, then everything else, then the supervisor.
    Stop {
        /// How long the main command may take to end by itself, in milliseconds.
        grace_ms: u64,
    },
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screen {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// What is said to a program that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case", deny_unknown_fields)]
pub enum Word {
    /// Its terminal has this size now.
    Resize(Screen),
    /// It gets this signal.
    Signal {
        /// The number.
        number: i32,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// It was done.
    Done,
    /// How the sandbox is doing.
    Status {
        /// What was asked for.
        record: Box<Record>,
        /// What came of it.
        state: Box<State>,
        /// The version of the policy in force.
        policy: u64,
    },
    /// A program runs; its streams follow.
    Started {
        /// Whether it has a terminal.
        terminal: bool,
        /// Its number, for what is said to it.
        program: u32,
    },
    /// It ended; the last frame.
    Ended {
        /// The exit code as a shell has it.
        code: u8,
    },
    /// What became of a policy.
    Policy {
        /// Its version.
        version: u64,
        /// What tells it from others, 64 hexadecimal digits.
        hash: String,
        /// False when that policy was in force already.
        changed: bool,
        /// What of it is applied only when the sandbox starts next.
        postponed: Vec<String>,
    },
    /// Another policy is there than the one that was to be replaced.
    Stale,
    /// What was refused.
    Denials {
        /// One object each.
        denials: Vec<Value>,
    },
    /// It could not be done.
    Failed(Failed),
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    /// What went wrong.
    pub message: String,
    /// What would help; may be empty.
    #[serde(default)]
    pub hint: String,
    /// The exit code that stands for it: 126 and 127 for programs as in a shell, else 1.
    #[serde(default = "one")]
    pub code: u8,
}

fn one() -> u8 {
    1
}

impl Failed {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), code: 1 }
    }
}
