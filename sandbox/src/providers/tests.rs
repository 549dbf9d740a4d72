use std::os::unix::fs::PermissionsExt as _;

use policy::{Caller, Connect, Policy, Verdict};

use super::*;

fn provider(
    name: &str,
    kind: &str,
    credentials: &[(&str, &str)],
    config: &[(&str, &str)],
) -> Provider {
    let secret = |(key, value): &(&str, &str)| ((*key).to_owned(), Value::new(value).unwrap());
    Provider {
        name: name.to_owned(),
        kind: kind.parse().unwrap(),
        credentials: credentials.iter().map(secret).collect(),
        config: config.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        created: 1,
    }
}

#[test]
fn a_record_is_its_owners_alone_and_found_again() {
    let home = tempfile::tempdir().unwrap();
    let providers = Providers::of(&Home::new(home.path()));
    assert_eq!(providers.all().unwrap(), []);
    let github = provider("gh", "github", &[("GITHUB_TOKEN", "ghp_secret\n")], &[]);
    providers.create(&github).unwrap();
    assert_eq!(providers.create(&github).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(providers.all().unwrap(), std::slice::from_ref(&github));
    let file = home.path().join("providers/gh.json");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert!(!format!("{github:?}").contains("secret"), "{github:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(providers.get("gh").unwrap_err().to_string().contains("chmod 600"));
    assert!(providers.remove("gh").unwrap() && !providers.remove("gh").unwrap());
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_damaged_record_is_told_without_its_values() {
    let home = tempfile::tempdir().unwrap();
    let providers = Providers::of(&Home::new(home.path()));
    providers.create(&provider("a", "generic", &[("KEY", "value")], &[])).unwrap();
    let file = home.path().join("providers/a.json");
    fs::write(&file, "{\"name\": \"a\", \"ghp_secret\": 1}").unwrap();
    let told = providers.get("a").unwrap_err().to_string();
    assert!(told.contains("damaged at line 1") && !told.contains("ghp_secret"), "{told}");
}

#[test]
fn agents_are_known_by_their_program_wherever_it_lies() {
    for (program, _) in kind::PROGRAMS {
        assert!(Kind::of_program(program).is_some(), "{program}");
    }
    let claude = "claude".parse().unwrap();
    assert_eq!(Kind::of_program("/usr/local/bin/claude"), Some(claude));
    for program in ["", "sh", "claude/", "generic", "openai"] {
        assert_eq!(Kind::of_program(program), None, "{program}");
    }
}

#[test]
fn every_type_is_sound() {
    for profile in &ALL {
        let kind: Kind = profile.name.parse().unwrap();
        assert_eq!(kind.profile().name, profile.name);
        let key = kind.variables().next().unwrap_or("KEY");
        let one = provider("p", profile.name, &[(key, "value")], &[]);
        let places: usize = profile.credentials.iter().map(|one| one.places.len()).sum();
        let patterns = profile.credentials.iter().flat_map(|one| one.places).filter_map(pattern);
        assert_eq!(patterns.count(), places, "{}", profile.name);
        Supplied::new(&[one]).unwrap();
    }
}

#[test]
fn a_sandbox_with_a_provider_may_reach_its_service_and_models_only_through_the_router() {
    let all = [
        provider("gh", "github", &[("GITHUB_TOKEN", "value")], &[]),
        provider("ai", "openai", &[("OPENAI_API_KEY", "value")], &[]),
        provider("own", "generic", &[("OWN_KEY", "value")], &[("endpoint", "a.example.com:8080")]),
        provider(
            "lab",
            "gitlab",
            &[("GITLAB_TOKEN", "value")],
            &[("endpoint", "git.example.com:443")],
        ),
    ];
    let supplied = Supplied::new(&all).unwrap();
    let policy = Policy::new(supplied.opened(&PolicyFile::restrictive()));
    let asks = |to: &str| {
        let (caller, to) =
            (Caller { binary: "/usr/bin/curl", ancestors: &[] }, to.parse().unwrap());
        let asked = Connect { caller, to: &to, inference: true };
        matches!(policy.connect(&asked), Verdict::Allow(_))
    };
    for to in ["api.github.com:443", "a.example.com:8080", "git.example.com:443"] {
        assert!(asks(to), "{to}");
    }
    for to in ["api.openai.com:443", "gitlab.com:443", "a.example.com:80", "api.github.com:80"] {
        assert!(!asks(to), "{to}");
    }
}

#[test]
fn what_the_policy_says_itself_stands() {
    let supplied =
        Supplied::new(&[provider("gh", "github", &[("GITHUB_TOKEN", "v")], &[])]).unwrap();
    let text = "version: 1\nnetwork_policies: {provider-gh: {endpoints: [{host: a.b, port: 1}], binaries: [{path: /x}]}}";
    let (policy, _) = PolicyFile::parse(text).unwrap();
    assert_eq!(supplied.opened(&policy), policy);
}

#[test]
fn two_that_give_the_same_variable_are_refused_together() {
    let one = provider("one", "github", &[("GH_TOKEN", "value")], &[]);
    let two = provider("two", "copilot", &[("GH_TOKEN", "value")], &[]);
    let told = check(&[one, two]).unwrap_err().message;
    assert!(told.contains("GH_TOKEN is given by the providers one and two"), "{told}");
}

#[test]
fn an_endpoint_that_is_none_is_told() {
    for (kind, config) in [
        ("generic", ("endpoint", "nowhere")),
        ("generic", ("endpoint", "a.example.com:0")),
        ("openai", ("OPENAI_BASE_URL", "ftp://a")),
    ] {
        let told = check(&[provider("p", kind, &[("KEY", "value")], &[config])]).unwrap_err();
        assert!(told.message.contains(config.1), "{told}");
    }
}

#[test]
fn the_preferred_key_is_written_for_the_router_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let two = provider("c", "claude", &[("A_KEY", "other"), ("ANTHROPIC_API_KEY", "right")], &[]);
    assert!(two.write_key(&path).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "right");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!provider("o", "ollama", &[], &[]).write_key(&path).unwrap());
}
