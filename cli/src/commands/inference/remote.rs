//! Where the model calls of a gateway's sandboxes go, through the gateway.
//!
//! What sends the calls of sandboxes elsewhere is shown before it is done, and asked about.

use std::io::{self, IsTerminal as _};

use api::{
    client::Client,
    inference::{
        BackendTest, Backends, Inference, InferenceSet, NewBackend, NewInference, NewRoute, Route,
    },
    policy::RevisionStatus,
};
use reqwest::Method;
use serde::Serialize;

use super::{Shown, service};
use crate::{
    args::provider::{InferenceAt, InferenceSetArgs, InferenceUpdateArgs, YesArg},
    commands::{
        gateway::{Chosen, escaped, refused},
        sandbox::block_on,
    },
    failure::Failure,
    output,
};

/// How many sandboxes are named before a change; more are counted.
const NAMED_MAX: usize = 20;

/// One route of one gateway.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    route: Route,
}

impl Remote {
    /// The one that was asked for.
    pub(super) fn new(asked: &Chosen, at: &InferenceAt) -> Self {
        Self::on(asked, if at.system { Route::System } else { Route::Sandboxes })
    }

    /// That route of this gateway.
    pub(super) fn on(asked: &Chosen, route: Route) -> Self {
        Self { client: asked.client().clone(), route }
    }

    /// `inference set`
    pub(super) fn set(&self, args: InferenceSetArgs) -> Result<(), Failure> {
        let new = NewRoute {
            provider: args.provider,
            model: args.model,
            timeout_secs: Some(args.timeout),
            base: None,
            verify: !args.no_verify,
        };
        self.set_route(&new, args.yes)
    }

    /// `inference update`
    pub(super) fn update(&self, args: InferenceUpdateArgs) -> Result<(), Failure> {
        let new = NewRoute {
            provider: args.provider,
            model: args.model,
            timeout_secs: args.timeout,
            base: None,
            verify: !args.no_verify,
        };
        self.set_route(&new, args.yes)
    }

    fn set_route(&self, new: &NewRoute, yes: YesArg) -> Result<(), Failure> {
        self.change((Method::PUT, "/route"), yes, |base| NewRoute { base, ..new.clone() })
    }

    /// `inference apply`
    pub(super) fn apply(&self, config: &str, verify: bool, yes: YesArg) -> Result<(), Failure> {
        let new = |base| NewInference { config: config.to_owned(), base, verify };
        self.change((Method::PUT, ""), yes, new)
    }

    /// `inference backend add`
    pub(super) fn add_backend(&self, new: &NewBackend, yes: YesArg) -> Result<(), Failure> {
        let new = |base| NewBackend { base, ..new.clone() };
        self.change((Method::POST, "/backends"), yes, new)
    }

    /// `inference backend remove`
    pub(super) fn remove_backend(&self, name: &str, yes: YesArg) -> Result<(), Failure> {
        let path = format!("/backends/{}", escaped(name));
        self.change((Method::DELETE, &path), yes, |_| ())
    }

    /// `inference route remove`
    pub(super) fn remove(&self, yes: YesArg) -> Result<bool, Failure> {
        block_on(async {
            let set = self.changed((&Method::DELETE, ""), yes, &|_| ()).await?;
            Ok(set.changed)
        })
    }

    /// Does something that changes where calls go, and says what is in force then.
    fn change<B: Serialize + Sync>(
        &self,
        (method, rest): (Method, &str),
        yes: YesArg,
        body: impl Fn(Option<u64>) -> B,
    ) -> Result<(), Failure> {
        block_on(async {
            let set = self.changed((&method, rest), yes, &body).await?;
            for notice in &set.notices {
                output::complain(&format!("! {notice}"));
            }
            let shown = self.get().await?;
            let title = service(self.route).title();
            let mut told = format!("{title} configured:\n\n{}", block(&shown));
            if !set.changed {
                told.push_str("\n  · It was so before");
            }
            if let (Route::System, Some(socket)) = (self.route, &shown.socket) {
                told.extend(["\n  Socket: ", socket]);
            }
            if let Some(endpoint) = &set.validated {
                told.push_str("\n  Validated Endpoints:\n    - ");
                told.push_str(endpoint);
            }
            output::line(&told)
        })
    }

    async fn changed<B: Serialize + Sync>(
        &self,
        (method, rest): (&Method, &str),
        yes: YesArg,
        body: &impl Fn(Option<u64>) -> B,
    ) -> Result<InferenceSet, Failure> {
        let before = self.get().await?;
        // What is shown is what is changed.
        let base = before.newest.as_ref().map_or(0, |newest| newest.version);
        let body = body(Some(base));
        let send = async |tried: bool| -> Result<InferenceSet, Failure> {
            let path = self.path(rest, tried);
            self.client.send(method.clone(), &path, &body).await.map_err(refused)
        };
        if before.in_force.is_some() && !yes.yes {
            confirm(&send(true).await?)?;
        }
        send(false).await
    }

    /// How it stands.
    pub(super) async fn get(&self) -> Result<Inference, Failure> {
        self.client.get(&self.path("", false)).await.map_err(refused)
    }

    /// It as the own routes of a user are shown.
    pub(super) fn shown(&self) -> Result<Shown, Failure> {
        block_on(async { self.get().await.map(|inference| shown(&inference)) })
    }

    /// The file that should be in force.
    pub(super) fn config(&self) -> Result<Option<String>, Failure> {
        block_on(async {
            let inference = self.get().await?;
            let Some(version) = inference.in_force else {
                return Ok(inference.newest.and_then(|newest| newest.config));
            };
            let path = self.path(&format!("/revisions/{version}"), false);
            let revision: api::inference::InferenceRevision =
                self.client.get(&path).await.map_err(refused)?;
            Ok(revision.config)
        })
    }

    /// The backends.
    pub(super) fn backends(&self) -> Result<Backends, Failure> {
        block_on(async { self.client.get(&self.path("/backends", false)).await.map_err(refused) })
    }

    /// Makes one real call to a backend.
    pub(super) fn test(&self, name: &str) -> Result<BackendTest, Failure> {
        let path = self.path(&format!("/backends/{}/test", escaped(name)), false);
        block_on(async { self.client.send(Method::POST, &path, &()).await.map_err(refused) })
    }

    fn path(&self, rest: &str, tried: bool) -> String {
        let tried = if tried { "&dry_run=true" } else { "" };
        format!("/v1/inference{rest}?route={}{tried}", self.route.word())
    }
}

/// Shows whose calls go elsewhere, and asks. Where nobody's do, there is nothing to ask.
fn confirm(tried: &InferenceSet) -> Result<(), Failure> {
    if tried.sandboxes.is_empty() {
        return Ok(());
    }
    let count = tried.sandboxes.len();
    let noun = if count == 1 { "sandbox" } else { "sandboxes" };
    let mut told = format!("This changes where the model calls of {count} {noun} go:");
    for change in &tried.changes {
        told.extend(["\n  - ", change]);
    }
    told.push_str("\nSandboxes:");
    for sandbox in tried.sandboxes.iter().take(NAMED_MAX) {
        told.extend(["\n  ", &sandbox.workspace, "/", &sandbox.name]);
    }
    if count > NAMED_MAX {
        told.extend(["\n  and ", &count.saturating_sub(NAMED_MAX).to_string(), " more"]);
    }
    output::complain(&told);
    if !io::stdin().is_terminal() {
        return Err(Failure::new("nothing was changed, because nobody is here to be asked")
            .hint("--yes changes it without asking"));
    }
    output::complain("Type yes to go on:");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new("nothing was changed")) }
}

/// The route as services of a user have it.
fn service(route: Route) -> service::Route {
    match route {
        Route::Sandboxes => service::Route::Sandboxes,
        Route::System => service::Route::System,
    }
}

/// What is set, for people.
fn block(inference: &Inference) -> String {
    let mut lines = vec![("Route", service(inference.route).name().to_owned())];
    if let Some(made) = &inference.made_of {
        lines.push(("Provider", made.provider.clone()));
        lines.push(("Model", made.model.clone()));
    } else {
        let names = inference.backends.iter().map(|backend| backend.name.as_str());
        lines.push(("Backends", names.collect::<Vec<&str>>().join(", ")));
    }
    if let Some(newest) = &inference.newest {
        lines.push(("Version", newest.version.to_string()));
    }
    if let Some(made) = &inference.made_of {
        lines.push(("Timeout", format!("{}s", made.timeout_secs)));
    }
    if let Some(in_force) = inference.in_force {
        lines.push(("In force", in_force.to_string()));
    }
    if let Some(newest) =
        inference.newest.as_ref().filter(|one| one.status == RevisionStatus::Failed)
    {
        let why = newest.error.as_deref().unwrap_or("no reason given");
        lines.push(("Newest", format!("failed: {why}")));
    }
    let lines: Vec<String> =
        lines.iter().map(|(name, value)| format!("  {name}: {value}")).collect();
    lines.join("\n")
}

fn shown(inference: &Inference) -> Shown {
    let made = inference.made_of.as_ref();
    let route = service(inference.route);
    Shown {
        configured: inference.configured,
        route: route.name(),
        provider: made.map(|made| made.provider.clone()),
        model: made.map(|made| made.model.clone()),
        version: inference.newest.as_ref().map(|newest| newest.version),
        timeout_secs: made.map(|made| made.timeout_secs),
        in_force: inference.in_force,
        status: inference.newest.as_ref().map(|newest| word(newest.status)),
        error: inference.newest.as_ref().and_then(|newest| newest.error.clone()),
        file: None,
        written_by_hand: inference.configured && made.is_none(),
        running: inference.running,
        notices: inference.notices.clone(),
        title: route.title(),
        table: block(inference),
    }
}

/// The word for what became of a revision.
pub(super) fn word(status: RevisionStatus) -> &'static str {
    match status {
        RevisionStatus::Pending => "pending",
        RevisionStatus::Loaded => "loaded",
        RevisionStatus::Failed => "failed",
        RevisionStatus::Superseded => "superseded",
    }
}
