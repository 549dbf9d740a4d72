//! Who is let in, and who is not.

use std::collections::BTreeMap;

use api::user::Role;
use gateway::{
    auth::principal::{Grants, Workspace},
    serve::tls::Clients,
};
use http::{Method, Version, header};
use reqwest::{Client, Response};

use crate::support::{With, World, foreign_authority, identity, shown};

const SANDBOXES: &str = "/v1/sandboxes";

async fn get(client: &Client, url: String) -> Response {
    client.get(url).send().await.unwrap()
}

/// Status and code of a problem.
async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    if status == 401 {
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"openshell\"");
    }
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{body}");
    (status, body["code"].as_str().unwrap().to_owned())
}

async fn problem_with(world: &World, client: &Client, bearer: &str) -> (u16, String) {
    problem(client.get(world.url(SANDBOXES)).bearer_auth(bearer).send().await.unwrap()).await
}

#[tokio::test]
async fn a_certificate_says_who_is_calling_over_both_versions_of_http() {
    let world = World::new();
    let alice = world.user("alice", Role::Operator);
    for version in [Version::HTTP_2, Version::HTTP_11] {
        let client = world.client(|builder| {
            let builder = builder.identity(identity(&alice));
            if version == Version::HTTP_11 { builder.http1_only() } else { builder }
        });
        let response = get(&client, world.url(SANDBOXES)).await;
        assert_eq!(response.version(), version);
        let text = response.text().await.unwrap();
        assert_eq!(text, "alice certificate default Some(Operator) 0");
    }
    world.known.lock().users.clear();
    let gone = get(&world.client_of(&alice), world.url(SANDBOXES)).await;
    assert_eq!(problem(gone).await, (401, "user_unknown".to_owned()));
}

#[tokio::test]
async fn roles_count_where_they_were_given() {
    let world = World::new();
    let client = world.client_of(&world.user("alice", Role::Viewer));
    let red: Workspace = "red".parse().unwrap();
    let grants = Grants {
        everywhere: Some(Role::Viewer),
        workspaces: BTreeMap::from([(red, Role::Operator)]),
    };
    world.known.lock().users.insert("alice".parse().unwrap(), grants);
    let create = async |query: &str| {
        client.post(world.url(SANDBOXES) + query).body("abc").send().await.unwrap()
    };
    let text = create("?workspace=red").await.text().await.unwrap();
    assert_eq!(text, "alice certificate red Some(Operator) 3");
    assert_eq!(problem(create("").await).await, (403, "role_missing".to_owned()));
    assert_eq!(problem(create("?workspace=blue").await).await, (403, "role_missing".to_owned()));
    let both = create("?workspace=blue&workspace=red").await;
    assert_eq!(problem(both).await, (400, "workspace_malformed".to_owned()));
}

#[tokio::test]
async fn tokens_are_good_until_they_are_not() {
    let world = World::new();
    let client = world.client(|builder| builder);
    let (good, hash) = world.token("bob", &["sandbox:read"], 100);
    let ask = async |method, path: &str| {
        client.request(method, world.url(path)).bearer_auth(&good).send().await.unwrap()
    };
    let text = ask(Method::GET, SANDBOXES).await.text().await.unwrap();
    assert_eq!(text, "bob token default Some(Admin) 0");
    let write = ask(Method::POST, SANDBOXES).await;
    assert_eq!(problem(write).await, (403, "scope_missing".to_owned()));
    let session = ask(Method::GET, "/v1/supervisor/session").await;
    assert_eq!(problem(session).await, (403, "for_sandboxes_only".to_owned()));

    let (old, _) = world.token("bob", &[], 0);
    assert_eq!(problem_with(&world, &client, &old).await, (401, "token_expired".to_owned()));
    world.known.lock().tokens.get_mut(&hash).unwrap().revoked = true;
    assert_eq!(problem_with(&world, &client, &good).await, (401, "token_revoked".to_owned()));
    world.known.lock().tokens.clear();
    assert_eq!(problem_with(&world, &client, &good).await, (401, "token_unknown".to_owned()));
    let typo = good.replace("osh_", "osh-");
    assert_eq!(problem_with(&world, &client, &typo).await, (401, "token_malformed".to_owned()));
    world.known.lock().is_away = true;
    assert_eq!(problem_with(&world, &client, &good).await, (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn a_bad_token_is_not_made_good_by_a_certificate() {
    let world = World::new();
    let client = world.client_of(&world.user("alice", Role::Admin));
    let verdict = problem_with(&world, &client, "nothing").await;
    assert_eq!(verdict, (401, "token_malformed".to_owned()));
    let basic = client.get(world.url(SANDBOXES)).basic_auth("a", Some("b")).send().await.unwrap();
    assert_eq!(problem(basic).await, (401, "authorization_malformed".to_owned()));
}

#[tokio::test]
async fn a_sandbox_opens_the_endpoints_of_its_supervisor_and_nothing_else() {
    let world = World::new();
    let client = world.client(|builder| builder);
    let (id, token) = world.sandbox();
    let session = async || {
        let url = world.url("/v1/supervisor/session");
        client.get(url).bearer_auth(&token).send().await.unwrap()
    };
    assert_eq!(session().await.text().await.unwrap(), format!("brave-fox {id}"));
    let verdict = problem_with(&world, &client, &token).await;
    assert_eq!(verdict, (403, "not_for_sandboxes".to_owned()));
    // After a night of sleep it gets the next one, and nothing else.
    let yesterday = crate::support::now() - 24 * 60 * 60;
    let old = shown(&world.keyring.keys().mint(id, yesterday));
    let ask =
        async |path: &str| client.post(world.url(path)).bearer_auth(&old).send().await.unwrap();
    assert_eq!(ask("/v1/supervisor/token").await.status(), 200);
    let events = client.get(world.url("/v1/supervisor/session")).bearer_auth(&old);
    let refused = problem(events.send().await.unwrap()).await;
    assert_eq!(refused, (401, "sandbox_token_expired".to_owned()));

    world.known.lock().sandboxes.clear();
    assert_eq!(ask("/v1/supervisor/token").await.status(), 401);
    assert_eq!(problem(session().await).await, (401, "sandbox_deleted".to_owned()));
    let forged = token.replace("oss_A", "oss_B");
    let verdict = problem_with(&world, &client, &forged).await;
    assert_eq!(verdict, (401, "sandbox_token_unknown".to_owned()));
}

#[tokio::test]
async fn who_guesses_waits_and_its_neighbours_do_not() {
    let world = World::new();
    let client = world.client(|builder| builder);
    let (good, _) = world.token("bob", &[], 100);
    let ask = async |bearer: &str| {
        client.get(world.url(SANDBOXES)).bearer_auth(bearer).send().await.unwrap()
    };
    assert_eq!(ask(&good).await.status(), 200);
    for _ in 0..20 {
        assert_eq!(ask("osh_guess").await.status(), 401);
    }
    assert_eq!(ask("osh_guess").await.status(), 429);
    let (fresh, _) = world.token("carol", &[], 100);
    let refused = ask(&fresh).await;
    let wait: u64 = refused.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    assert_eq!(problem(refused).await, (429, "too_many_failures".to_owned()));
    assert_eq!(ask(&good).await.status(), 200, "it was good a moment ago");
    let alice = world.client_of(&world.user("alice", Role::Viewer));
    assert_eq!(get(&alice, world.url(SANDBOXES)).await.status(), 200);
    let (_, sandbox) = world.sandbox();
    let session = client.get(world.url("/v1/supervisor/session")).bearer_auth(sandbox);
    assert_eq!(session.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_old_token_of_somebody_is_slowed_down_and_locks_nobody_out() {
    let world = World::new();
    let client = world.client(|builder| builder);
    let (old, _) = world.token("bob", &[], 0);
    for _ in 0..20 {
        assert_eq!(problem_with(&world, &client, &old).await.0, 401);
    }
    assert_eq!(problem_with(&world, &client, &old).await.0, 429);
    let (good, _) = world.token("bob", &[], 100);
    let response = client.get(world.url(SANDBOXES)).bearer_auth(good).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_of_yesterday_ends_the_handshake() {
    let world = World::new();
    world.user("alice", Role::Admin);
    let foreign = foreign_authority(world.folder.path());
    let foreign = foreign.client(&"alice".parse().unwrap(), crate::support::now()).unwrap();
    let old = world.user_made("alice", Role::Admin, 91 * 24 * 60 * 60);
    for bundle in [foreign, old] {
        let error = world.client_of(&bundle).get(world.url(SANDBOXES)).send().await.unwrap_err();
        let chain = format!("{error:?}");
        assert!(chain.contains("UnknownCA") || chain.contains("CertificateExpired"), "{chain}");
    }
    assert_eq!(world.live.count(), 0);
}

#[tokio::test]
async fn a_gateway_that_wants_certificates_talks_to_nobody_without() {
    let world = World::with(With { clients: Clients::MustShow, ..With::default() });
    let (token, _) = world.token("bob", &[], 100);
    let client = world.client(|builder| builder);
    let error = client.get(world.url(SANDBOXES)).bearer_auth(token).send().await.unwrap_err();
    assert!(format!("{error:?}").contains("CertificateRequired"), "{error:?}");
    let alice = world.client_of(&world.user("alice", Role::Viewer));
    assert_eq!(get(&alice, world.url(SANDBOXES)).await.status(), 200);
}

#[tokio::test]
async fn a_leaf_that_is_due_is_renewed_by_the_next_handshake() {
    let world = World::with(With { leaf_age: 91 * 24 * 60 * 60, ..With::default() });
    let client = world.client(|builder| builder);
    assert_eq!(get(&client, world.url("/healthz")).await.text().await.unwrap(), "anonymous");
}

#[tokio::test]
async fn a_route_without_a_row_is_not_served() {
    let world = World::new();
    let client = world.client(|builder| builder);
    let (token, _) = world.token("bob", &[], 100);
    let forgotten = client.get(world.url("/v1/forgotten")).bearer_auth(token).send().await.unwrap();
    assert_eq!(problem(forgotten).await, (404, "route_not_found".to_owned()));
}
