#![no_main]
//! The policy file: any text is answered in bounded time, with at least one fault or with a policy that prints to
//! itself and decides.

use libfuzzer_sys::fuzz_target;
use policy::{Caller, Connect, Policy, PolicyFile, Verdict};

fuzz_target!(|text: &str| {
    match PolicyFile::parse(text) {
        Ok((file, _)) => {
            let Ok(printed) = file.to_yaml() else { panic!("a policy that cannot be printed") };
            let again = PolicyFile::parse(&printed).map(|(again, _)| again);
            assert_eq!(again.as_ref(), Ok(&file), "{printed}");
            let policy = Policy::new(file);
            let Ok(to) = "api.example.com:443".parse() else { return };
            let caller = Caller { binary: "/usr/bin/curl", ancestors: &[] };
            let connect = Connect { caller, to: &to, inference: true };
            let allowed = matches!(policy.connect(&connect), Verdict::Allow(_));
            let nearest = policy.explain(&connect, None, 1);
            assert_eq!(nearest.first().is_some_and(|near| near.misses.is_empty()), allowed);
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
});
