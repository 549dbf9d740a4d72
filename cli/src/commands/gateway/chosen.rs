//! The gateway that a command works with: the one that is named, else the active one.

use std::{path::PathBuf, sync::Arc, time::Duration};

use api::{
    client::Client,
    sandbox::{Sandbox, SandboxChange, SandboxStatus},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::sleep;

use super::{Registry, refused, registry::Known, service};
use crate::{
    args::ChoiceArgs,
    commands::sandbox::{block_on, kept},
    failure::Failure,
};

/// How a person says that no gateway is to be used.
const NONE: &str = "none";

/// What stands for itself nowhere in an address.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Before a gateway that ended the stream of changes is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// Whose sandboxes a command is about.
#[derive(Debug)]
pub(crate) enum Whose {
    /// This user's own, without a gateway.
    Own,
    /// Those that a gateway keeps.
    Gateway(Arc<Chosen>),
}

/// A gateway to be asked.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// Its name.
    pub(crate) name: String,
    /// The workspace that is meant, if not its default one.
    pub(crate) workspace: Option<String>,
    client: Client,
    /// What this user knows of it.
    folder: PathBuf,
}

impl Whose {
    /// What was chosen.
    ///
    /// # Errors
    /// When no gateway is chosen and none is the active one, or it is not known.
    pub(crate) fn of(choice: &ChoiceArgs) -> Result<Self, Failure> {
        if choice.gateway.as_deref() == Some(NONE) {
            return Ok(Self::Own);
        }
        let registry = Registry::open()?;
        Self::known(&registry, registry.chosen(choice.gateway.as_deref())?, choice)
    }

    /// The same; where no gateway is known at all, one of this user is started.
    ///
    /// # Errors
    /// As [`Whose::of`], and when it does not start.
    pub(crate) fn of_or_start(choice: &ChoiceArgs) -> Result<Self, Failure> {
        if choice.gateway.is_none() && Registry::open()?.active()?.is_none() {
            service::start_first()?;
        }
        Self::of(choice)
    }

    /// How a person chooses it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Own => NONE,
            Self::Gateway(gateway) => &gateway.name,
        }
    }

    fn known(registry: &Registry, known: Known, choice: &ChoiceArgs) -> Result<Self, Failure> {
        let client = registry.client(&known)?;
        let folder = registry.folder(&known.name);
        let workspace = choice.workspace.clone();
        Ok(Self::Gateway(Chosen { name: known.name, workspace, client, folder }.into()))
    }
}

impl Chosen {
    /// The client for it.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The sandbox of that name, or the last one that was used; it is the last one from now on.
    ///
    /// # Errors
    /// When none was used yet.
    pub(crate) fn sandbox(&self, name: Option<&str>) -> Result<String, Failure> {
        let name = kept::named(self, name)?;
        self.remember(&name);
        Ok(name)
    }

    /// The path of something of a sandbox, such as `logs`, with what is asked of it.
    pub(crate) fn below(&self, sandbox: &str, what: &str, asked: &[(&str, String)]) -> String {
        self.query(&format!("/v1/sandboxes/{}/{what}", escaped(sandbox)), asked)
    }

    /// A path with what is asked of it, in the workspace that is meant.
    pub(crate) fn query(&self, path: &str, asked: &[(&str, String)]) -> String {
        let pairs = asked.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
        let pairs: Vec<String> = pairs.collect();
        self.path(&if pairs.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", pairs.join("&"))
        })
    }

    /// A sandbox as routers know it: after its workspace, where that is not `default`.
    pub(crate) fn tenant(&self, sandbox: &str) -> String {
        match self.workspace.as_deref() {
            None | Some("default") => sandbox.to_owned(),
            Some(workspace) => format!("{workspace}/{sandbox}"),
        }
    }

    /// A path in the workspace that is meant.
    pub(crate) fn path(&self, path: &str) -> String {
        let Some(workspace) = &self.workspace else { return path.to_owned() };
        let mark = if path.contains('?') { '&' } else { '?' };
        format!("{path}{mark}workspace={}", escaped(workspace))
    }

    /// What is at a path.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        block_on(async { self.client.get(&self.path(path)).await.map_err(refused) })
    }

    /// What is at a path, if there is something.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        block_on(async {
            match self.client.get(&self.path(path)).await {
                Err(error) if error.status() == Some(404) => Ok(None),
                other => other.map(Some).map_err(refused),
            }
        })
    }

    /// Asks with a body.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, Failure> {
        block_on(async { self.client.send(method, &self.path(path), body).await.map_err(refused) })
    }

    /// Asks for what has no answer but that it was done.
    ///
    /// # Errors
    /// Why it was not.
    pub(crate) fn order(&self, method: Method, path: &str) -> Result<(), Failure> {
        block_on(async { self.client.order(method, &self.path(path)).await.map_err(refused) })
    }

    /// Everything of a list that comes in pages.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        let (mut items, mut after) = (Vec::new(), None::<String>);
        loop {
            let next = match &after {
                Some(after) => format!("{path}?limit=500&after={}", escaped(after)),
                None => format!("{path}?limit=500"),
            };
            let page: api::page::Page<T> = self.get(&next)?;
            items.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(items),
            }
        }
    }

    /// Notes that a sandbox was used: it is meant where none is named.
    pub(crate) fn remember(&self, sandbox: &str) {
        // Forgetting it costs the next command a name.
        std::fs::write(self.last_sandbox(), sandbox).ok();
    }

    /// The file that says which sandbox was used last.
    pub(crate) fn last_sandbox(&self) -> PathBuf {
        self.folder.join("last_sandbox")
    }

    /// Waits until `enough` is made of how a sandbox is doing, which is none when it is gone.
    ///
    /// # Errors
    /// Why there is no answer, and what `enough` says.
    pub(crate) async fn wait<T>(
        &self,
        sandbox: &str,
        mut enough: impl FnMut(Option<&SandboxStatus>) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let path = self.path(&format!("/v1/sandboxes/{sandbox}"));
        let changes = self.path(&format!("/v1/watch?sandbox={sandbox}"));
        loop {
            // What changes after this is heard, whatever is read next.
            let mut events = self.client.follow(&changes, None).await.map_err(refused)?;
            let now = match self.client.get::<Sandbox>(&path).await {
                Err(error) if error.status() == Some(404) => None,
                other => Some(other.map_err(refused)?.status),
            };
            if let Some(done) = enough(now.as_ref())? {
                return Ok(done);
            }
            while let Ok(Some(event)) = events.next().await {
                let change: SandboxChange = serde_json::from_str(&event.data)?;
                if let Some(done) = enough(change.status.as_ref())? {
                    return Ok(done);
                }
            }
            sleep(PAUSE).await;
        }
    }
}

/// The gateway that was chosen, else the active one; none where there is no active one either, or somebody wants none.
///
/// # Errors
/// When the one that was chosen is not known, or cannot be used.
pub(crate) fn chosen(choice: &ChoiceArgs) -> Result<Option<Arc<Chosen>>, Failure> {
    // Where nothing says where configuration is kept, none is active.
    if choice.gateway.is_none()
        && !matches!(Registry::open().map(|all| all.active()), Ok(Ok(Some(_))))
    {
        return Ok(None);
    }
    match Whose::of(choice)? {
        Whose::Own => Ok(None),
        Whose::Gateway(gateway) => Ok(Some(gateway)),
    }
}

/// Text as a part of an address (RFC 3986 §2.3).
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_means_nothing_in_an_address() {
        assert_eq!(escaped("../a b?é&-_~"), "..%2Fa%20b%3F%C3%A9%26-_~");
    }
}
