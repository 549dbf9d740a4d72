//! The local user: who runs the gateway is its first administrator, and nobody else is by being near.

use std::{os::unix::fs::PermissionsExt as _, process::Stdio};

use tokio::process::Command;

use crate::support::World;

async fn ask(world: &World, program: &[&str]) -> (bool, String) {
    let socket = world.socket().to_string_lossy().into_owned();
    let curl = ["curl", "--silent", "--max-time", "30", "--unix-socket", &socket];
    let arguments: Vec<_> =
        program.iter().copied().chain(curl).chain(["http://gateway/v1/users"]).collect();
    let mut command = Command::new(arguments[0]);
    let ran = command.args(&arguments[1..]).stdin(Stdio::null()).output().await.unwrap();
    (ran.status.success(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[tokio::test]
async fn who_runs_the_gateway_is_its_administrator() {
    let world = World::new();
    assert_eq!(ask(&world, &[]).await, (true, "me local - Some(Admin) 0".to_owned()));
}

#[tokio::test]
async fn a_token_counts_more_than_being_local() {
    let world = World::new();
    let client = reqwest::Client::builder().unix_socket(world.socket()).build().unwrap();
    let (token, _) = world.token("bob", &["sandbox:read"], 100);
    let ask = async |path: &str| {
        let request = client.get(format!("http://gateway{path}")).bearer_auth(&token);
        request.send().await.unwrap()
    };
    assert_eq!(ask("/v1/users").await.status(), 403);
    let text = ask("/v1/sandboxes").await.text().await.unwrap();
    assert_eq!(text, "bob token default Some(Admin) 0");
}

#[tokio::test]
async fn another_user_is_not_the_local_user_whatever_the_file_says() {
    let world = World::new();
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    for path in [world.folder.path(), &world.socket()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups", "--"];
    assert_eq!(ask(&world, &nobody).await, (false, String::new()));
    assert!(ask(&world, &["setpriv", "--clear-groups", "--"]).await.0);
}

#[tokio::test]
async fn a_process_behind_walls_is_not_the_local_user() {
    let world = World::new();
    // The same user and the same file, from a network of its own, as an agent would have it.
    let walls = ["unshare", "--user", "--map-root-user", "--net", "--"];
    assert_eq!(ask(&world, &walls).await, (false, String::new()));
    assert!(ask(&world, &["env"]).await.0);
}
