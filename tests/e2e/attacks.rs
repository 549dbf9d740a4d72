//! Attacks from inside a sandbox, layer by layer, as root and as an ordinary user: each ends as its case says.
//!
//! Where a request would be refused for who makes it, the attackers' interpreter is permitted too, or nothing else would be
//! tried.

use openshell_tests::attacks::{Callers, Ground, cases, tell};

fn attack(person: &str, layer: &str) {
    let cases = cases(layer);
    assert!(!cases.is_empty(), "no case of {layer}");
    let callers = match layer {
        "dns" | "net" | "proxy" | "smuggle" | "tls" | "supervisor" => Callers::Python,
        _ => Callers::Curl,
    };
    let Some(mut ground) = Ground::start(person, callers) else { return };
    let mut wrong = Vec::new();
    for case in &cases {
        let begun = std::time::Instant::now();
        let ended = ground.attack(case);
        let word = if ended.is_ok() { "ok  " } else { "FAIL" };
        tell(&format!("{word} {person} {} {:.1}s", case.id, begun.elapsed().as_secs_f64()));
        wrong.extend(ended.err());
        if case.ends_the_sandbox() {
            drop(ground);
            ground = Ground::start(person, callers).expect("it could be had before");
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// A test for each layer, of each person.
macro_rules! layers {
    ($($layer:ident)*) => {
        const LAYERS: &[&str] = &[$(stringify!($layer)),*];

        mod root {
            $(#[test]
            fn $layer() {
                super::attack("root", stringify!($layer));
            })*
        }
        mod user {
            $(#[test]
            fn $layer() {
                super::attack("user", stringify!($layer));
            })*
        }
    };
}

layers! { cred dns driver fs identity ipc kernel net proxy resource smuggle supervisor tls }

#[test]
fn every_case_would_notice_that_nothing_was_tried() {
    let all = LAYERS.iter().flat_map(|layer| cases(layer));
    let blind: Vec<String> =
        all.filter(|case| !case.notices_that_nothing_was_tried()).map(|case| case.id).collect();
    assert!(blind.is_empty(), "nothing shows that they were tried: {blind:?}");
}
