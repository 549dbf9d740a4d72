//! The help of every command, word for word, and the documents against it: neither changes without the other being looked at.

use std::{collections::BTreeSet, fs};

use clap::CommandFactory as _;

use super::*;

/// Flags of other programs that the documents name.
const FOREIGN: [&str; 8] = [
    "--release",
    "--allowedTools",
    "--dangerously-bypass-approvals-and-sandbox",
    "--skip-git-repo-check",
    "--unix-socket",
    // Of `systemd-run`.
    "--user",
    "--scope",
    // Of `openshell-sandbox`.
    "--spec",
];

/// The command with everything in its help that no environment changes.
fn root() -> clap::Command {
    fn steady(command: clap::Command) -> clap::Command {
        let command = command.term_width(100).mut_args(|argument| argument.hide_env_values(true));
        command.mut_subcommands(steady)
    }
    let mut root = steady(Cli::command());
    root.build();
    root
}

/// This command and all below it that are shown, those above first.
fn shown(command: &clap::Command) -> Vec<&clap::Command> {
    let below =
        command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help");
    std::iter::once(command).chain(below.flat_map(shown)).collect()
}

fn documents() -> Vec<(PathBuf, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = vec![root.join("README.md")];
    let docs = fs::read_dir(root.join("docs")).unwrap();
    files.extend(docs.map(|entry| entry.unwrap().path()));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

#[test]
fn the_help_of_every_command_is_what_it_was() {
    let root = root();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("help");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for top in
            root.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help")
        {
            let all = shown(top).into_iter().map(|one| one.clone().render_long_help().to_string());
            let all: Vec<String> = all.collect();
            insta::assert_snapshot!(top.get_name(), all.join(&format!("\n{}\n", "=".repeat(60))));
        }
        insta::assert_snapshot!("openshell", root.clone().render_help());
    });
}

/// The words of the commands after a prompt in a document, without what a shell makes of the rest of their line.
fn examples(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.trim().strip_prefix("$ "));
    let ours = lines.filter(|line| line.starts_with("openshell "));
    ours.map(words).collect()
}

fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '#' | '|' | '&' | '>') if word.is_empty() => break,
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, c) => word.push(c),
        }
    }
    words
}

#[test]
fn every_example_of_the_documents_is_understood() {
    let mut count = 0;
    for (file, text) in documents() {
        for words in examples(&text) {
            let understood = Cli::try_parse_from(&words);
            let error = understood.err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(error, "", "{}: {words:?}", file.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count} examples were found");
}

#[test]
fn every_flag_of_the_documents_exists() {
    let root = root();
    let mut known: BTreeSet<String> = ["--help", "--version"].map(str::to_owned).into();
    let mut commands = vec![&root];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands());
        let longs = command.get_arguments().flat_map(|argument| {
            let aliases = argument.get_visible_aliases().unwrap_or_default();
            argument.get_long().into_iter().chain(aliases)
        });
        known.extend(longs.map(|long| format!("--{long}")));
    }
    known.extend(FOREIGN.map(str::to_owned));
    let mut unknown = BTreeSet::new();
    for (file, text) in documents() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        for (at, _) in text.match_indices("--") {
            let (before, after) = text.split_at(at);
            let before = before.chars().next_back();
            let flag: String = after.chars().take_while(|c| is_word(*c)).collect();
            let is_flag = flag.len() > 3 && !flag.starts_with("---");
            if is_flag && !before.is_some_and(is_word) && !known.contains(&flag) {
                unknown.insert(format!("{}: {flag}", file.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn every_command_is_in_the_documents() {
    let all: String = documents().into_iter().map(|(_, text)| text).collect();
    let root = root();
    let names = shown(&root).into_iter().filter(|one| !one.has_subcommands());
    let missing: Vec<&str> = names
        .map(clap::Command::get_name)
        .filter(|name| !all.contains(&format!("`{name}")) && !all.contains(&format!(" {name}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}
