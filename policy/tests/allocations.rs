//! A decision allocates nothing, whatever it is.
#![cfg(test)]

use domain::Destination;
use policy::{
    Caller, CanonicalPath, Connect, Operation, Policy, PolicyFile, Query, Request, RequestVerdict,
    Verdict,
};

#[path = "../benches/shapes.rs"]
mod shapes;

/// How often something was allocated while the closure ran.
fn allocations(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).count_total
}

#[test]
fn connections_are_decided_without_allocation() {
    for (shape, text) in shapes::all() {
        let policy = Policy::new(PolicyFile::parse(&text).unwrap().0);
        let ancestors = ["/usr/bin/bash".to_owned(), "/sbin/init".to_owned()];
        let mut seen = [0; 3];
        for host in ["h999.example.com", "api.openai.com", "nowhere.org", "10.0.0.5", "shared.org"]
        {
            let to: Destination = format!("{host}:443").parse().unwrap();
            // The list of model APIs is made once.
            let _warm = policy::inference::is_model_api(&to);
            for binary in ["/usr/bin/tool999", "/opt/x/agent", "/bin/none"] {
                let caller = Caller { binary, ancestors: &ancestors };
                let connect = Connect { caller, to: &to, inference: true };
                let count = allocations(|| match policy.connect(&connect) {
                    Verdict::Allow(grant) => seen[usize::from(grant.name().is_empty())] += 1,
                    Verdict::Inference(_) => seen[1] += 1,
                    Verdict::Deny(_) => seen[2] += 1,
                });
                assert_eq!(count, 0, "{shape} {host} {binary}");
            }
        }
        assert!(seen.iter().all(|count| *count > 0), "{shape} {seen:?}");
    }
}

#[test]
fn requests_are_decided_without_allocation() {
    for (shape, text) in shapes::all() {
        let policy = Policy::new(PolicyFile::parse(&text).unwrap().0);
        let host = if shape == "one host" { "shared.org:443" } else { "h999.example.com:443" };
        let to: Destination = host.parse().unwrap();
        let caller = Caller { binary: "/usr/bin/tool999", ancestors: &[] };
        let connect = Connect { caller, to: &to, inference: true };
        let mut seen = [0; 2];
        let query = Query::new("page=2&tag=v1").unwrap();
        for (method, raw) in [("GET", "/v1/items/7"), ("POST", "/admin/x"), ("PUT", "/other")] {
            let count = allocations(|| {
                let Verdict::Allow(grant) = policy.connect(&connect) else { return };
                let Ok(path) = CanonicalPath::new(raw, grant.encoded_slash()) else { return };
                let request =
                    Request { method, path: &path, query: &query, operation: Operation::None };
                match grant.request(&request) {
                    RequestVerdict::Allow(_) => seen[0] += 1,
                    RequestVerdict::Audit(_) | RequestVerdict::Deny(_) => seen[1] += 1,
                }
            });
            assert_eq!(count, 0, "{shape} {method} {raw}");
        }
        assert!(seen.iter().all(|count| *count > 0), "{shape} {seen:?}");
    }
}
