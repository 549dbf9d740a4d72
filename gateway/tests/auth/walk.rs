//! Every route of the table over the wire: what each kind of caller is told.

use api::user::Role;
use gateway::auth::access::{Access, Row, table};

use crate::support::{World, supervisor_rows};

fn rows() -> Vec<Row> {
    table::rows().into_iter().chain(supervisor_rows()).collect()
}

/// A path of the route, with something in each of its places.
fn path(row: &Row) -> String {
    let parts = row.path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_tells_each_caller_what_its_row_says() {
    let world = World::new();
    let viewer = world.client_of(&world.user("vera", Role::Viewer));
    let admin = world.client_of(&world.user("ada", Role::Admin));
    let nobody = world.client(|builder| builder);
    let (_, token) = world.sandbox();
    let mut walked = 0;
    for row in rows() {
        let url = world.url(&path(&row));
        let ask = async |client: &reqwest::Client, bearer: Option<&str>| {
            let request = client.request(row.method.clone(), &url);
            let request = bearer.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
            request.send().await.unwrap().status().as_u16()
        };
        let (anonymous, sandbox) = (ask(&nobody, None).await, ask(&nobody, Some(&token)).await);
        let (vera, ada) = (ask(&viewer, None).await, ask(&admin, None).await);
        match row.access {
            Access::Open => {
                assert_eq!([anonymous, sandbox, vera, ada], [200; 4], "{row}");
            }
            Access::Sandbox | Access::SandboxRefresh => {
                assert_eq!([anonymous, vera, ada], [401, 403, 403], "{row}");
                assert_eq!(sandbox, 200, "{row}");
            }
            Access::User { role, .. } => {
                assert_eq!([anonymous, sandbox], [401, 403], "{row}");
                assert_eq!(ada, 200, "{row}");
                let may = role <= Some(Role::Viewer);
                assert_eq!(vera, if may { 200 } else { 403 }, "{row}");
            }
        }
        walked += 1;
    }
    assert_eq!(walked, rows().len());
}

#[tokio::test]
async fn what_there_is_and_what_not_is_nothing_for_strangers() {
    let world = World::new();
    let admin = world.client_of(&world.user("ada", Role::Admin));
    let nobody = world.client(|builder| builder);
    for path in ["/v1/nothing", "/", "/v1/sandboxes/../users", "/v1/forgotten", "//healthz"] {
        let status = async |client: &reqwest::Client| {
            client.get(world.url(path)).send().await.unwrap().status().as_u16()
        };
        assert_eq!(status(&nobody).await, 401, "{path}");
        let expected = if path.ends_with("/../users") { 200 } else { 404 };
        assert_eq!(status(&admin).await, expected, "{path}");
    }
    let options = async |client: &reqwest::Client| {
        let request = client.request(http::Method::OPTIONS, world.url("/v1/sandboxes"));
        request.send().await.unwrap()
    };
    assert_eq!(options(&nobody).await.status(), 401);
    let refused = options(&admin).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["allow"]),
        (405, &"GET, POST, HEAD".parse().unwrap())
    );
}
