//! The interface of zlib-ng that `flate2` uses, on stock zlib.
//!
//! Both libraries have the same functions, constants and stream structure; `flate2` asks the library for its own
//! version before it opens a stream, so nothing has to be converted. Not here: any code of our own.

pub use libz_sys::*;
