//! Router files that the benchmarks run with.

use std::{net::SocketAddr, path::Path};

/// A file with which the router does nothing but swap a credential.
pub fn swap(model: SocketAddr) -> String {
    format!(
        "version: 1
backends:
  - name: model
    provider: openai-compatible
    base_url: http://{model}
    credential: {{env: BENCH_KEY}}
    zone: public
    models: [{{id: bench, price: {{input: 0, cached_input: 0, output: 0}}}}]
sensitivity:
  labels: {{\"*\": {{level: public, action: allow}}}}
"
    )
}

/// A file with which the router does everything: findings of every kind act, prices and budgets count, an audit is kept.
pub fn everything(model: SocketAddr, audit: Option<&Path>) -> String {
    let audit =
        audit.map_or(String::new(), |path| format!("audit: {{file: '{}'}}\n", path.display()));
    format!(
        "version: 1
backends:
  - name: model
    provider: openai-compatible
    base_url: http://{model}
    credential: {{env: BENCH_KEY}}
    zone: public
    models:
      - {{id: bench, context: 400000, quality: 60, encoding: o200k_base, price: {{input: 1, cached_input: 0.1, output: 4}}}}
      - {{id: dearer, context: 400000, quality: 90, encoding: o200k_base, price: {{input: 3, cached_input: 0.3, output: 15}}}}
  - name: rack
    provider: vllm
    base_url: http://{model}
    zone: local
    models: [{{id: small, context: 131072, quality: 40, price: {{input: 0, cached_input: 0, output: 0}}}}]
aliases: {{fast: {{min_quality: 30}}, smart: {{min_quality: 70}}, auto: {{}}}}
sensitivity:
  ceilings: {{public: public, internal: public, confidential: private, restricted: local}}
  labels:
    \"credential/*\": {{level: restricted, action: redact}}
    \"pii/*\": {{level: confidential, action: redact}}
    \"payment/*\": {{level: restricted, action: route}}
    \"marking/*\": {{level: restricted, action: route}}
    \"term/falcon\": {{level: restricted, action: block}}
  terms:
    falcon: {{any: [\"Project Falcon\", \"FLCN-[0-9]{{4}}\"]}}
budgets: [{{scope: sandbox, limit_usd: 1000000, per: day, on_exceed: block}}]
{audit}"
    )
}
