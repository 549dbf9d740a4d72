//! `openshell`, the command line.
fn main() {}
