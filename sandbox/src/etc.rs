//! The private files of `/etc`: who is who, how names are found, and whom TLS trusts.
//!
//! Pure but for the host's bundle of certificate authorities, which is read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    accounts::Identity,
    error::{At, StartError, Step},
    spec::Spec,
};

/// The certificate authority of the proxy, alone.
pub const CA: &str = "/etc/openshell-tls/openshell-ca.pem";
/// The certificate authorities of the host and that of the proxy.
pub const CA_BUNDLE: &str = "/etc/openshell-tls/ca-bundle.pem";

/// Where distributions keep the bundle that programs trust.
const HOST_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The files by their path below `/etc`.
///
/// # Errors
/// [`Step::Etc`] when the host's bundle is there and cannot be read.
pub(crate) fn files(
    spec: &Spec,
    identity: &Identity,
    home: &Path,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, StartError> {
    let mut files: BTreeMap<PathBuf, Vec<u8>> = texts(spec.name(), identity, home)
        .into_iter()
        .map(|(name, text)| (PathBuf::from(name), text.into_bytes()))
        .collect();
    let Some(ca) = &spec.ca_pem else { return Ok(files) };
    let present = |path: &&str| fs::canonicalize(path).ok().filter(|real| real.starts_with("/etc"));
    let places: Vec<PathBuf> = HOST_BUNDLES.iter().filter_map(present).collect();
    let mut bundle = match places.first() {
        Some(first) => fs::read(first).on(Step::Etc, first.display())?,
        None => Vec::new(),
    };
    if bundle.last().is_some_and(|last| *last != b'\n') {
        bundle.push(b'\n');
    }
    bundle.extend(ca.as_bytes());
    for place in places.iter().map(PathBuf::as_path).chain([Path::new(CA_BUNDLE)]) {
        files.insert(below_etc(place), bundle.clone());
    }
    files.insert(below_etc(Path::new(CA)), ca.clone().into_bytes());
    Ok(files)
}

fn below_etc(path: &Path) -> PathBuf {
    path.strip_prefix("/etc").unwrap_or(path).to_owned()
}

fn texts(name: &str, identity: &Identity, home: &Path) -> [(&'static str, String); 6] {
    let Identity { user, group, uid, gid, .. } = identity;
    let shell = ["/bin/bash", "/bin/sh"]
        .into_iter()
        .find(|shell| Path::new(shell).exists())
        .unwrap_or("/bin/sh");
    let home = home.display();
    // The first line with a number gives it its name, so the agent's own comes before that of nobody.
    let users = format!(
        "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n\
         {user}:x:{uid}:{gid}:{user}:{home}:{shell}\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    );
    let groups = format!("root:x:0:\n{group}:x:{gid}:\nnogroup:x:65534:\n");
    [
        ("hostname", format!("{name}\n")),
        (
            "hosts",
            format!("127.0.0.1 localhost {name}\n::1 localhost ip6-localhost ip6-loopback\n"),
        ),
        ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n".to_owned()),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n".to_owned(),
        ),
        ("passwd", users),
        ("group", groups),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Rights;

    fn identity() -> Identity {
        let rights = Rights::UserNamespace { uid: 1, gid: 1 };
        Identity { user: "ann".to_owned(), group: "staff".to_owned(), uid: 5, gid: 6, rights }
    }

    fn text(files: &BTreeMap<PathBuf, Vec<u8>>, name: &str) -> String {
        String::from_utf8(files.get(Path::new(name)).unwrap().clone()).unwrap()
    }

    #[test]
    fn the_agent_knows_its_name_and_nobody_of_the_host() {
        let files = files(&Spec::default(), &identity(), Path::new("/home/sandbox")).unwrap();
        let users = text(&files, "passwd");
        assert!(users.contains("\nann:x:5:6:ann:/home/sandbox:/bin/"), "{users}");
        assert_eq!(users.lines().count(), 3);
        assert!(text(&files, "group").contains("\nstaff:x:6:\n"));
        assert!(text(&files, "resolv.conf").starts_with("nameserver 127.0.0.1\n"));
        assert!(!files.contains_key(Path::new("openshell-tls/ca-bundle.pem")));
    }

    #[test]
    fn the_bundle_ends_with_the_ca_of_the_proxy() {
        let spec = Spec { ca_pem: Some("PEM\n".to_owned()), ..Spec::default() };
        let files = files(&spec, &identity(), Path::new("/h")).unwrap();
        assert_eq!(text(&files, "openshell-tls/openshell-ca.pem"), "PEM\n");
        assert!(text(&files, "openshell-tls/ca-bundle.pem").ends_with("PEM\n"));
    }
}
