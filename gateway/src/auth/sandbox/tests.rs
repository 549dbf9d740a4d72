use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::*;

#[expect(clippy::disallowed_methods, reason = "what a supervisor sends")]
fn mint(keys: &Keys, sandbox: u128, now: u64) -> String {
    keys.mint(Uuid::from_u128(sandbox), now).expose_secret().to_owned()
}

fn keys(seed: u8) -> Keys {
    Keys::new(&[seed; 32]).unwrap()
}

#[test]
fn a_token_says_its_sandbox_until_it_expires() {
    let keys = keys(1);
    let token = mint(&keys, 7, 1000);
    assert_eq!(token.len(), PREFIX.len() + TOKEN_CHARS);
    let says = keys.verify(&token, 1000).unwrap();
    let expected = Claims { sandbox: Uuid::from_u128(7), issued: 1000, expires: 1000 + LIFE_S };
    assert_eq!(says, expected);
    let cases = [
        (1000 + LIFE_S - 1, Ok(expected)),
        (1000 + LIFE_S, Err(SandboxTokenError::Expired)),
        (1000 - SKEW_S, Ok(expected)),
        (1000 - SKEW_S - 1, Err(SandboxTokenError::Untimely)),
    ];
    for (now, expected) in cases {
        assert_eq!(keys.verify(&token, now), expected, "{now}");
    }
    assert_eq!(keys.verify_for_refresh(&token, 999 + LIFE_S + REFRESH_S), Ok(expected));
    let over = keys.verify_for_refresh(&token, 1000 + LIFE_S + REFRESH_S);
    assert_eq!(over, Err(SandboxTokenError::Expired));
    assert!(!format!("{:?} {keys:?}", keys.mint(Uuid::nil(), 0)).contains(PREFIX));
}

#[test]
fn a_token_of_another_key_is_forged_until_that_key_is_known() {
    let [first, other] = [keys(1), keys(2)];
    let token = mint(&first, 7, 0);
    assert_eq!(other.verify(&token, 0), Err(SandboxTokenError::Forged));
    let second = first.rotated(&[2; 32]).unwrap();
    let third = second.rotated(&[3; 32]).unwrap();
    let fourth = third.rotated(&[4; 32]).unwrap();
    assert!(second.verify(&token, 0).is_ok() && third.verify(&token, 0).is_ok());
    assert_eq!(fourth.verify(&token, 0), Err(SandboxTokenError::Forged));
    assert!(other.verify(&mint(&second, 7, 0), 0).is_ok(), "the new key signs");
    assert!(Keys::read(third.seeds()).unwrap().verify(&token, 0).is_ok());
}

#[test]
fn a_signature_over_a_longer_life_is_not_believed() {
    let keys = keys(1);
    let key = &keys.keys[0];
    let forge = |issued, expires| {
        let claims = claims(key.id, &Claims { sandbox: Uuid::nil(), issued, expires });
        let token = [&claims[..], key.pair.sign(&signed(&claims)).as_ref()].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
    };
    assert!(keys.verify(&forge(5, 10), 6).is_ok());
    for (issued, expires) in [(5, 6 + LIFE_S), (10, 5), (0, u64::MAX)] {
        let verdict = keys.verify(&forge(issued, expires), 6);
        assert_eq!(verdict, Err(SandboxTokenError::Untimely), "{issued} {expires}");
    }
}

#[test]
fn keys_are_read_as_they_were_written_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let token = mint(&Keys::open(&path, &[5; 32]).unwrap(), 7, 0);
    assert!(Keys::open(&path, &[6; 32]).unwrap().verify(&token, 0).is_ok());
    for bytes in [0, 31, 33, 4 * 32] {
        assert!(Keys::read(&vec![0; bytes]).is_err(), "{bytes}");
    }
    let ring = Keyring::new(keys(1));
    ring.replace(keys(5));
    assert!(ring.keys().verify(&token, 0).is_ok());
}

proptest! {
    #[test]
    fn any_change_of_a_token_is_noticed(
        sandbox in any::<u128>(), at in 4_usize..144, to in "[A-Za-z0-9_-]",
    ) {
        let keys = keys(1);
        let good = mint(&keys, sandbox, 0);
        let mut changed = good.clone();
        changed.replace_range(at..=at, &to);
        prop_assert_eq!(keys.verify(&changed, 0).is_ok(), changed == good);
    }

    #[test]
    fn nothing_but_a_token_is_believed(text in "(oss_)?[A-Za-z0-9_=-]{0,150}|\\PC{0,200}") {
        prop_assert!(keys(1).verify(&text, 0).is_err());
    }
}
