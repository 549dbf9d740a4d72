//! `openshell learn`: a command in a sandbox that lets everything public pass and records it, and then the smallest policy
//! that would have let the same pass.
//!
//! The record of decisions says what was done; what is proposed for refusals is proposed for it. Not here: running a
//! sandbox. Invariant: addresses of this machine and of its link stay closed.

mod watched;

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context as _;
use ipnet::IpNet;
use policy::{PolicyFile, address};
use sandbox::state::Folder;
use serde_json::json;

use self::watched::Watched;
use crate::{
    args::{
        change::LearnArgs,
        sandbox::{AutoProvidersArgs, CreateArgs, LimitArgs, TtyArgs},
    },
    commands::{
        events,
        sandbox::{create, home, life},
    },
    failure::Failure,
    output,
};

/// Ports at which HTTP is expected, with TLS or without.
const HTTP: [u16; 9] = [80, 443, 3000, 5000, 8000, 8008, 8080, 8443, 8888];
/// Other ports that are opened without a look: ssh, mail, LDAP, git, databases, message brokers.
const OTHER: [u16; 18] = [
    21, 22, 25, 143, 389, 465, 587, 636, 993, 1433, 1521, 3306, 5432, 5671, 5672, 6379, 9418, 27017,
];

/// Runs the command and prints what it needed.
pub(crate) fn run(args: LearnArgs) -> Result<ExitCode, Failure> {
    let mut networks = address::public_networks();
    networks.extend(&args.allowed_ips);
    let policy = open(&networks.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("learn-{}", id.get(..8).unwrap_or(&id));
    let folder = home()?.sandbox(&name);
    let create = CreateArgs {
        name: Some(name.clone()),
        policy: None,
        provider: args.provider,
        auto: AutoProvidersArgs::default(),
        detach: false,
        env: args.env,
        label: Vec::new(),
        upload: args.upload,
        no_git_ignore: false,
        keep: true,
        no_keep: false,
        forward: None,
        router: None,
        sandbox_key: None,
        upstream: args.upstream,
        limits: LimitArgs::default(),
        strict_callers: false,
        learning: true,
        tty: TtyArgs { tty: false, no_tty: false },
        command: args.command,
    };
    let ended = create::run_with(&create, &policy);
    let learned = ended
        .and_then(|code| learn(&name, &folder, &args.allowed_ips).map(|policy| (code, policy)));
    if folder.path().exists() {
        life::remove(&name, &folder)?;
    }
    let (code, policy) = learned?;
    match &args.output {
        None => output::line(policy.trim_end())?,
        Some(path) => {
            fs::write(path, policy).with_context(|| format!("cannot write {}", path.display()))?;
            output::complain(&format!("✓ Wrote {}", path.display()));
        }
    }
    Ok(code)
}

/// The policy that lets everything pass to these networks, and records what it would have refused otherwise.
fn open(networks: &[String]) -> Result<String, Failure> {
    let everybody = json!([{"path": "/**"}]);
    // No request is like this, so that every one is on record with its method and path.
    let nothing = json!([{"allow": {"method": "LEARN", "path": "/.openshell/learn"}}]);
    let http = json!({
        "ports": HTTP, "allowed_ips": networks, "protocol": "rest", "enforcement": "audit", "rules": nothing,
    });
    let other = json!({"ports": OTHER, "allowed_ips": networks});
    let network = json!({
        "version": 1,
        "network_policies": {
            "learn-http": {"endpoints": [http], "binaries": everybody},
            "learn-other": {"endpoints": [other], "binaries": everybody},
        },
    });
    let (mut policy, _) = PolicyFile::parse(&network.to_string()).map_err(|faults| {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::new(told.join("; "))
    })?;
    let restrictive = PolicyFile::restrictive();
    policy.filesystem = restrictive.filesystem;
    policy.landlock = restrictive.landlock;
    policy.process = restrictive.process;
    Ok(policy.to_yaml()?)
}

/// What the record of the sandbox says that its command needed.
fn learn(name: &str, folder: &Folder, internal: &[IpNet]) -> Result<String, Failure> {
    // The record is whole only when its supervisor has ended.
    life::end(name, folder, 0)?;
    let mut watched = watched(&folder.audit())?;
    if !internal.is_empty() {
        watched.resolve();
    }
    watched.policy()
}

/// What a record tells, with the files of it that were set aside meanwhile.
fn watched(record: &Path) -> Result<Watched, Failure> {
    let mut watched = Watched::default();
    events::each(record, |event| watched.add(&event.json))
        .map_err(|failure| failure.hint("nothing was recorded, so nothing can be learned"))?;
    Ok(watched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_aside_of_a_record_is_learned_from_too() {
        let folder = tempfile::tempdir().unwrap();
        for (file, host) in
            [("audit.jsonl.1", "early.example.com"), ("audit.jsonl", "late.example.com")]
        {
            let event = json!({
                "class_uid": 4001, "activity_id": 1, "action": "Allowed",
                "dst_endpoint": {"hostname": host, "ip": "93.184.216.34", "port": 443},
                "actor": {"process": {"file": {"path": "/usr/bin/curl"}}},
            });
            fs::write(folder.path().join(file), format!("{event}\n")).unwrap();
        }
        let policy = watched(&folder.path().join("audit.jsonl")).unwrap().policy().unwrap();
        assert!(
            policy.contains("early.example.com") && policy.contains("late.example.com"),
            "{policy}"
        );
    }
}
