//! What is asked: who is calling, where to, and for what.

use domain::Destination;

use crate::{operation::Operation, path::CanonicalPath, query::Query};

/// Who opened a connection: real paths of executables, as the kernel resolved them.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'q> {
    /// The executable of the process.
    pub binary: &'q str,
    /// The executables of its ancestors, the parent first.
    pub ancestors: &'q [String],
}

impl<'q> Caller<'q> {
    /// Most paths of a caller that count: itself and 64 ancestors.
    pub const PATHS_MAX: usize = 65;

    /// The executable and those of its ancestors, the nearest first.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &'q str> {
        let ancestors = self.ancestors.iter().map(String::as_str);
        std::iter::once(self.binary).chain(ancestors).take(Self::PATHS_MAX)
    }
}

/// May this caller open a connection there?
#[derive(Clone, Copy, Debug)]
pub struct Connect<'q> {
    /// Who.
    pub caller: Caller<'q>,
    /// Where to.
    pub to: &'q Destination,
    /// Whether there is a router that calls of known model APIs can be given to.
    pub inference: bool,
}

/// May this request be sent on that connection?
#[derive(Clone, Copy, Debug)]
pub struct Request<'q> {
    /// The HTTP method; `WEBSOCKET_TEXT` for a text frame.
    pub method: &'q str,
    /// The canonical path.
    pub path: &'q CanonicalPath<'q>,
    /// The query, without its `?`.
    pub query: &'q Query<'q>,
    /// What the body asks for, where the endpoint's protocol has it there.
    pub operation: Operation<'q>,
}
