use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::*;
use crate::auth::{principal::Grants, revoked::Serial, scope::Scopes};

fn user(grants: Grants, scopes: &[&str]) -> Arc<Principal> {
    Arc::new(Principal::User(User {
        name: "alice".parse().unwrap(),
        grants,
        how: How::Token(Uuid::nil()),
        scopes: Scopes::read(scopes.iter().copied()).unwrap(),
        expires: None,
    }))
}

fn sandbox() -> Arc<Principal> {
    Arc::new(Principal::Sandbox(Sandbox { id: Uuid::nil(), name: "brave-fox".into() }))
}

fn ask(principal: &Arc<Principal>, row: &Row) -> Result<(), Denied> {
    permit(principal, &row.access, Workspace::default()).map(drop)
}

#[test]
fn every_route_of_the_table_needs_what_its_row_says_and_no_less() {
    for row in table::rows() {
        let (anonymous, everything) =
            (Arc::new(Principal::Anonymous), user(Grants::everywhere(Role::Admin), &[]));
        match row.access {
            Access::Open => assert_eq!(ask(&anonymous, &row), Ok(()), "{row}"),
            Access::Sandbox | Access::SandboxRefresh => {
                assert_eq!(ask(&anonymous, &row), Err(Denied::Anonymous), "{row}");
                assert_eq!(ask(&everything, &row), Err(Denied::ForSandboxes), "{row}");
                assert_eq!(ask(&sandbox(), &row), Ok(()), "{row}");
            }
            Access::User { role, scope, at } => {
                assert_eq!(ask(&anonymous, &row), Err(Denied::Anonymous), "{row}");
                assert_eq!(ask(&sandbox(), &row), Err(Denied::ForUsers), "{row}");
                assert_eq!(ask(&everything, &row), Ok(()), "{row}");
                for has in [None, Some(Role::Viewer), Some(Role::Operator), Some(Role::Admin)] {
                    let everywhere = user(Grants { everywhere: has, ..Grants::default() }, &[]);
                    assert_eq!(ask(&everywhere, &row).is_ok(), has >= role, "{row} {has:?}");
                    let Some(has) = has else { continue };
                    let workspaces = BTreeMap::from([(Workspace::default(), has)]);
                    let here = user(Grants { everywhere: None, workspaces }, &[]);
                    let enough = role.is_none() || at == At::Workspace && Some(has) >= role;
                    assert_eq!(ask(&here, &row).is_ok(), enough, "{row} {has:?}");
                }
                for given in Scope::all() {
                    let token = user(Grants::everywhere(Role::Admin), &[given.as_str()]);
                    let scopes = Scopes::read([given.as_str()]).unwrap();
                    let enough = scope.is_none_or(|needed| scopes.has(needed));
                    assert_eq!(ask(&token, &row).is_ok(), enough, "{row} {given}");
                }
            }
        }
    }
}

#[test]
fn no_route_has_two_rows_and_nothing_that_changes_is_for_viewers() {
    let mut seen = BTreeSet::new();
    for row in table::rows() {
        assert!(seen.insert(row.to_string()), "{row} is there twice");
        assert!(row.path.starts_with('/'), "{row}");
        if row.method == Method::GET {
            continue;
        }
        match row.access {
            Access::Open => panic!("{row} is open"),
            Access::Sandbox | Access::SandboxRefresh => {}
            Access::User { role, scope, .. } => {
                assert!(role.is_none() || role >= Some(Role::Operator), "{row}");
                let reads = scope.is_none_or(|scope| scope.as_str().ends_with(":read"));
                assert!(!reads, "{row} can be done with a token for reading");
            }
        }
    }
}

#[test]
fn a_token_makes_no_certificate_that_would_outlive_it() {
    let known = Access::User { role: None, scope: None, at: At::Gateway };
    let mut user = User {
        name: "alice".parse().unwrap(),
        grants: Grants::default(),
        how: How::Token(Uuid::nil()),
        scopes: Scopes::ALL,
        expires: None,
    };
    let ways = [How::Token(Uuid::nil()), How::Local, How::Certificate(Serial::of_random([1; 16]))];
    let may = ways.map(|how| {
        user.how = how;
        let principal = Arc::new(Principal::User(user.clone()));
        let permit = permit(&principal, &known, Workspace::default()).unwrap();
        permit.may_have_certificate().is_ok()
    });
    assert_eq!(may, [false, true, true]);
    let permit = permit(&sandbox(), &Access::Sandbox, Workspace::default()).unwrap();
    assert!(permit.may_have_certificate().is_err());
}

#[test]
fn a_grant_in_one_workspace_is_none_in_another() {
    let red: Workspace = "red".parse().unwrap();
    let grants = Grants {
        everywhere: Some(Role::Viewer),
        workspaces: BTreeMap::from([(red.clone(), Role::Operator)]),
    };
    let alice = user(grants, &[]);
    let run = Access::User {
        role: Some(Role::Operator),
        scope: Some(Scope::SandboxWrite),
        at: At::Workspace,
    };
    let permitted = permit(&alice, &run, red.clone()).unwrap();
    assert_eq!((permitted.workspace(), permitted.role()), (Ok(&red), Some(Role::Operator)));
    let known = Access::User { role: None, scope: None, at: At::Gateway };
    assert!(permit(&alice, &known, red).unwrap().workspace().is_err(), "none was checked");
    assert_eq!(permitted.user().unwrap().name.as_str(), "alice");
    assert!(permitted.sandbox().is_none());
    let denied = permit(&alice, &run, Workspace::default()).unwrap_err();
    assert_eq!(denied, Denied::Role { needed: Role::Operator, at: At::Workspace });
    assert_eq!(denied.to_string(), "this needs the role operator in this workspace");
}

#[test]
fn a_path_or_method_without_a_row_is_refused() {
    let table = Table::new(table::rows());
    let status = |method, path| match table.find(&method, path) {
        Ok(row) => Ok(row.method.clone()),
        Err(refused) => Err((refused.status.as_u16(), refused.allow)),
    };
    assert_eq!(status(Method::HEAD, "/v1/sandboxes"), Ok(Method::GET));
    assert_eq!(status(Method::GET, "/v1/nothing"), Err((404, None)));
    let allow = Some("GET, POST, HEAD".to_owned());
    assert_eq!(status(Method::DELETE, "/v1/sandboxes"), Err((405, allow)));
    assert_eq!(status(Method::OPTIONS, "/healthz"), Err((405, Some("GET, HEAD".to_owned()))));
}
