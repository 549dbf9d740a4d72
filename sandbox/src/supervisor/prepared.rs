//! A sandbox that stands before anybody has asked for it, until somebody takes it.
//!
//! Its walls were built by a policy of the pool. Whoever takes it has moved its folder and put a record and a policy there;
//! it is theirs only if what would be built for them now is what stands. Not here: finding one (`pool`).

use std::{path::Path, sync::Arc, time::Duration};

use policy::PolicyFile;
use tokio::{
    net::{UnixListener, UnixStream},
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{
    Made, announce, authority, broken, failed, give_files, is_owner, listen, log_to, runtime, spec,
};
use crate::{
    Main, Sandbox,
    control::{
        Failed, Reply, Request,
        frame::{self, Kind},
    },
    plan::Plan,
    policies::Policies,
    pool,
    resolve::Resolver,
    state::{Folder, Record},
};

/// How long somebody may take to say what it wants.
const ASK_MAX: Duration = Duration::from_secs(10);

/// Who has taken a prepared sandbox, and where everybody else asks.
pub(super) struct Taken {
    pub(super) listener: UnixListener,
    /// Waits for a word.
    pub(super) taker: UnixStream,
}

/// What stands.
struct Prepared {
    made: Made,
    plan: Plan,
}

/// Makes it, waits, and serves whoever has taken it. Ends when it is told to before.
pub(super) fn wait(folder: &mut Folder, resolver: Resolver) -> Result<Runtime, Failed> {
    let mut prepared = make(folder, resolver)?;
    let runtime = runtime()?;
    let taken = runtime.block_on(async {
        let listener = listen(folder).map_err(|error| broken(&error))?;
        announce(&Reply::Done);
        prepared.until_taken(folder, listener).await
    })?;
    let Some(taken) = taken else { return Ok(runtime) };
    log_to(folder, &prepared.made.record)?;
    let Prepared { made, plan } = prepared;
    drop(plan);
    runtime.block_on(made.attend(folder, Main::WhenAsked, Some(taken)))?;
    Ok(runtime)
}

/// Everything that is done with one thread.
fn make(folder: &Folder, resolver: Resolver) -> Result<Prepared, Failed> {
    rustix::process::setsid().ok();
    let record = folder.record().map_err(|error| broken(&error))?;
    let policy = pool::policy_of(folder)?;
    let authority = authority(&record.name)?;
    let spec = spec(folder, &policy, &record, &authority);
    give_files(folder, &spec)?;
    let (sandbox, plan) = Sandbox::planned(&spec).map_err(|error| failed(&error))?;
    let policies = Policies::open(folder).map_err(|error| broken(&error))?;
    let authority = Arc::new(authority);
    let made = Made { sandbox, record, policies, policy, version: 0, authority, resolver };
    Ok(Prepared { made, plan })
}

impl Prepared {
    /// Waits until it is somebody's. `None` when it is to end before.
    async fn until_taken(
        &mut self,
        folder: &mut Folder,
        listener: UnixListener,
    ) -> Result<Option<Taken>, Failed> {
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| broken(&error))?;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = terminate.recv() => return Ok(None),
                accepted = listener.accept() => accepted,
            };
            let (mut taker, _) = accepted.map_err(|error| broken(&error))?;
            if !is_owner(&taker) {
                continue;
            }
            let said = timeout(ASK_MAX, frame::receive(&mut taker)).await;
            let Ok(Ok(Some((Kind::Message, bytes)))) = said else { continue };
            let reply = match frame::message(&bytes) {
                Ok(Request::Adopt { folder: to }) => match self.become_of(folder, &to) {
                    Ok(()) => return Ok(Some(Taken { listener, taker })),
                    Err(failed) => Reply::Failed(failed),
                },
                Ok(Request::Stop { .. }) => {
                    frame::say(&mut taker, &Reply::Done).await.ok();
                    return Ok(None);
                }
                _ => Reply::Failed(Failed::new("nobody has taken it yet", "")),
            };
            frame::say(&mut taker, &reply).await.ok();
        }
    }

    /// Takes over the record and the policy of that folder, if what stands is what they ask for.
    fn become_of(&mut self, folder: &mut Folder, to: &Path) -> Result<(), Failed> {
        let to = Folder::at(to.canonicalize().map_err(|error| broken(&error))?);
        let record = to.record().map_err(|error| broken(&error))?;
        let mut policies = Policies::open(&to).map_err(|error| broken(&error))?;
        let (version, policy) = policies.newest_good()?;
        self.must_fit(folder, &to, &record, &policy)?;
        self.made.record = record;
        self.made.policies = policies;
        self.made.policy = policy;
        self.made.version = version;
        *folder = to;
        Ok(())
    }

    fn must_fit(
        &mut self,
        from: &Folder,
        to: &Folder,
        record: &Record,
        policy: &PolicyFile,
    ) -> Result<(), Failed> {
        // Nothing inside knows its name; it is called as it was built.
        let called = Record { name: self.made.record.name.clone(), ..record.clone() };
        let spec = spec(to, policy, &called, &self.made.authority);
        let wanted = Plan::make(&spec).map_err(|error| failed(&error))?;
        let same_user = record.id == self.made.record.id;
        if !same_user || !self.plan.stands_for(&wanted, (&from.files(), &to.files())) {
            return Err(Failed::new("what was prepared is not what is asked for", ""));
        }
        self.made.sandbox.change_environment(&spec, &wanted);
        Ok(())
    }
}
