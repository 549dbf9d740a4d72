//! Prepared sandboxes: taken where they are what is asked for, left alone where they are not, and never two times.

use std::{
    fs,
    time::{Duration, Instant},
};

use openshell_tests::{
    sandboxes::Person,
    wait::{self, LONG},
};
use rustix::process::{Pid, Signal, kill_process};

/// The supervisors of those that wait.
fn waiting(person: &Person) -> Vec<Pid> {
    let entries = fs::read_dir(person.home().join("pool")).into_iter().flatten().flatten();
    let stands = entries.filter(|entry| entry.path().join("control.sock").exists());
    let locks = stands.filter_map(|entry| fs::read_to_string(entry.path().join("lock")).ok());
    locks.filter_map(|text| Pid::from_raw(text.trim().parse().ok()?)).collect()
}

fn create(person: &Person, name: &str, args: &[&str]) -> Pid {
    let create = ["sandbox", "create", "--name", name, "--detach"];
    drop(person.run(&[&create[..], args].concat()).expect(0));
    person.supervisor(name).expect("it has a supervisor")
}

fn shell(person: &Person, sandbox: &str, script: &str) -> String {
    person.run(&["sandbox", "exec", "-n", sandbox, "--", "sh", "-c", script]).expect(0).stdout
}

/// The one that takes the place of one that was taken.
fn another(person: &Person) -> Pid {
    wait::until("another one to be prepared", LONG, || waiting(person).first().copied())
}

/// What a proxy answers somebody who asks for this host.
const ASK: &str = "curl -s -o /dev/null -w '%{http_code}' http://open.invalid/";

#[test]
fn a_prepared_sandbox_is_taken_by_one_and_another_takes_its_place() {
    for person in Person::all() {
        let person = &person;
        let who = person.name();
        drop(person.run(&["sandbox", "pool", "1"]).expect(0));
        let [first] = waiting(person)[..] else { panic!("{who}: one waits") };
        assert_eq!(person.run(&["sandbox", "list"]).expect(0).stdout, "No sandboxes found.\n");

        let policy = person.write(
            "open.yaml",
            "version: 1\nfilesystem_policy: {read_only: [/usr, /lib, /etc], read_write: [/sandbox, /tmp]}\n",
        );
        let usual = create(person, "usual", &["--env", "GREETING=hi", "--", "sleep", "1000"]);
        assert_eq!(usual, first, "{who}: it is the one that was prepared");
        assert_eq!(shell(person, "usual", "echo $GREETING; pwd; touch kept"), "hi\n/sandbox\n");
        assert!(person.home().join("sandboxes/usual/files/kept").exists());
        let shown = person.run(&["sandbox", "get", "usual", "-o", "json"]).expect(0).stdout;
        for part in ["\"running\": true", "\"phase\": \"Ready\"", "\"policy_version\": 1"] {
            assert!(shown.contains(part), "{who}: {part} in {shown}");
        }
        assert_eq!(shell(person, "usual", ASK), "403", "{who}: its network is decided about");
        wait::until("the decision to be on record", LONG, || {
            let audit = fs::read_to_string(person.home().join("sandboxes/usual/audit.jsonl"));
            audit
                .is_ok_and(|text| text.contains("open.invalid") && text.contains("/curl"))
                .then_some(())
        });

        let second = another(person);
        assert_ne!(second, first);
        // Other walls than those that stand.
        let other = create(person, "other", &["--policy", policy.to_str().unwrap()]);
        let few = create(person, "few", &["--pids", "64"]);
        assert!(other != second && few != second, "{who}: they do not fit");
        assert_eq!(waiting(person), [second], "{who}: it waits on");

        // It is a sandbox like any other from now on.
        drop(person.run(&["sandbox", "stop", "usual"]).expect(0));
        drop(person.run(&["sandbox", "start", "usual"]).expect(0));
        assert_eq!(shell(person, "usual", "ls; echo $GREETING"), "kept\nhi\n");
        let taken = person.run(&["sandbox", "create", "--name", "usual", "--detach"]).expect(1);
        assert!(taken.stderr.contains("sandbox usual exists already"), "{}", taken.stderr);
        assert_eq!(waiting(person), [second], "{who}: a name that is taken takes none");

        kill_process(second, Signal::KILL).unwrap();
        let cold = create(person, "cold", &[]);
        assert_ne!(cold, second);
        assert_eq!(shell(person, "cold", "echo up"), "up\n");
        drop(person.run(&["sandbox", "pool", "2"]).expect(0));
        assert_eq!(waiting(person).len(), 2);
        drop(person.run(&["sandbox", "pool", "0"]).expect(0));
        assert_eq!(fs::read_dir(person.home().join("pool")).unwrap().count(), 0);
    }
}

#[test]
fn those_that_wait_are_ended_without_being_asked() {
    let person = Person::root();
    drop(person.run(&["sandbox", "pool", "1"]).expect(0));
    let [one] = waiting(&person)[..] else { panic!("one waits") };
    // Like one that is still being built: it hears nothing.
    kill_process(one, Signal::STOP).unwrap();
    let begun = Instant::now();
    drop(person.run(&["sandbox", "pool", "0"]).expect(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(fs::read_dir(person.home().join("pool")).unwrap().count(), 0);
}

#[test]
fn what_changed_on_the_host_since_is_not_taken_over() {
    for person in Person::all() {
        let listed = person.path().join("listed");
        let policy = person.write(
            "policy.yaml",
            &format!("version: 1\nfilesystem_policy: {{read_only: [{}]}}\n", listed.display()),
        );
        let policy = policy.to_str().unwrap();
        drop(person.run(&["sandbox", "pool", "1", "--policy", policy]).expect(0));
        let [prepared] = waiting(&person)[..] else { panic!("one waits") };
        // It was not there when the walls were built, which had no place for it.
        fs::create_dir(&listed).unwrap();
        fs::write(listed.join("file"), "text").unwrap();
        let made = create(&person, "made", &["--policy", policy]);
        assert_ne!(made, prepared, "{}", person.name());
        let read = format!("cat {}/file", listed.display());
        assert_eq!(shell(&person, "made", &read), "text");
    }
}

#[test]
fn of_many_who_come_at_once_each_gets_its_own() {
    let person = Person::root();
    drop(person.run(&["sandbox", "pool", "3"]).expect(0));
    let names = ["a", "b", "c", "d", "e", "f"];
    std::thread::scope(|scope| {
        for name in names {
            let person = &person;
            scope.spawn(move || create(person, name, &[]));
        }
    });
    let mut all: Vec<_> = names.iter().filter_map(|name| person.supervisor(name)).collect();
    all.sort_by_key(|pid| pid.as_raw_nonzero());
    all.dedup();
    assert_eq!(all.len(), names.len());
    for name in names {
        assert_eq!(shell(&person, name, &format!("touch {name}; ls")), format!("{name}\n"));
    }
}
