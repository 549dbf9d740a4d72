//! Who the agent is: names and numbers of users and groups, read from the host's own files.
//!
//! No name service is asked: a static binary has none, and the answer must not come over a network.

use std::{fs, path::Path};

use crate::{
    error::{At, StartError, Step},
    spec::{Spec, is_plain_id},
};

/// The user and group of an agent, and who that is outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) rights: Rights,
}

/// With which rights the sandbox is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// By root, who becomes the agent's user.
    Root,
    /// By an ordinary user, in a user namespace where the agent's numbers stand for the user's own.
    UserNamespace {
        /// The user outside.
        uid: u32,
        /// The group outside.
        gid: u32,
    },
}

/// Who root becomes when the spec names nobody: a number from the range that systemd keeps for users who exist only while
/// something runs, so that it owns nothing on the host.
const NOBODYS_ID: u32 = 64_998;

/// Finds out who the agent is.
///
/// # Errors
/// [`Step::User`] for a user or group that the host does not know, or that is root.
pub(crate) fn identify(spec: &Spec) -> Result<Identity, StartError> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let read = |path: &str| {
        fs::read_to_string(Path::new(path)).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(String::new()),
            _ => Err(error),
        })
    };
    let users = parse(&read("/etc/passwd").on(Step::User, "/etc/passwd")?);
    let groups = parse(&read("/etc/group").on(Step::User, "/etc/group")?);
    if uid == 0 {
        as_root(spec, &users, &groups)
    } else {
        as_user(spec, &users, &groups, (uid, gid))
    }
}

fn as_root(spec: &Spec, users: &[Entry], groups: &[Entry]) -> Result<Identity, StartError> {
    let (user, uid, own_group) = match &spec.run_as_user {
        None => ("sandbox".to_owned(), NOBODYS_ID, NOBODYS_ID),
        Some(asked) => match (users.iter().find(|entry| entry.is(asked)), asked.parse::<u32>()) {
            (Some(known), _) => (known.name.clone(), known.id, known.group.unwrap_or(known.id)),
            (None, Ok(number)) => ("sandbox".to_owned(), number, number),
            (None, Err(_)) => return Err(unknown("user", asked)),
        },
    };
    let gid = match &spec.run_as_group {
        None => own_group,
        Some(asked) => match (groups.iter().find(|entry| entry.is(asked)), asked.parse()) {
            (Some(known), _) => known.id,
            (None, Ok(number)) => number,
            (None, Err(_)) => return Err(unknown("group", asked)),
        },
    };
    if !is_plain_id(uid) || !is_plain_id(gid) {
        return Err(StartError::new(Step::User, format!("{user} is root, or in its group")));
    }
    let group = name_of(groups, gid).unwrap_or_else(|| user.clone());
    Ok(Identity { user, group, uid, gid, rights: Rights::Root })
}

/// An ordinary user stays who it is; inside, it may bear the name and numbers that the spec asks for.
fn as_user(
    spec: &Spec,
    users: &[Entry],
    groups: &[Entry],
    (uid, gid): (u32, u32),
) -> Result<Identity, StartError> {
    let inside = |asked: &Option<String>, known: &[Entry], own: u32| match asked {
        None => (name_of(known, own), own),
        Some(asked) => match known.iter().find(|entry| entry.is(asked)) {
            Some(entry) => (Some(entry.name.clone()), entry.id),
            None => {
                (asked.parse::<u32>().is_err().then(|| asked.clone()), asked.parse().unwrap_or(own))
            }
        },
    };
    let (user, uid_inside) = inside(&spec.run_as_user, users, uid);
    let (group, gid_inside) = inside(&spec.run_as_group, groups, gid);
    if uid_inside == 0 || gid_inside == 0 {
        return Err(StartError::new(Step::User, "nobody may be root in there, nor in its group"));
    }
    let user = user.unwrap_or_else(|| "sandbox".to_owned());
    Ok(Identity {
        group: group.unwrap_or_else(|| user.clone()),
        user,
        uid: uid_inside,
        gid: gid_inside,
        rights: Rights::UserNamespace { uid, gid },
    })
}

fn unknown(kind: &str, name: &str) -> StartError {
    StartError::new(Step::User, format!("this host has no {kind} {name}"))
}

fn name_of(entries: &[Entry], id: u32) -> Option<String> {
    entries.iter().find(|entry| entry.id == id).map(|entry| entry.name.clone())
}

/// A line of `/etc/passwd` or `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    id: u32,
    /// The user's own group; groups have none.
    group: Option<u32>,
}

impl Entry {
    fn is(&self, asked: &str) -> bool {
        self.name == asked || asked.parse() == Ok(self.id)
    }
}

/// The lines that are whole; others are not this program's to judge.
fn parse(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let id = fields.nth(1)?.parse().ok()?;
        Some(Entry { name, id, group: fields.next().and_then(|group| group.parse().ok()) })
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USERS: &str =
        "root:x:0:0::/root:/bin/sh\n+::::\nbroken\nann:x:1000:1001:Ann:/home/ann:/bin/sh\n";
    const GROUPS: &str = "root:x:0:\nann:x:1001:\nstaff:x:50:ann\n";

    fn spec(user: Option<&str>, group: Option<&str>) -> Spec {
        Spec {
            run_as_user: user.map(str::to_owned),
            run_as_group: group.map(str::to_owned),
            ..Spec::default()
        }
    }

    fn root(user: Option<&str>, group: Option<&str>) -> Result<(String, u32, u32), String> {
        as_root(&spec(user, group), &parse(USERS), &parse(GROUPS))
            .map(|found| (found.user, found.uid, found.gid))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn root_becomes_whom_the_spec_names() {
        assert_eq!(root(Some("ann"), None), Ok(("ann".to_owned(), 1000, 1001)));
        assert_eq!(root(Some("ann"), Some("staff")), Ok(("ann".to_owned(), 1000, 50)));
        assert_eq!(root(Some("7"), Some("8")), Ok(("sandbox".to_owned(), 7, 8)));
        assert_eq!(root(None, None), Ok(("sandbox".to_owned(), NOBODYS_ID, NOBODYS_ID)));
        assert!(root(Some("bob"), None).unwrap_err().contains("no user bob"));
        assert!(root(Some("ann"), Some("root")).unwrap_err().contains("is root"));
    }

    #[test]
    fn an_ordinary_user_stays_itself_under_the_name_asked_for() {
        let as_user = |user, group| {
            as_user(&spec(user, group), &parse(USERS), &parse(GROUPS), (1000, 1001)).unwrap()
        };
        let own = as_user(None, None);
        assert_eq!((own.user.as_str(), own.uid, own.gid), ("ann", 1000, 1001));
        let named = as_user(Some("sandbox"), None);
        assert_eq!((named.user.as_str(), named.uid), ("sandbox", 1000));
        let numbered = as_user(Some("77"), Some("78"));
        assert_eq!((numbered.uid, numbered.gid), (77, 78));
        assert_eq!(numbered.rights, Rights::UserNamespace { uid: 1000, gid: 1001 });
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[a-z0-9:\n]{0,80}") {
            prop_assert!(parse(&text).iter().all(|entry| !entry.name.is_empty()));
        }
    }
}
