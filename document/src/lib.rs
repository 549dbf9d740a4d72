//! YAML files that operators write: a tree in which every value knows its place, and readers that name what is
//! wrong with a line, a column and a suggestion.
//!
//! Here: the tree ([`read()`]), fields ([`Spot`], [`Table`]), what was found ([`Report`], [`Fault`], [`Notice`]).
//! Not here: what any field means; files, the environment (`${NAME}` is not expanded).
//!
//! Invariant: any text is answered in bounded time and memory; a reader that gives `None` for a value that is
//! there has reported why. Read next: `yaml`, then `read`.

mod duration;
mod near;
mod read;
mod report;
mod yaml;

pub use near::nearest;
pub use read::{Kind, Spot, Table};
pub use report::{Fault, Notice, Report, joined, shown};
pub use yaml::{Key, Mark, Node, read};
