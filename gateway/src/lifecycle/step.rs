//! The next step of one sandbox: a pure function from what is wanted, what is seen and what was done.

use api::sandbox::Phase;
use serde::{Deserialize, Serialize};

/// What somebody wants of a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Desired {
    /// Nothing yet: what it is to be held to is still being written down.
    Draft,
    /// It runs.
    #[default]
    Running,
    /// It rests, with its files and its policy.
    Stopped,
    /// It is gone.
    Deleted,
}

/// What a policy is to a sandbox: its version, and what tells it from every other one. The default is none at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PolicyMark {
    /// Its version.
    pub(crate) version: u64,
    /// What tells it from others of that version.
    pub(crate) identity: u64,
}

/// What the store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What somebody wants.
    pub(crate) desired: Desired,
    /// What it is to be held to.
    pub(crate) policy: PolicyMark,
    /// What tells the state of its providers from others.
    pub(crate) providers: u64,
    /// Whether it has a main command that does not wait for somebody.
    pub(crate) has_command: bool,
}

/// How a sandbox that nobody attends came to be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rests {
    /// It has never stood.
    New,
    /// Somebody stopped it.
    Stopped,
    /// Its supervisor was lost.
    Lost,
}

/// What the driver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether a supervisor holds it.
    pub(crate) attended: bool,
    /// Whether its main command runs.
    pub(crate) running: bool,
    /// How its main command ended in this life of the supervisor.
    pub(crate) exit_code: Option<u8>,
    /// How it came to rest, where nobody attends it.
    pub(crate) rests: Rests,
}

/// What the supervisor that holds it was told in this life of the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The policy that it took.
    pub(crate) policy: Option<PolicyMark>,
    /// The state of the providers that it took.
    pub(crate) providers: Option<u64>,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make what it needs where it runs.
    Create,
    /// Start its supervisor.
    Start,
    /// Give its supervisor the providers.
    Supply,
    /// Give its supervisor the policy.
    SetPolicy,
    /// Start its main command.
    Launch,
    /// End it.
    Stop,
    /// Remove everything of it from where it runs.
    Delete,
    /// Remove it from the store.
    Forget,
    /// Nothing.
    Rest,
}

/// The next step. Each step, done, brings another one or rest.
pub(crate) fn next(wanted: &Wanted, seen: Option<&Seen>, told: &Told) -> Step {
    match (wanted.desired, seen) {
        (Desired::Draft, _) => Step::Rest,
        (Desired::Deleted, Some(_)) => Step::Delete,
        (Desired::Deleted, None) => Step::Forget,
        (Desired::Stopped, Some(seen)) if seen.attended => Step::Stop,
        (Desired::Stopped, _) => Step::Rest,
        (Desired::Running, None) => Step::Create,
        (Desired::Running, Some(seen)) if !seen.attended => Step::Start,
        // What its main command may do is in place before it starts; the policy first, so that no trouble with a provider holds
        // back a tighter one.
        (Desired::Running, Some(_)) if told.policy != Some(wanted.policy) => Step::SetPolicy,
        (Desired::Running, Some(_)) if told.providers != Some(wanted.providers) => Step::Supply,
        (Desired::Running, Some(seen))
            if wanted.has_command && !seen.running && seen.exit_code.is_none() =>
        {
            Step::Launch
        }
        (Desired::Running, Some(_)) => Step::Rest,
    }
}

/// How the sandbox is doing, in a word for people and one for programs. `failed` when the last step did not succeed, `stood`
/// when it has been ready before.
pub(crate) fn phase(
    wanted: &Wanted,
    seen: Option<&Seen>,
    told: &Told,
    (failed, stood): (bool, bool),
) -> (Phase, &'static str) {
    match (wanted.desired, next(wanted, seen, told)) {
        (Desired::Draft, _) => (Phase::Provisioning, "Creating"),
        (Desired::Deleted, _) if failed => (Phase::Deleting, "DeleteFailed"),
        (Desired::Deleted, _) => (Phase::Deleting, "DeleteRequested"),
        (Desired::Stopped, Step::Stop) if failed => (Phase::Error, "StopFailed"),
        (Desired::Stopped, Step::Stop) => (Phase::Stopping, "StopRequested"),
        (Desired::Stopped, _) => (Phase::Stopped, "StopRequested"),
        (Desired::Running, Step::Rest) => (Phase::Ready, "Ready"),
        (Desired::Running, Step::Create) if failed => (Phase::Error, "CreateFailed"),
        (Desired::Running, Step::Create) => (Phase::Provisioning, "Creating"),
        (Desired::Running, Step::Start) if failed => (Phase::Error, "StartFailed"),
        (Desired::Running, Step::Start) => match seen.map(|seen| seen.rests) {
            Some(Rests::Lost) => (Phase::Starting, "SupervisorLost"),
            Some(Rests::Stopped) => (Phase::Starting, "StartRequested"),
            Some(Rests::New) | None => (Phase::Provisioning, "Starting"),
        },
        (Desired::Running, _) if failed => (Phase::Error, "ConfigurationFailed"),
        // A change of what it may do is on its way to one that stands.
        (Desired::Running, Step::Supply | Step::SetPolicy) if stood => (Phase::Ready, "Updating"),
        (Desired::Running, _) => (Phase::Provisioning, "Configuring"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark() -> impl Strategy<Value = PolicyMark> {
        (0..3_u64, 0..2_u64).prop_map(|(version, identity)| PolicyMark { version, identity })
    }

    fn wanted() -> impl Strategy<Value = Wanted> {
        let desired =
            prop_oneof![Just(Desired::Running), Just(Desired::Stopped), Just(Desired::Deleted)];
        (desired, mark(), 0..3_u64, any::<bool>()).prop_map(
            |(desired, policy, providers, has_command)| Wanted {
                desired,
                policy,
                providers,
                has_command,
            },
        )
    }

    fn seen() -> impl Strategy<Value = Option<Seen>> {
        let rests = prop_oneof![Just(Rests::New), Just(Rests::Stopped), Just(Rests::Lost)];
        let exit_code = proptest::option::of(any::<u8>());
        let one = (any::<bool>(), any::<bool>(), exit_code, rests).prop_map(
            |(attended, running, exit_code, rests)| Seen {
                attended,
                running: running && attended,
                exit_code,
                rests,
            },
        );
        proptest::option::of(one)
    }

    fn told() -> impl Strategy<Value = Told> {
        (proptest::option::of(mark()), proptest::option::of(0..3_u64))
            .prop_map(|(policy, providers)| Told { policy, providers })
    }

    /// The world after a step that succeeded; `None` when the sandbox is forgotten.
    fn after(
        step: Step,
        wanted: &Wanted,
        seen: Option<Seen>,
        told: Told,
    ) -> Option<(Option<Seen>, Told)> {
        let still =
            Seen { attended: false, running: false, exit_code: None, rests: Rests::Stopped };
        let seen_or = seen.unwrap_or(still);
        match step {
            Step::Create => Some((Some(still), told)),
            Step::Start => Some((Some(Seen { attended: true, ..still }), Told::default())),
            Step::Supply => Some((seen, Told { providers: Some(wanted.providers), ..told })),
            Step::SetPolicy => Some((seen, Told { policy: Some(wanted.policy), ..told })),
            Step::Launch => Some((Some(Seen { running: true, ..seen_or }), told)),
            Step::Stop => Some((Some(still), Told::default())),
            Step::Delete => Some((None, Told::default())),
            Step::Forget => None,
            Step::Rest => Some((seen, told)),
        }
    }

    proptest! {
        #[test]
        fn every_sandbox_comes_to_what_is_wanted(wanted in wanted(), seen in seen(), told in told()) {
            let mut world = Some((seen, told));
            for _ in 0..8 {
                let Some((seen, told)) = world else { break };
                let step = next(&wanted, seen.as_ref(), &told);
                if step == Step::Rest { break }
                world = after(step, &wanted, seen, told);
            }
            match (wanted.desired, world) {
                (Desired::Deleted, world) => prop_assert!(world.is_none()),
                (Desired::Stopped, Some((seen, _))) => prop_assert!(!seen.is_some_and(|s| s.attended)),
                (Desired::Running, Some((Some(seen), told))) => {
                    prop_assert!(seen.attended);
                    prop_assert_eq!((told.policy, told.providers), (Some(wanted.policy), Some(wanted.providers)));
                    prop_assert!(!wanted.has_command || seen.running || seen.exit_code.is_some());
                    prop_assert_eq!(phase(&wanted, Some(&seen), &told, (false, true)).0, Phase::Ready);
                }
                (_, world) => prop_assert!(false, "{world:?}"),
            }
        }

        #[test]
        fn a_main_command_never_starts_before_its_policy(wanted in wanted(), seen in seen(), told in told()) {
            if next(&wanted, seen.as_ref(), &told) == Step::Launch {
                prop_assert_eq!((told.policy, told.providers), (Some(wanted.policy), Some(wanted.providers)));
            }
        }
    }

    #[test]
    fn a_tighter_policy_waits_for_no_provider() {
        let told = Told { policy: Some(PolicyMark::default()), providers: None };
        let policy = PolicyMark { version: 1, identity: 1 };
        let wanted = Wanted { desired: Desired::Running, policy, providers: 1, has_command: true };
        let seen = Seen { attended: true, running: true, exit_code: None, rests: Rests::New };
        assert_eq!(next(&wanted, Some(&seen), &told), Step::SetPolicy);
    }

    #[test]
    fn how_it_came_to_rest_is_told() {
        let policy = PolicyMark::default();
        let wanted = Wanted { desired: Desired::Running, policy, providers: 1, has_command: true };
        for (rests, told) in [
            (Rests::New, (Phase::Provisioning, "Starting")),
            (Rests::Stopped, (Phase::Starting, "StartRequested")),
            (Rests::Lost, (Phase::Starting, "SupervisorLost")),
        ] {
            let seen = Seen { attended: false, running: false, exit_code: None, rests };
            let said = phase(&wanted, Some(&seen), &Told::default(), (false, true));
            assert_eq!(said, told, "{rests:?}");
        }
    }

    #[test]
    fn a_draft_waits_for_what_it_is_to_be_held_to() {
        let wanted = Wanted {
            desired: Desired::Draft,
            policy: PolicyMark::default(),
            providers: 0,
            has_command: true,
        };
        assert_eq!(next(&wanted, None, &Told::default()), Step::Rest);
    }

    #[test]
    fn one_that_was_stopped_stays_so_when_nothing_is_known_of_it() {
        let wanted = Wanted {
            desired: Desired::Stopped,
            policy: PolicyMark { version: 1, identity: 1 },
            providers: 0,
            has_command: true,
        };
        assert_eq!(next(&wanted, None, &Told::default()), Step::Rest);
        assert_eq!(
            phase(&wanted, None, &Told::default(), (false, false)),
            (Phase::Stopped, "StopRequested")
        );
    }
}
