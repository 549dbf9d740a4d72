use proptest::prelude::*;

use super::*;

fn error(json: &str) -> String {
    Spec::from_json(json.as_bytes()).unwrap_err().to_string()
}

#[test]
fn an_empty_object_is_a_closed_sandbox_with_defaults() {
    let spec = Spec::from_json(b"{}").unwrap();
    assert_eq!(spec, Spec::default());
    assert_eq!(spec.name(), "sandbox");
    assert_eq!(spec.landlock, Compatibility::BestEffort);
    assert_eq!(spec.limits.processes_max(), 1024);
}

#[test]
fn what_is_wrong_is_named() {
    for (json, needle) in [
        (r#"{"read_only":["usr"]}"#, "read_only usr is not absolute"),
        (r#"{"read_write":["/a/../etc"]}"#, "`..`"),
        (r#"{"read_only":["/"]}"#, "the whole host"),
        (r#"{"read_write":["/proc/sys"]}"#, "the kernel answers there"),
        (r#"{"read_write":["/sys/fs/cgroup"]}"#, "the kernel answers there"),
        (r#"{"include_workdir":true}"#, "needs workdir"),
        (r#"{"include_workdir":true,"workdir":"/proc/self"}"#, "workdir must not be"),
        (r#"{"name":"Box_1"}"#, "no host name"),
        (r#"{"run_as_user":"root"}"#, "must not be root"),
        (r#"{"run_as_user":"0"}"#, "must not be root"),
        (r#"{"run_as_user":"00"}"#, "must not be root"),
        (r#"{"run_as_group":"0"}"#, "must not be root"),
        (r#"{"run_as_user":"4294967295"}"#, "out of range"),
        (r#"{"run_as_user":"a b"}"#, "no user name"),
        (r#"{"environment":{"A=B":""}}"#, "cannot be set"),
        (r#"{"environment":{"A":"x\u0000y"}}"#, "cannot be set"),
        (r#"{"limits":{"processes":1}}"#, "too small"),
        (r#"{"limits":{"scratch_bytes":0}}"#, "scratch_bytes of 0 is too small"),
        (r#"{"limits":{"memory_bytes":1000}}"#, "memory_bytes of 1000 is too small"),
        (r#"{"limits":{"cpu_percent":0}}"#, "too small"),
        (r#"{"landlock":"maybe"}"#, "best_effort"),
        (r#"{"callers":"known"}"#, "executable"),
        (r#"{"surprise":1}"#, "surprise"),
    ] {
        let found = error(json);
        assert!(found.contains(needle), "{json}: {found}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Spec::from_json(&bytes).map_or_else(|error| error.step == Step::Spec, |_| true));
    }

    #[test]
    fn an_accepted_path_stays_below_where_it_says(parts in prop::collection::vec("[a-z.]{1,8}", 1..6)) {
        let path = PathBuf::from(format!("/{}", parts.join("/")));
        let spec = Spec { read_write: vec![path.clone()], ..Spec::default() };
        let climbs = parts.iter().any(|part| part == "..");
        let is_root = path.parent().is_none() || path.components().count() == 1;
        let kernel = is_kernel_tree(&path);
        prop_assert_eq!(spec.check().is_ok(), !climbs && !is_root && !kernel);
    }

    #[test]
    fn an_accepted_account_is_never_root(name in "[a-z0-9_.-]{0,12}") {
        let spec = Spec { run_as_user: Some(name.clone()), ..Spec::default() };
        if spec.check().is_ok() {
            prop_assert!(name != "root" && name.parse::<u32>() != Ok(0));
        }
    }
}
