//! The routers of a gateway, in its own process: started when somebody says where model calls go, told when that changes.
//!
//! What keeps the gateway's revisions and books knows nothing of routers, and a router nothing of a gateway; here one speaks to the
//! other. Invariant: credentials are handed from the sealed store to a router in memory, and to nobody else.

use std::{
    collections::HashMap,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use api::{cost::BudgetState, inference::Route};
use gateway::{
    inference::{self, Applied, Door, Keys, NotApplied, Order, Trial, books},
    store::{Account, AnsweredCall, Balance, EndedCall},
    written,
};
use parking_lot::Mutex;
use proxy::server::{
    AuditOptions, Books, Closed, Environment, Held, ListenAddr, NotBooked, Options, Running,
};
use router::ledger::{self, Booked, Scope};

use super::verify;

/// What an account belongs to where there is only one.
const ONLY: &str = "*";
/// What a sandbox is called among callers.
const SANDBOX: &str = "sandbox/";
/// The workspace of who says none.
const WORKSPACE: &str = "default";

/// How many files were tried by this process.
static TRIALS: AtomicU32 = AtomicU32::new(0);

/// A router that runs.
struct Alive {
    running: Running,
    keys: Arc<Mutex<Keys>>,
}

/// How the routers of the gateway with this folder are run.
pub(crate) fn door(folder: &Path) -> Door {
    let alive: Arc<Mutex<HashMap<Route, Alive>>> = Arc::default();
    let (applying, clearing) = (Arc::clone(&alive), alive);
    let (starts, tries) = (folder.to_owned(), folder.to_owned());
    Door {
        apply: Arc::new(move |order| apply(&mut applying.lock(), &starts, order)),
        clear: Arc::new(move |route| {
            let ended = clearing.lock().remove(&route);
            // Its calls end without anybody waiting for the lock.
            drop(ended);
        }),
        attempt: Arc::new(move |trial| {
            let folder = tries.clone();
            Box::pin(async move { attempt(&folder, trial).await })
        }),
    }
}

fn apply(
    alive: &mut HashMap<Route, Alive>,
    folder: &Path,
    order: Order,
) -> Result<Applied, NotApplied> {
    let Order { route, text, keys, books } = order;
    if let Some(known) = alive.get(&route) {
        let before = std::mem::replace(&mut *known.keys.lock(), keys);
        known.running.replace(&text).map_err(|error| {
            *known.keys.lock() = before;
            NotApplied(written(&error))
        })?;
        return Ok(Applied { missing: known.running.missing() });
    }
    let folder = made(folder, route).map_err(|error| NotApplied(written(&error)))?;
    let keys = Arc::new(Mutex::new(keys));
    let mut options =
        options(&text, ListenAddr::Unix(folder.join("router.sock")), Arc::clone(&keys));
    if route == Route::Sandboxes {
        options.sandbox_key = Some(folder.join("key"));
    }
    options.state = Some(folder.join("state"));
    options.books = Some(booked_in(books));
    if options.audit.as_ref().is_some_and(|audit| audit.file.is_none()) {
        let file = Some(folder.join("audit.jsonl"));
        options.audit = options.audit.map(|audit| AuditOptions { file, ..audit });
    }
    let running = Running::start(&options).map_err(|error| NotApplied(written(&error)))?;
    let missing = running.missing();
    alive.insert(route, Alive { running, keys });
    Ok(Applied { missing })
}

/// Makes one call by a router of its own, which ends with it.
async fn attempt(folder: &Path, trial: Trial) -> Result<String, String> {
    let Trial { text, keys, model, limit } = trial;
    let folder = made(folder, Route::Sandboxes).map_err(|error| written(&error))?;
    // No longer than that of the router itself: sockets have short names.
    let number = TRIALS.fetch_add(1, Ordering::Relaxed) % 1000;
    let socket = folder.join(format!("try{number}.sock"));
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(written(&error)),
        _ => {}
    }
    let mut options = options(&text, ListenAddr::Unix(socket.clone()), Arc::new(Mutex::new(keys)));
    // Nothing of it is on record.
    options.audit = Some(AuditOptions::default());
    options.threads = 1;
    let started = tokio::task::spawn_blocking(move || Running::start(&options)).await;
    let running = started.map_err(|error| written(&error))?.map_err(|error| written(&error))?;
    let asked = verify::ask_at(verify::At::Socket(socket), model.as_deref(), limit).await;
    // Ending it blocks.
    tokio::task::spawn_blocking(move || drop(running)).await.map_err(|error| written(&error))?;
    asked
}

/// The folder of a router, made where there is none.
fn made(folder: &Path, route: Route) -> std::io::Result<PathBuf> {
    let folder = folder.join(inference::folder(route));
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

fn options(text: &str, listen: ListenAddr, keys: Arc<Mutex<Keys>>) -> Options {
    let mut options = Options::new("the router file", listen);
    options.text = Some(text.to_owned());
    options.environment =
        Environment::process().with_records(move |name| keys.lock().get(name).cloned());
    // What the file says of it, else a file that everybody looks for.
    options.audit = backends::file::parse(text).ok().map(|(configuration, _)| {
        let audit = configuration.audit;
        AuditOptions {
            file: audit.file.map(PathBuf::from),
            rotate_bytes: audit.rotate_bytes,
            keep: usize::try_from(audit.keep).unwrap_or(usize::MAX),
            stdout: audit.stdout,
        }
    });
    options
}

/// The books of a gateway as a router sees them.
fn booked_in(books: books::Books) -> Books {
    let spent = books.spent().iter().filter_map(booked).collect();
    let (reserving, ending) = (books.clone(), books);
    let reserve = move |held: Held| -> proxy::server::Reserving {
        let books = reserving.clone();
        Box::pin(async move {
            let accounts = held.accounts.iter().map(account).collect();
            let expires_ms = i64::try_from(held.expires_ms).unwrap_or(i64::MAX);
            let reserved = books.reserve(&held.id, held.amount, accounts, expires_ms).await;
            if reserved { Ok(()) } else { Err(NotBooked) }
        })
    };
    Books::new(spent, reserve, move |closed| ending.end(ended(closed)))
}

fn ended(closed: Closed) -> EndedCall {
    let (workspace, caller) = match closed.tenant.strip_prefix(SANDBOX) {
        Some(name) => match name.split_once('/') {
            Some((workspace, name)) => (workspace.to_owned(), format!("{SANDBOX}{name}")),
            None => (WORKSPACE.to_owned(), closed.tenant.clone()),
        },
        None => (WORKSPACE.to_owned(), closed.tenant.clone()),
    };
    EndedCall {
        id: closed.id,
        time_ms: i64::try_from(closed.time_ms).unwrap_or(i64::MAX),
        workspace,
        caller,
        answered: closed.answered.map(|answered| AnsweredCall {
            backend: answered.backend,
            model: answered.model,
            zone: answered.zone.map(|zone| zone.as_str().to_owned()).unwrap_or_default(),
            tokens: answered.tokens,
            cost: answered.cost,
            saved: answered.saved,
        }),
        accounts: closed.accounts.iter().map(account).collect(),
    }
}

const SCOPES: [(Scope, &str); 4] = [
    (Scope::Sandbox, "sandbox"),
    (Scope::Workspace, "workspace"),
    (Scope::Backend, "backend"),
    (Scope::Total, "total"),
];

/// An account as the store writes it.
fn account(account: &ledger::Account) -> Account {
    let word = SCOPES.iter().find(|(scope, _)| *scope == account.scope).map(|(_, word)| *word);
    Account {
        scope: word.unwrap_or_default().to_owned(),
        owner: account.owner.as_deref().unwrap_or(ONLY).to_owned(),
        period: period(account.period),
    }
}

/// What was spent on an account; none for what no router has written.
fn booked(balance: &Balance) -> Option<Booked> {
    let Account { scope, owner, period } = &balance.account;
    let (scope, _) = SCOPES.iter().find(|(_, word)| word == scope)?;
    Some(Booked {
        scope: *scope,
        owner: (owner != ONLY).then(|| owner.as_str().into()),
        period: number(period)?,
        spent: balance.settled + balance.reserved,
    })
}

/// What a budget has been spent on, as the router of the gateway counts it.
pub(crate) fn booked_budget(budget: &BudgetState) -> Option<Booked> {
    let (scope, _) = SCOPES.iter().find(|(_, word)| *word == budget.scope)?;
    let owner = budget.owner.as_ref().map(|owner| match scope {
        Scope::Sandbox => format!("{SANDBOX}{owner}"),
        Scope::Workspace | Scope::Backend | Scope::Total => owner.clone(),
    });
    let spent = domain::Cost::from_usd(budget.spent_usd + budget.reserved_usd)?;
    let period = number(&budget.period)?;
    Some(Booked { scope: *scope, owner: owner.map(Into::into), period, spent })
}

/// A period in words: `2026-11-26` or `2026-11`.
fn period(number: i64) -> String {
    if number < 0 {
        let months = number.saturating_neg();
        return format!("{:04}-{:02}", months / 12, months % 12 + 1);
    }
    let day = jiff::Timestamp::from_second(number.saturating_mul(DAY_SECONDS));
    day.unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%d").to_string()
}

/// A period as the router counts it.
fn number(period: &str) -> Option<i64> {
    if let Ok(day) = period.parse::<jiff::civil::Date>() {
        let day = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
        return Some(day.div_euclid(DAY_SECONDS));
    }
    let (year, month) = period.split_once('-')?;
    let (year, month) = (year.parse::<i64>().ok()?, month.parse::<i64>().ok()?);
    (1..=12).contains(&month).then(|| -(year * 12 + month - 1))
}

const DAY_SECONDS: i64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_the_same_in_words_and_numbers() {
        for (number_of, word) in
            [(20_783, "2026-11-26"), (-(2026 * 12 + 10), "2026-11"), (-(2026 * 12), "2026-01")]
        {
            assert_eq!(period(number_of), word);
            assert_eq!(number(word), Some(number_of));
        }
        for wrong in ["", "2026", "2026-13", "2026-00", "x-1"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_booked_is_taken_up_on_the_same_accounts() {
        for owner in [None, Some("sandbox/a")] {
            let of = ledger::Account {
                scope: Scope::Sandbox,
                owner: owner.map(Into::into),
                period: 20_783,
            };
            let (settled, reserved) = (domain::Cost(2), domain::Cost(3));
            let balance = Balance { account: account(&of), reserved, settled };
            let booked = booked(&balance).unwrap();
            assert_eq!(
                (booked.scope, booked.period, booked.spent),
                (of.scope, of.period, domain::Cost(5))
            );
            assert_eq!(booked.owner, of.owner);
        }
    }

    #[test]
    fn a_call_belongs_to_the_workspace_of_its_sandbox() {
        let closed = |tenant: &str| Closed {
            id: "1".into(),
            time_ms: 1,
            tenant: tenant.into(),
            answered: None,
            accounts: Vec::new(),
        };
        for (tenant, workspace, caller) in [
            ("sandbox/a", "default", "sandbox/a"),
            ("sandbox/team/a", "team", "sandbox/a"),
            ("key-0123", "default", "key-0123"),
        ] {
            let ended = ended(closed(tenant));
            assert_eq!((&*ended.workspace, &*ended.caller), (workspace, caller));
        }
    }
}
