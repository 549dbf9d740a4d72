//! Which crate of ours may import which, and which outside crates the pure ones must never see.
//!
//! Imports follow the request and never turn back. The table is the law; `cargo metadata` is what is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{cargo, repo::Repo, say};

/// A crate of ours and those of ours it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("document", &[]),
    ("domain", &[]),
    ("policy", &["document", "domain"]),
    ("router", &["domain"]),
    ("drivers", &["domain", "sandbox"]),
    ("api", &["domain"]),
    ("backends", &["document", "domain", "router"]),
    ("proxy", &["domain", "policy", "router", "backends"]),
    ("sandbox", &["domain", "policy", "api", "proxy"]),
    ("gateway", &["domain", "policy", "backends", "drivers", "sandbox", "api"]),
    ("cli", PRODUCT),
    ("openshell-tests", PRODUCT),
    ("openshell-benches", PRODUCT),
    ("xtask", PRODUCT),
];

/// Every crate that ships, but the command line itself.
const PRODUCT: &[&str] = &[
    "document", "domain", "policy", "router", "drivers", "api", "backends", "proxy", "sandbox",
    "gateway",
];

/// Crates that decide and never do: time, randomness and bytes are their arguments.
const PURE: &[&str] = &["document", "domain", "policy", "router", "backends"];

/// What a pure crate may not pull in, not even through others: sockets, executors, HTTP stacks.
const IMPURE: &[&str] = &[
    "async-std",
    "bollard",
    "hyper",
    "hyper-util",
    "kube",
    "mio",
    "pingora",
    "pingora-core",
    "pingora-proxy",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "tokio",
    "ureq",
];

/// What a pure crate may not name as a dependency of its own: randomness, clocks and logs at call sites.
const IMPURE_DIRECT: &[&str] = &["chrono", "fastrand", "getrandom", "rand", "tracing"];

/// Checks the workspace and prints what breaks the table.
///
/// # Errors
/// When something does, or cargo cannot tell.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let graph = Graph::read(&cargo::metadata(repo)?)?;
    let problems = problems(&graph);
    for problem in &problems {
        say::line(problem);
    }
    if !problems.is_empty() {
        bail!(
            "{} edges break the layers; see `xtask/src/layers.rs` and ARCHITECTURE.md",
            problems.len()
        );
    }
    say::line(&format!("layers: {} crates keep to the table", graph.members.len()));
    Ok(())
}

/// The part of `cargo metadata` that matters here.
#[derive(Debug, Default)]
struct Graph {
    /// Names of our crates.
    members: BTreeSet<String>,
    /// Package name to the names it links in normal and build use.
    links: BTreeMap<String, BTreeSet<String>>,
    /// The same for its tests and benches alone.
    tests: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> anyhow::Result<Self> {
        let mut names = BTreeMap::new();
        for package in array(metadata, "packages")? {
            names.insert(text(package, "id")?, text(package, "name")?);
        }
        let mut graph = Self::default();
        for id in array(metadata, "workspace_members")? {
            let name =
                id.as_str().and_then(|id| names.get(id)).context("a member without a package")?;
            graph.members.insert((*name).to_owned());
        }
        let resolve = metadata.get("resolve").context("`cargo metadata` resolved nothing")?;
        for node in array(resolve, "nodes")? {
            let from = names.get(text(node, "id")?).context("a node without a package")?;
            for dependency in array(node, "deps")? {
                let to = names.get(text(dependency, "pkg")?).context("an edge to no package")?;
                let table =
                    if only_for_tests(dependency) { &mut graph.tests } else { &mut graph.links };
                table.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            }
        }
        Ok(graph)
    }

    /// A chain of links from `from` to one of `to`, shortest first.
    fn chain(&self, from: &str, to: &[&str]) -> Option<Vec<String>> {
        let mut seen = BTreeSet::from([from.to_owned()]);
        let mut fringe = vec![vec![from.to_owned()]];
        while !fringe.is_empty() {
            let mut next = Vec::new();
            for chain in fringe {
                let Some(last) = chain.last() else { continue };
                for name in self.links.get(last).into_iter().flatten() {
                    let mut longer = chain.clone();
                    longer.push(name.clone());
                    if to.contains(&name.as_str()) {
                        return Some(longer);
                    }
                    if seen.insert(name.clone()) {
                        next.push(longer);
                    }
                }
            }
            fringe = next;
        }
        None
    }
}

fn problems(graph: &Graph) -> Vec<String> {
    let mut problems = Vec::new();
    for member in &graph.members {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| name == member) else {
            problems.push(format!(
                "{member}: not in the table; say in `xtask/src/layers.rs` what it may import"
            ));
            continue;
        };
        let direct = graph.links.get(member).into_iter().flatten();
        let direct: Vec<&String> =
            direct.chain(graph.tests.get(member).into_iter().flatten()).collect();
        for import in &direct {
            if graph.members.contains(*import) && !allowed.contains(&import.as_str()) {
                problems.push(format!("{member} imports {import}, which it may not"));
            }
        }
        if PURE.contains(&member.as_str()) {
            problems.extend(impurities(graph, member));
        }
    }
    problems
}

fn impurities(graph: &Graph, member: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(chain) = graph.chain(member, IMPURE) {
        problems.push(format!("{member} is pure, but links {}", chain.join(" -> ")));
    }
    for import in graph.links.get(member).into_iter().flatten() {
        if IMPURE_DIRECT.contains(&import.as_str()) {
            problems.push(format!("{member} is pure, but depends on {import}"));
        }
    }
    problems
}

fn only_for_tests(dependency: &Value) -> bool {
    let kinds = dependency.get("dep_kinds").and_then(Value::as_array);
    kinds.is_some_and(|kinds| {
        !kinds.is_empty()
            && kinds.iter().all(|kind| kind.get("kind").and_then(Value::as_str) == Some("dev"))
    })
}

fn array<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a Vec<Value>> {
    value
        .get(key)
        .and_then(Value::as_array)
        .with_context(|| format!("`cargo metadata` lacks {key}"))
}

fn text<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("`cargo metadata` lacks {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(members: &[&str], links: &[(&str, &str)]) -> Graph {
        let mut graph = Graph {
            members: members.iter().map(|name| (*name).to_owned()).collect(),
            ..Graph::default()
        };
        for (from, to) in links {
            graph.links.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph
    }

    #[test]
    fn the_workspace_keeps_to_the_table() {
        let repo = Repo::find().unwrap();
        let graph = Graph::read(&cargo::metadata(&repo).unwrap()).unwrap();
        assert_eq!(problems(&graph), Vec::<String>::new());
    }

    #[test]
    fn an_edge_against_the_request_is_found() {
        let found = problems(&graph(&["domain", "router"], &[("domain", "router")]));
        assert_eq!(found, ["domain imports router, which it may not"]);
    }

    #[test]
    fn a_socket_behind_two_crates_is_found_with_the_chain() {
        let found = problems(&graph(&["router"], &[("router", "a"), ("a", "b"), ("b", "tokio")]));
        assert_eq!(found, ["router is pure, but links router -> a -> b -> tokio"]);
    }

    #[test]
    fn a_crate_outside_the_table_is_found() {
        let found = problems(&graph(&["helpers"], &[]));
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
