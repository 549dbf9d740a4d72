//! How long a decision takes at a thousand endpoints: below two microseconds is the promise.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use domain::Destination;
use policy::{
    Caller, CanonicalPath, Connect, Operation, Policy, PolicyFile, Query, Request, Verdict,
};

mod shapes;

fn decide(criterion: &mut Criterion) {
    let ancestors =
        ["/usr/bin/bash".to_owned(), "/usr/bin/node".to_owned(), "/sbin/init".to_owned()];
    for (shape, text) in shapes::all() {
        let Ok((file, _)) = PolicyFile::parse(&text) else { continue };
        let policy = Policy::new(file);
        let own = if shape == "one host" { "shared.org:443" } else { "h999.example.com:443" };
        let binary = "/usr/bin/tool999";
        let cases = [
            ("allowed", own, binary),
            ("wrong binary", own, "/usr/bin/other"),
            ("unknown host", "a.b.c.nowhere.org:443", binary),
            ("model api", "api.anthropic.com:443", binary),
        ];
        let mut group = criterion.benchmark_group(shape);
        for (name, to, binary) in cases {
            let Ok(to) = to.parse::<Destination>() else { continue };
            let caller = Caller { binary, ancestors: &ancestors };
            let connect = Connect { caller, to: &to, inference: true };
            group.bench_function(format!("connect, {name}"), |bencher| {
                bencher.iter(|| matches!(policy.connect(black_box(&connect)), Verdict::Allow(_)));
            });
        }
        let Ok(to) = own.parse::<Destination>() else { continue };
        let connect =
            Connect { caller: Caller { binary, ancestors: &ancestors }, to: &to, inference: true };
        let Verdict::Allow(grant) = policy.connect(&connect) else { continue };
        for (name, method, raw) in
            [("allowed", "GET", "/v1/items/7"), ("denied", "POST", "/admin/a/b")]
        {
            group.bench_function(format!("request, {name}"), |bencher| {
                let query = Query::default();
                bencher.iter(|| {
                    let path = CanonicalPath::new(black_box(raw), grant.encoded_slash());
                    path.is_ok_and(|path| {
                        let request = Request {
                            method,
                            path: &path,
                            query: &query,
                            operation: Operation::None,
                        };
                        matches!(grant.request(&request), policy::RequestVerdict::Allow(_))
                    })
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, decide);
criterion_main!(benches);
