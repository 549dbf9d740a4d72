//! A line-wise reading of `Cargo.toml`: sections and dependency lines with their comments.
//!
//! No TOML parser: comments are what we look for, and parsers drop them.

/// One `name = …` line of a dependency table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The package as the member calls it.
    pub(crate) name: String,
    /// Line number from 1.
    pub(crate) line: usize,
    /// Whether a comment stands behind it or on the line above.
    pub(crate) explained: bool,
}

/// The dependency lines of a member's manifest, in order. `[workspace.dependencies]` does not count.
pub(crate) fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut above = "";
    for (index, raw) in manifest.lines().enumerate() {
        let line = raw.trim();
        if let Some(section) = section(line) {
            inside = is_dependency_table(section);
            if let Some(name) = named_table(section) {
                found.push(Dependency {
                    name: name.to_owned(),
                    line: index + 1,
                    explained: line.contains('#') || above.starts_with('#'),
                });
            }
        } else if inside
            && !line.starts_with('#')
            && let Some((name, rest)) = line.split_once('=')
        {
            let name = name.trim().split('.').next().unwrap_or_default().trim_matches('"');
            let explained = rest.contains('#') || above.starts_with('#');
            found.push(Dependency { name: name.to_owned(), line: index + 1, explained });
        }
        above = line;
    }
    found
}

/// Whether the manifest takes the lints of the workspace.
pub(crate) fn takes_workspace_lints(manifest: &str) -> bool {
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = section(line) {
            inside = section == "lints";
        } else if inside && line.replace(' ', "").starts_with("workspace=true") {
            return true;
        }
    }
    false
}

fn section(line: &str) -> Option<&str> {
    let name = line.strip_prefix('[')?.split(']').next()?;
    Some(name.trim_start_matches('['))
}

fn is_dependency_table(section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or_default();
    !section.starts_with("workspace")
        && matches!(last, "dependencies" | "dev-dependencies" | "build-dependencies")
}

/// The package of a table such as `[dependencies.tokio]`.
fn named_table(section: &str) -> Option<&str> {
    let (table, name) = section.rsplit_once('.')?;
    is_dependency_table(table).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_explained_behind_it_or_above_it() {
        let manifest = "\
[package]
name = \"x\" # no dependency

[dependencies]
one = \"1\" # because
two.workspace = true
# because
three = { workspace = true }

[target.'cfg(unix)'.dev-dependencies]
four = \"4\"

[dependencies.five] # because
version = \"5\"
";
        let found: Vec<(String, bool)> =
            dependencies(manifest).into_iter().map(|found| (found.name, found.explained)).collect();
        let expected =
            [("one", true), ("two", false), ("three", true), ("four", false), ("five", true)];
        assert_eq!(found, expected.map(|(name, explained)| (name.to_owned(), explained)));
    }

    #[test]
    fn the_lints_of_the_workspace_must_be_taken_whole() {
        let cases = [
            ("[lints]\nworkspace = true\n", true),
            ("[lints]\n\nworkspace=true # all\n", true),
            ("[package]\nworkspace = true\n", false),
            ("[lints.rust]\nunsafe_code = \"deny\"\n", false),
            ("", false),
        ];
        for (manifest, expected) in cases {
            assert_eq!(takes_workspace_lints(manifest), expected, "{manifest:?}");
        }
    }
}
