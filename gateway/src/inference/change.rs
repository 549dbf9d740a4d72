//! What a router file changes, and for which sandboxes.

use std::collections::BTreeMap;

use api::inference::AffectedSandbox;
use backends::configuration::{Backend, Configuration};
use domain::Sensitivity;

use crate::{
    lifecycle::Desired,
    records::SandboxRecord,
    store::{Page, Store, StoreError},
};

/// The most sandboxes that are named; a gateway with more has them counted by their list.
const NAMED_MAX: usize = 10_000;

/// What sends model calls elsewhere, or lets others see them, a line each.
pub(super) fn changes(old: Option<&Configuration>, new: Option<&Configuration>) -> Vec<String> {
    let (before, after) = (by_name(old), by_name(new));
    let mut changes = Vec::new();
    for (name, backend) in &before {
        match after.get(name) {
            None => changes.push(format!("backend {name} is no longer asked")),
            Some(now) if seen(now) != seen(backend) => {
                changes.push(format!("backend {name}: {} instead of {}", seen(now), seen(backend)));
            }
            Some(_) => {}
        }
    }
    for (name, backend) in &after {
        if !before.contains_key(name) {
            changes.push(format!("backend {name} may answer: {}", seen(backend)));
        }
    }
    if let (Some(old), Some(new)) = (old, new) {
        for level in Sensitivity::ALL {
            let (was, is) =
                (old.settings.rules.ceilings.of(level), new.settings.rules.ceilings.of(level));
            if was != is {
                changes.push(format!("what is {level} may go to {is} instead of {was}"));
            }
        }
        if old.settings.aliases != new.settings.aliases
            || old.settings.unknown_model != new.settings.unknown_model
        {
            changes.push("other names of models are taken".to_owned());
        }
    }
    changes
}

fn by_name(configuration: Option<&Configuration>) -> BTreeMap<&str, &Backend> {
    let backends = configuration.into_iter().flat_map(|one| &one.backends);
    backends.map(|backend| (backend.name.as_str(), backend)).collect()
}

/// What callers get of a backend, and who sees what they say.
fn seen(backend: &Backend) -> String {
    let models: Vec<&str> = backend.models.iter().map(|model| model.id.as_str()).collect();
    format!("{} at {}, zone {}", models.join(", "), address(backend), backend.zone)
}

/// Where a backend is.
pub(super) fn address(backend: &Backend) -> String {
    let url = &backend.base_url;
    let scheme = if url.tls { "https" } else { "http" };
    format!("{scheme}://{}{}", url.host_header(), url.path)
}

/// The sandboxes whose model calls the gateway answers.
pub(super) async fn sandboxes(store: &Store) -> Result<Vec<AffectedSandbox>, StoreError> {
    let mut page = Page { after: None, limit: 500 };
    let mut found = Vec::new();
    loop {
        let listed = store.list::<SandboxRecord>(None, &page).await?;
        let kept = listed.items.into_iter().filter(|one| one.body.desired != Desired::Deleted);
        found.extend(kept.map(|one| AffectedSandbox { workspace: one.workspace, name: one.name }));
        match listed.next {
            Some(next) if found.len() < NAMED_MAX => page.after = Some(next),
            _ => break,
        }
    }
    found.sort_unstable();
    Ok(found)
}
