#![no_main]
//! A request's path: what is accepted is canonical already, and stays below its root however it is read.

use libfuzzer_sys::fuzz_target;
use policy::{CanonicalPath, EncodedSlash, Query};

fuzz_target!(|raw: &str| {
    for slash in [EncodedSlash::Refuse, EncodedSlash::Keep] {
        let Ok(path) = CanonicalPath::new(raw, slash) else { continue };
        let text = path.as_str();
        assert!(text.starts_with('/') && text.is_ascii() && text.len() <= policy::PATH_BYTES_MAX);
        assert_eq!(CanonicalPath::new(text, slash).map(|again| again.to_string()).as_deref(), Ok(text));
        let read = path.with_slashes().unwrap_or(text);
        assert!(read.split('/').all(|part| part != "." && part != ".."), "{text}");
        assert!(slash == EncodedSlash::Keep || !text.contains("%2F"));
    }
    if let Ok(query) = Query::new(raw) {
        assert!(query.values("a").count() <= policy::PAIRS_MAX);
    }
});
