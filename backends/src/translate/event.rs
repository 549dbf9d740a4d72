//! A stream without a dialect: what three decoders give and three encoders take.

use crate::translate::{
    answer::{Kind, Stop},
    failure::ErrorFacts,
    usage::Usage,
};

/// One step of an answer. A block is named by a key that is unique in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The backend has begun; nothing is said yet.
    Start,
    Open(u64, Kind),
    Append(u64, String),
    Close(u64),
    Ping,
    /// Everything that is known by now.
    Usage(Usage),
    /// The answer is whole.
    End(Stop),
    /// The backend gave up.
    Failed(ErrorFacts),
}
