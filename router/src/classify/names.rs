//! stub
use super::{Finding, pii::lex::Lexed};
pub(crate) fn scan(_text: &str, _lexed: &Lexed, _known: &[Finding], _out: &mut Vec<Finding>) {}
