//! The same of a gateway's sandbox: the gateway lists, approves and keeps what was decided.

use std::process::ExitCode;

use api::{
    page::Page,
    proposal::{Approval, Approved, Cleared, Proposal, ProposalStatus, Rejection},
};
use reqwest::Method;

use super::{RuleStatus, Shown, show};
use crate::{
    args::change::{RuleAllArgs, RuleCommand, RuleGetArgs, RuleOneArgs},
    commands::{
        gateway::{Chosen, escaped, refused},
        sandbox::block_on,
    },
    failure::Failure,
    output,
};

/// Runs what was typed.
pub(super) fn run(command: &RuleCommand, asked: &Chosen) -> Result<ExitCode, Failure> {
    let of = |name: &Option<String>| {
        Ok::<_, Failure>(Rules { asked, sandbox: asked.sandbox(name.as_deref())? })
    };
    match command {
        RuleCommand::Get(args) => of(&args.name)?.get(args),
        RuleCommand::Approve(args) => of(&args.name)?.approve(args),
        RuleCommand::Reject(args) => of(&args.rule.name)?.reject(&args.rule, &args.reason),
        RuleCommand::ApproveAll(args) => of(&args.name)?.approve_all(args),
        RuleCommand::Clear { name, .. } => of(name)?.clear(),
        RuleCommand::History(args) => {
            let rules = of(&args.name)?;
            let mut all = rules.list(ProposalStatus::Approved)?;
            all.extend(rules.list(ProposalStatus::Rejected)?);
            all.sort_by_key(|one| one.decided);
            show(args.output, &all.into_iter().map(shown).collect())
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The rules of one sandbox.
struct Rules<'a> {
    asked: &'a Chosen,
    sandbox: String,
}

impl Rules<'_> {
    fn list(&self, status: ProposalStatus) -> Result<Vec<Proposal>, Failure> {
        let word = match status {
            ProposalStatus::Pending => "pending",
            ProposalStatus::Approved => "approved",
            ProposalStatus::Rejected => "rejected",
        };
        block_on(async {
            let (mut all, mut after) = (Vec::new(), None::<String>);
            loop {
                let mut query = vec![("status", word.to_owned()), ("limit", "1000".to_owned())];
                query.extend(after.take().map(|after| ("after", after)));
                let path = self.asked.below(&self.sandbox, "proposals", &query);
                let page: Page<Proposal> = self.asked.client().get(&path).await.map_err(refused)?;
                all.extend(page.items);
                after = page.next;
                if after.is_none() {
                    return Ok(all);
                }
            }
        })
    }

    fn get(&self, args: &RuleGetArgs) -> Result<(), Failure> {
        let status = match args.status {
            Some(RuleStatus::Approved) => ProposalStatus::Approved,
            Some(RuleStatus::Rejected) => ProposalStatus::Rejected,
            Some(RuleStatus::Pending) | None => ProposalStatus::Pending,
        };
        show(args.output, &self.list(status)?.into_iter().map(shown).collect())
    }

    /// Only the whole name will do: it says what is approved.
    fn approve(&self, args: &RuleOneArgs) -> Result<(), Failure> {
        self.put(&args.chunk_id)
    }

    fn put(&self, id: &str) -> Result<(), Failure> {
        let what = format!("proposals/{}/approve", escaped(id));
        let path = self.asked.below(&self.sandbox, &what, &[]);
        let approved: Approved = block_on(async {
            let approval = Approval::default();
            self.asked.client().send(Method::POST, &path, &approval).await.map_err(refused)
        })?;
        let revision = &approved.policy.revision;
        output::line(&format!(
            "✓ Policy version {} submitted (hash: {})",
            revision.version, revision.hash
        ))?;
        for what in &approved.policy.postponed {
            output::complain(&format!("! {what} takes effect when the sandbox starts next"));
        }
        let denial = &approved.proposal.denial;
        let told = denial.proposal.as_ref().map(|opening| {
            let rules = opening.add_allow.join(" ");
            format!("{} for {} {rules}", opening.add_endpoint, opening.binary)
        });
        let told = told.unwrap_or_default();
        output::line(&format!("✓ Approved rule {}: {}", denial.id, output::printable(&told, false)))
    }

    fn approve_all(&self, args: &RuleAllArgs) -> Result<(), Failure> {
        let mut approved = 0_usize;
        for proposal in self.list(ProposalStatus::Pending)? {
            let Some(opening) = &proposal.denial.proposal else { continue };
            let notes = opening.security_notes.join(", ");
            if !notes.is_empty() && !args.include_security_flagged {
                output::complain(&format!("! Rule {} is left: {notes}", proposal.denial.id));
                continue;
            }
            self.put(&proposal.id)?;
            approved = approved.saturating_add(1);
        }
        output::line(&format!("✓ {approved} rules approved"))
    }

    fn reject(&self, args: &RuleOneArgs, reason: &str) -> Result<(), Failure> {
        let all = self.list(ProposalStatus::Pending)?;
        let id = &args.chunk_id;
        let mut meant = all.iter().filter(|one| !id.is_empty() && one.id.starts_with(id));
        let hint = format!("`openshell rule get {}` shows them", self.sandbox);
        let meant = match (meant.next(), meant.next()) {
            (Some(one), None) => one,
            (Some(_), Some(_)) => {
                return Err(Failure::new(format!("several rules begin with {id}")).hint(hint));
            }
            (None, _) => {
                return Err(Failure::new(format!("there is no pending rule {id}")).hint(hint));
            }
        };
        let what = format!("proposals/{}/reject", escaped(&meant.id));
        let path = self.asked.below(&self.sandbox, &what, &[]);
        let rejection = Rejection { reason: reason.to_owned() };
        let rejected: Proposal = block_on(async {
            self.asked.client().send(Method::POST, &path, &rejection).await.map_err(refused)
        })?;
        output::line(&format!("✓ Rejected rule {}", rejected.denial.id))
    }

    fn clear(&self) -> Result<(), Failure> {
        let path = self.asked.below(&self.sandbox, "proposals", &[]);
        let cleared: Cleared = block_on(async {
            self.asked.client().ask_for(Method::DELETE, &path).await.map_err(refused)
        })?;
        output::line(&format!("✓ {} pending rules cleared", cleared.count))
    }
}

fn shown(proposal: Proposal) -> Shown {
    Shown {
        id: proposal.id,
        status: match proposal.status {
            ProposalStatus::Pending => RuleStatus::Pending,
            ProposalStatus::Approved => RuleStatus::Approved,
            ProposalStatus::Rejected => RuleStatus::Rejected,
        },
        decided: proposal.decided.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string()),
        reason: proposal.reason,
        policy_version: proposal.policy_version,
        denial: serde_json::to_value(&proposal.denial).unwrap_or_default(),
    }
}
