//! Rules that no compiler knows: sizes, module docs, manifests, files that nobody lists, words that must not appear.
//!
//! Each rule is a function from a path and its text to complaints, so that each has its own small test.

use std::path::Path;

use anyhow::bail;

use crate::{manifest, repo::Repo, say};

/// Longer files are listed, because a reader loses the thread; tests at the end do not count.
const FILE_LINES_AIM: usize = 500;
/// Longer files are refused.
const FILE_LINES_MAX: usize = 900;

/// Crates of ours: importing them needs no reason beyond the layers.
const OURS: &[&str] = &[
    "api", "backends", "document", "domain", "drivers", "gateway", "policy", "proxy", "router",
    "sandbox",
];

/// Words that must not appear, put together here so that this file may.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("issue", " #"), "say what was wrong; a number means nothing to a reader"),
    (concat!("#[ig", "nore"), "a test runs or is deleted"),
    (concat!("registry.", "npmjs"), "package managers know their registries"),
    (concat!("pypi", ".org"), "package managers know their registries"),
    (concat!("files.", "pythonhosted"), "package managers know their registries"),
    (concat!("static.", "crates.io"), "package managers know their registries"),
    (concat!("index.", "crates.io"), "package managers know their registries"),
];

/// A folder of one workplace; a name that holds it, such as `network/`, is no offence.
const WORKPLACE: &str = concat!("/wo", "rk/");

/// How a file says that it holds unsafe code; the compiler refuses such code in files that do not.
const UNSAFE: &str = concat!("expect(unsa", "fe_code");

/// The files that may: the system calls without a safe wrapper, and the attacks of their tests.
const MAY_BE_UNSAFE: &[&str] = &["sandbox/src/sys.rs", "sandbox/tests/walls/calls.rs"];

/// Where the names of registries are content: what an agent may be allowed to reach.
const NAMES_HOSTS: &[&str] =
    &["policy/", "examples/policies/", "docs/policies", "proxy/src/inference_hosts"];

/// Checks every file and prints what breaks a rule.
///
/// # Errors
/// When something does.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let (problems, warnings) = check(repo)?;
    for warning in &warnings {
        say::line(&format!("note: {warning}"));
    }
    for problem in &problems {
        say::line(problem);
    }
    if !problems.is_empty() {
        bail!("{} places are untidy", problems.len());
    }
    say::line("tidy: every file keeps to the rules");
    Ok(())
}

/// Everything that breaks a rule, and everything that is only worth a note.
fn check(repo: &Repo) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let files = repo.files()?;
    for path in &files {
        let Some(text) = repo.text(path) else { continue };
        if has_extension(path, "rs") {
            problems.extend(module_doc(path, &text));
            problems.extend(module_name(path));
            let (too_long, long) = length(path, &text);
            problems.extend(too_long);
            warnings.extend(long);
        }
        if path.ends_with("Cargo.toml") {
            problems.extend(manifest_rules(path, &text));
        }
        problems.extend(unsafe_code(path, &text));
        if !has_extension(path, "lock") {
            problems.extend(words(path, &text));
        }
    }
    problems.extend(forgotten_tests(&files, &repo.text("tests/e2e/main.rs").unwrap_or_default()));
    Ok((problems, warnings))
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

/// The first thing in a file says what it is for.
fn module_doc(path: &str, text: &str) -> Option<String> {
    // What `foo/tests.rs` is for, `foo.rs` says.
    if path.ends_with("/tests.rs") {
        return None;
    }
    let first =
        text.lines().map(str::trim).find(|line| !(line.is_empty() || line.starts_with("#![")));
    let documented = first.is_some_and(|line| line.starts_with("//!"));
    (!documented).then(|| {
        format!("{path}: no module doc; begin with `//!` and say what is here and what is not")
    })
}

/// `foo.rs` beside `foo/`: tabs of an editor are told apart by name.
fn module_name(path: &str) -> Option<String> {
    (path.rsplit('/').next() == Some("mod.rs"))
        .then(|| format!("{path}: name it after its module, beside the folder"))
}

/// A problem or a note about the length of a file.
fn length(path: &str, text: &str) -> (Option<String>, Option<String>) {
    let lines = lines_without_tests(path, text);
    if lines > FILE_LINES_MAX {
        return (
            Some(format!(
                "{path}: {lines} lines without tests; split it, {FILE_LINES_MAX} is the limit"
            )),
            None,
        );
    }
    let long = lines > FILE_LINES_AIM;
    (
        None,
        long.then(|| format!("{path}: {lines} lines without tests; {FILE_LINES_AIM} is the aim")),
    )
}

fn lines_without_tests(path: &str, text: &str) -> usize {
    let is_test =
        path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/e2e/");
    if is_test {
        return 0;
    }
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let opens_tests =
            lines.peek().is_some_and(|(_, next)| next.trim_start().starts_with("mod tests"));
        if line.trim() == "#[cfg(test)]" && opens_tests {
            return index;
        }
    }
    text.lines().count()
}

/// Lints are the workspace's, and each dependency has a reason.
fn manifest_rules(path: &str, text: &str) -> Vec<String> {
    let is_member = path.matches('/').count() == 1 && !path.starts_with("fuzz/");
    let mut problems = Vec::new();
    if is_member && !manifest::takes_workspace_lints(text) {
        problems.push(format!("{path}: add `[lints]` with `workspace = true`"));
    }
    for dependency in manifest::dependencies(text) {
        if !dependency.explained && !OURS.contains(&dependency.name.as_str()) {
            problems.push(format!(
                "{path}:{}: say behind {} why it is there",
                dependency.line, dependency.name
            ));
        }
    }
    problems
}

/// A file below `tests/e2e` that no line lists would never run.
fn forgotten_tests(files: &[String], main: &str) -> Vec<String> {
    let listed = |name: &str| main.lines().any(|line| line.trim() == format!("mod {name};"));
    let names =
        files.iter().filter_map(|path| path.strip_prefix("tests/e2e/")?.strip_suffix(".rs"));
    let names = names.filter(|name| *name != "main" && !name.contains('/'));
    names
        .filter(|name| !listed(name))
        .map(|name| format!("tests/e2e/{name}.rs: no line of main.rs lists it, so it never runs"))
        .collect()
}

/// Unsafe code is in files that are known for it and nowhere else.
fn unsafe_code(path: &str, text: &str) -> Option<String> {
    let is_known = MAY_BE_UNSAFE.contains(&path);
    (has_extension(path, "rs") && text.contains(UNSAFE) && !is_known)
        .then(|| format!("{path}: unsafe code belongs into {}", MAY_BE_UNSAFE.join(" or ")))
}

fn words(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (word, why) in FORBIDDEN {
            let host_is_content =
                why.contains("registries") && NAMES_HOSTS.iter().any(|at| path.starts_with(at));
            if line.contains(word) && !host_is_content {
                problems.push(format!("{path}:{}: {word:?} must not stand here: {why}", index + 1));
            }
        }
        if names_workplace(line) {
            problems
                .push(format!("{path}:{}: {WORKPLACE:?} exists on one machine only", index + 1));
        }
    }
    problems
}

/// Whether an absolute path of the workplace stands in the line.
fn names_workplace(line: &str) -> bool {
    line.match_indices(WORKPLACE).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        !before.is_some_and(|before| before.is_ascii_alphanumeric() || "_-.~*}".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let (problems, _) = check(&Repo::find().unwrap()).unwrap();
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        assert_eq!(module_doc("a.rs", "#![no_main]\n//! Text.\n"), None);
        for text in ["", "use std::fs;\n//! late\n", "// no doc\n"] {
            assert!(module_doc("a.rs", text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn tests_at_the_end_do_not_count_as_length() {
        let text = "//! Doc.\nfn a() {}\n#[cfg(test)]\nmod tests {\n}\n";
        let cases =
            [("router/src/a.rs", 2), ("router/src/a/tests.rs", 0), ("router/tests/laws.rs", 0)];
        for (path, expected) in cases {
            assert_eq!(lines_without_tests(path, text), expected, "{path}");
        }
        assert_eq!(lines_without_tests("a/src/b.rs", "a\n#[cfg(test)]\nuse x;\n"), 3);
    }

    #[test]
    fn length_is_noted_first_and_refused_later() {
        let of = |lines| length("a/src/b.rs", &"x\n".repeat(lines));
        assert_eq!(of(FILE_LINES_AIM), (None, None));
        assert!(matches!(of(FILE_LINES_AIM + 1), (None, Some(_))));
        assert!(matches!(of(FILE_LINES_MAX + 1), (Some(_), None)));
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let text = "[lints]\nworkspace = true\n[dependencies]\ndomain = { workspace = true }\nbytes = \"1\"\n";
        assert_eq!(
            manifest_rules("a/Cargo.toml", text),
            ["a/Cargo.toml:5: say behind bytes why it is there"]
        );
    }

    #[test]
    fn unsafe_code_outside_its_files_is_found() {
        let text = format!("//! Doc.\n#![{UNSAFE}, reason = \"fast\")]\n");
        assert_eq!(unsafe_code("sandbox/src/sys.rs", &text), None);
        assert!(unsafe_code("proxy/src/lib.rs", &text).is_some());
        assert_eq!(unsafe_code("proxy/src/lib.rs", "//! Doc.\n"), None);
    }

    #[test]
    fn a_test_file_that_nobody_lists_is_found() {
        let files = ["tests/e2e/a.rs", "tests/e2e/b.rs", "tests/e2e/main.rs", "tests/src/lib.rs"];
        let found = forgotten_tests(&files.map(str::to_owned), "#[cfg(test)]\nmod a;\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("tests/e2e/b.rs"), "{found:?}");
    }

    #[test]
    fn words_of_one_workplace_are_found_and_like_words_are_not() {
        let bad = [
            concat!("see issue", " #12"),
            concat!("in /wo", "rk/main"),
            concat!("(\"/wo", "rk/x\")"),
        ];
        for line in bad {
            assert_eq!(words("a.md", line).len(), 1, "{line}");
        }
        for line in ["/home/me/network/x", concat!("~/wo", "rk/x"), "an issue", "rework/"] {
            assert_eq!(words("a.md", line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn hosts_of_registries_are_content_where_policies_are() {
        let line = concat!("host: pypi", ".org");
        assert_eq!(words("examples/policies/python.yaml", line), Vec::<String>::new());
        assert_eq!(words("tests/src/lib.rs", line).len(), 1);
    }
}
