//! Sees to it that routers work by what is set, whoever set it.

use std::{sync::Arc, time::Duration};

use api::inference::Route;
use tokio_util::sync::CancellationToken;

use super::{Force, Inference, WORKSPACE, parse, records, scope};
use crate::{lifecycle::written, providers, store::StoreError};

/// How often it is looked.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);

impl Inference {
    /// Sees to it, until it is stopped, that the routers work by what is set: also by other gateways on the same store, and where
    /// it could not be done before.
    pub(crate) async fn follow(self: Arc<Self>, stopped: CancellationToken) {
        let mut told = None;
        loop {
            tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
            }
            if self.door.is_none() {
                continue;
            }
            for route in Route::ALL {
                let _turn = self.turn.lock().await;
                let followed = self.follow_once(route).await;
                let failed = followed.err().map(|why| (route, why));
                if failed.is_some() && failed != told {
                    let why = failed.as_ref().map(|(_, why)| why.as_str()).unwrap_or_default();
                    tracing::error!(
                        route = route.word(),
                        why,
                        "the router does not work by what is set"
                    );
                    told = failed;
                }
            }
        }
    }

    async fn follow_once(&self, route: Route) -> Result<(), String> {
        let wanted = self.newest_wanted(route).await.map_err(written)?;
        let force = self.force(route);
        match (wanted, force) {
            (None, None) => Ok(()),
            (None, Some(_)) => {
                self.end(route).await;
                Ok(())
            }
            (Some(wanted), Some(force))
                if (wanted.version, &wanted.hash) == (force.version, &force.hash)
                    && self.has_keys(&force).await.map_err(written)? =>
            {
                Ok(())
            }
            (Some(wanted), _) => self.apply(route, &wanted).await.map(drop),
        }
    }

    /// Whether the credentials that a router was given are those that there are.
    async fn has_keys(&self, force: &Force) -> Result<bool, StoreError> {
        for name in records(&force.configuration) {
            let given =
                force.keys.iter().find(|(known, _)| known == name).map(|(_, version)| *version);
            let found = providers::find(&self.store, WORKSPACE, name).await?;
            if found.map(|found| found.version) != given {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives the routers the credentials of a provider that has changed.
    pub(crate) async fn provider_changed(&self, workspace: &str, provider: &str) {
        if workspace != WORKSPACE {
            return;
        }
        let _turn = self.turn.lock().await;
        for route in Route::ALL {
            let Some(force) = self.force(route) else { continue };
            if !force.keys.iter().any(|(name, _)| name == provider) {
                continue;
            }
            let revision = self.store.policy(scope(route), force.version).await;
            let applied = match revision {
                Ok(Some(revision)) => self.apply(route, &revision).await,
                Ok(None) => continue,
                Err(error) => Err(written(error)),
            };
            if let Err(why) = applied {
                tracing::error!(
                    provider,
                    why,
                    "the router goes on with the credential that it has"
                );
            }
        }
    }

    /// The routes whose newest or good file names that provider.
    ///
    /// # Errors
    /// When the store does not work.
    pub(crate) async fn uses(&self, workspace: &str, provider: &str) -> Result<bool, StoreError> {
        if workspace != WORKSPACE {
            return Ok(false);
        }
        for route in Route::ALL {
            let Some(wanted) = self.newest_wanted(route).await? else { continue };
            let Ok((configuration, _)) = parse(&wanted.text) else { continue };
            if records(&configuration).any(|name| name == provider) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether each router that should run does.
    pub(crate) async fn is_well(&self) -> bool {
        for route in Route::ALL {
            let wanted = self.newest_wanted(route).await;
            let hash = self.force(route).map(|force| force.hash);
            match wanted {
                Ok(Some(wanted)) if self.door.is_some() && hash.as_ref() != Some(&wanted.hash) => {
                    return false;
                }
                Ok(_) | Err(_) => {}
            }
        }
        true
    }
}
