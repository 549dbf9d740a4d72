//! Which gateway a command asks, and about which sandbox.

use anyhow::Context as _;
use api::client::Client;

use super::registry::Registry;
use crate::{args::gateway::GatewayArg, failure::Failure};

/// What names no gateway: what this user has without one.
const NONE: &str = "none";

/// A gateway to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Asks it.
    pub(crate) client: Client,
    name: String,
    workspace: Option<String>,
}

/// The gateway that a command asks: the one that was chosen, else the active one; none when there is no active one either, or
/// somebody wants none.
///
/// # Errors
/// When the one that was chosen is not known, or cannot be used.
pub(crate) fn asked(arg: &GatewayArg) -> Result<Option<Asked>, Failure> {
    let chosen = arg.gateway.as_deref().filter(|name| !name.is_empty());
    if chosen == Some(NONE) {
        return Ok(None);
    }
    let registry = match Registry::open() {
        // Where nothing says where configuration is kept, none is active.
        Err(_) if chosen.is_none() => return Ok(None),
        other => other?,
    };
    let known = match chosen {
        Some(name) => registry.known(name)?,
        None => match registry.active()? {
            Some(known) => known,
            None => return Ok(None),
        },
    };
    let client = registry.client(&known)?;
    Ok(Some(Asked { client, name: known.name, workspace: arg.workspace.clone() }))
}

impl Asked {
    /// The sandbox of that name, or the last one that was used; it is the last one from now on.
    ///
    /// # Errors
    /// When none was used yet.
    pub(crate) fn sandbox(&self, name: Option<&str>) -> Result<String, Failure> {
        let registry = Registry::open()?;
        if let Some(name) = name {
            // Forgetting it costs the next command a name.
            registry.keep_last(&self.name, name).ok();
            return Ok(name.to_owned());
        }
        let last = registry.last(&self.name).context("cannot read which sandbox was used last")?;
        last.ok_or_else(|| {
            Failure::new("no sandbox is named, and none was used yet")
                .hint("`openshell sandbox list` shows them, `openshell sandbox create` makes one")
        })
    }

    /// A sandbox as routers know it: after its workspace, where that is not `default`.
    pub(crate) fn tenant(&self, sandbox: &str) -> String {
        match self.workspace.as_deref() {
            None | Some("default") => sandbox.to_owned(),
            Some(workspace) => format!("{workspace}/{sandbox}"),
        }
    }

    /// The path of something of a sandbox, such as `logs`, with what is asked of it.
    pub(crate) fn path(&self, sandbox: &str, what: &str, asked: &[(&str, String)]) -> String {
        self.query(&format!("/v1/sandboxes/{}/{what}", spelled(sandbox)), asked)
    }

    /// A path with what is asked of it, and the workspace.
    pub(crate) fn query(&self, path: &str, asked: &[(&str, String)]) -> String {
        let workspace = self.workspace.iter().map(|name| ("workspace", name.clone()));
        let all: Vec<_> = asked.iter().cloned().chain(workspace).collect();
        query(path, &all)
    }
}

/// A path with a query.
fn query(path: &str, asked: &[(&str, String)]) -> String {
    let pairs: Vec<String> =
        asked.iter().map(|(name, value)| format!("{name}={}", spelled(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// A text with every byte that means something in a URL spelled out (RFC 3986 §2.3).
pub(crate) fn spelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_means_nothing_in_a_path() {
        assert_eq!(spelled("../a b?é"), "..%2Fa%20b%3F%C3%A9");
        let asked = [("since", "2026-11-24T00:00:00+00:00".to_owned()), ("lines", "3".to_owned())];
        assert_eq!(query("/v1/x", &asked), "/v1/x?since=2026-11-24T00%3A00%3A00%2B00%3A00&lines=3");
        assert_eq!(query("/v1/x", &[]), "/v1/x");
    }
}
