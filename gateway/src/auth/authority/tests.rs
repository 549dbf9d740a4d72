use std::{fs, os::unix::fs::MetadataExt as _, sync::Arc};

use secrecy::ExposeSecret as _;

use super::{server::ServerLeaf, *};
use crate::auth::peer::{CertificateError, ClientCertificate};

const NOW: u64 = 1_800_000_000;

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn serial(key: &CertifiedKey) -> Vec<u8> {
    let (_, leaf) = x509_parser::parse_x509_certificate(&key.cert[0]).unwrap();
    leaf.raw_serial().to_vec()
}

#[test]
fn the_authority_is_made_once_for_its_owner_alone() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("ca");
    let first = Authority::open(&folder, NOW).unwrap();
    let second = Authority::open(&folder, NOW + 5).unwrap();
    assert_eq!(first.certificate_pem(), second.certificate_pem());
    assert_eq!(fs::read_to_string(folder.join("ca.crt")).unwrap(), first.certificate_pem());
    let mode = |path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(folder.clone()), 0o700);
    assert_eq!(mode(folder.join("authority.pem")), 0o600);
    assert!(!first.certificate_pem().contains("KEY"));
    let (_, ca) = x509_parser::parse_x509_certificate(first.certificate()).unwrap();
    let years = (ca.validity().not_after.timestamp() - NOW.cast_signed()) / (365 * 24 * 60 * 60);
    assert_eq!(years, 10);
    assert!(ca.is_ca());
}

#[test]
fn a_damaged_authority_is_not_replaced() {
    let outer = tempfile::tempdir().unwrap();
    let (one, two) = (outer.path().join("one"), outer.path().join("two"));
    Authority::open(&one, NOW).unwrap();
    Authority::open(&two, NOW).unwrap();
    let [first, second] =
        [&one, &two].map(|folder| fs::read_to_string(folder.join(AUTHORITY_FILE)).unwrap());
    let split = |text: &str| text.find("-----BEGIN CERT").unwrap();
    let (key, certificate) = first.split_at(split(&first));
    let (_, foreign) = second.split_at(split(&second));
    let mixed = format!("{key}{foreign}");
    for text in ["", key, certificate, mixed.as_str(), "\u{fffd}"] {
        fs::write(one.join(AUTHORITY_FILE), text).unwrap();
        let error = Authority::open(&one, NOW).unwrap_err();
        assert!(matches!(error, AuthorityError::Damaged(_)), "{error}: {text}");
        assert_eq!(fs::read_to_string(one.join(AUTHORITY_FILE)).unwrap(), text);
    }
}

#[test]
fn a_client_certificate_says_whose_it_is_and_for_how_long() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(&folder.path().join("ca"), NOW).unwrap();
    let user: UserName = "alice@example.com".parse().unwrap();
    let bundle = authority.client(&user, NOW).unwrap();
    let read = ClientCertificate::read(&der(&bundle.certificate_pem)).unwrap();
    assert_eq!((&read.user, read.serial), (&user, bundle.serial));
    assert_eq!(bundle.expires, NOW + 90 * 24 * 60 * 60);
    let cases =
        [(NOW - 7200, false), (NOW, true), (bundle.expires, true), (bundle.expires + 1, false)];
    for (now, good) in cases {
        assert_eq!(read.is_timely(now), good, "{now}");
    }
    let next = authority.client(&user, NOW).unwrap();
    assert_ne!(next.serial, bundle.serial);
    assert!(!format!("{bundle:?}").contains("PRIVATE KEY"));
    #[expect(clippy::disallowed_methods, reason = "its owner sees it")]
    let key = bundle.key_pem.expose_secret();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn the_leaf_of_the_gateway_names_no_user_and_is_renewed_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Arc::new(Authority::open(&folder.path().join("ca"), NOW).unwrap());
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let leaf = ServerLeaf::new(Arc::clone(&authority), names, NOW).unwrap();
    let first = leaf.at(NOW);
    let read = ClientCertificate::read(&first.cert[0]);
    assert_eq!(read, Err(CertificateError::NoUser));
    let (_, parsed) = x509_parser::parse_x509_certificate(&first.cert[0]).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 3);
    let usage = parsed.extended_key_usage().unwrap().unwrap();
    assert!(usage.value.server_auth && !usage.value.client_auth);

    let day = 24 * 60 * 60;
    assert_eq!(serial(&leaf.at(NOW + 59 * day)), serial(&first));
    let second = leaf.at(NOW + 61 * day);
    assert_ne!(serial(&second), serial(&first));
    assert_eq!(serial(&leaf.at(NOW + 62 * day)), serial(&second));
    let back = leaf.at(NOW);
    assert_ne!(serial(&back), serial(&second), "the clock was set back before it was valid");
    assert!(ServerLeaf::new(authority, vec!["not a näme".to_owned()], NOW).is_err());
}
