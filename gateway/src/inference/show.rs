//! How it stands, as it is shown.

use api::inference::{Backend, Inference as Shown, InferenceRevision, MadeOf, Route};
use backends::configuration::{Configuration, CredentialSource};

use super::{Inference, change, made, parse, scope, socket};
use crate::{
    policies,
    store::{PolicyRevision, StoreError},
};

impl Inference {
    /// How it stands.
    ///
    /// # Errors
    /// When the store does not work.
    pub(crate) async fn shown(&self, route: Route) -> Result<Shown, StoreError> {
        let newest = self.store.newest_policy(scope(route)).await?;
        let force = self.force(route);
        let wanted = self.newest_wanted(route).await?;
        let made = wanted.as_ref().and_then(|wanted| made::read(&wanted.text));
        let made_of = made.filter(|made| !made.edited).map(|made| MadeOf {
            timeout_secs: made.wanted.timeout().as_secs(),
            provider: made.wanted.provider,
            model: made.wanted.model,
        });
        Ok(Shown {
            route,
            configured: newest.is_some(),
            running: force.is_some(),
            in_force: force.as_ref().map(|force| force.version.unsigned_abs()),
            newest: newest.as_ref().map(|newest| revision_shown(newest, true)),
            made_of,
            backends: self.backends(route).await?,
            notices: force.as_ref().map(|force| force.notices.clone()).unwrap_or_default(),
            socket: force.map(|_| socket(&self.folder, route).display().to_string()),
        })
    }

    /// The backends in force, else those of the newest file.
    ///
    /// # Errors
    /// When the store does not work.
    pub(crate) async fn backends(&self, route: Route) -> Result<Vec<Backend>, StoreError> {
        if let Some(force) = self.force(route) {
            let missing = |name: &str| {
                force.missing.iter().find(|(known, _)| known == name).map(|(_, why)| why.clone())
            };
            return Ok(backends_shown(&force.configuration, missing));
        }
        let wanted = self.newest_wanted(route).await?;
        let configuration = wanted.and_then(|wanted| parse(&wanted.text).ok());
        Ok(configuration.map_or_else(Vec::new, |(one, _)| backends_shown(&one, |_| None)))
    }
}

fn backends_shown(
    configuration: &Configuration,
    missing: impl Fn(&str) -> Option<String>,
) -> Vec<Backend> {
    let shown = |backend: &backends::configuration::Backend| Backend {
        name: backend.name.as_str().to_owned(),
        provider: backend.provider.as_str().to_owned(),
        base_url: change::address(backend),
        zone: backend.zone.as_str().to_owned(),
        credential: backend.credential.as_ref().map(|source| match source {
            CredentialSource::Env(name) => format!("variable {name}"),
            CredentialSource::File(path) => format!("file {path}"),
            CredentialSource::Record(name) => format!("provider {name}"),
        }),
        models: backend.models.iter().map(|model| model.id.as_str().to_owned()).collect(),
        missing: missing(backend.name.as_str()),
    };
    configuration.backends.iter().map(shown).collect()
}

/// A revision as it is shown, with its file where that was asked for.
pub(crate) fn revision_shown(revision: &PolicyRevision, with_file: bool) -> InferenceRevision {
    let shown = policies::shown(revision, None);
    InferenceRevision {
        version: shown.version,
        hash: shown.hash,
        status: shown.status,
        created: shown.created,
        loaded: shown.loaded,
        error: shown.error,
        config: with_file.then(|| revision.text.clone()),
    }
}
