//! Rules of the repository as code.
fn main() {}
