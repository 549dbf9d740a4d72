//! Translation between the dialects, from the outside: golden requests and answers, recorded streams in every direction,
//! and laws.

#[cfg(test)]
#[path = "translate_all/captures.rs"]
mod captures;
#[cfg(test)]
#[path = "translate_all/golden.rs"]
mod golden;
#[cfg(test)]
#[path = "translate_all/laws.rs"]
mod laws;
#[cfg(test)]
#[path = "translate_all/omitted.rs"]
mod omitted;
#[cfg(test)]
#[path = "translate_all/streams.rs"]
mod streams;
#[cfg(test)]
#[path = "translate_all/support.rs"]
mod support;
#[cfg(test)]
#[path = "translate_all/validate.rs"]
mod validate;
