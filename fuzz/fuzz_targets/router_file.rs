#![no_main]
//! The router file: any text is answered in bounded time, with a configuration or with at least one fault.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match backends::file::parse(text) {
        Ok((configuration, _)) => assert!(!configuration.backends.is_empty()),
        Err(faults) => assert!(!faults.is_empty()),
    }
});
