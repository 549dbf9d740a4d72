//! Changes one backend in the text of a router file; what else stands there, comments too, stays as it was written.
//!
//! Not here: whether the result is sound ([`super::parse`]). Invariant: only whole lines of the list `backends` change, so a
//! list that is written in one line is refused.

use document::{Report, Spot};

/// Why a text cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no router file with a list of backends, one a line.
    #[error("the list `backends` is not written with one entry below the other")]
    Form,
    /// It has a backend of that name.
    #[error("there is a backend of that name")]
    Exists,
    /// It has none of that name.
    #[error("there is no backend of that name")]
    Unknown,
    /// It would have none left.
    #[error("it is the last backend, and a router file has at least one")]
    Last,
}

/// The list as it is written. Lines are counted from 0.
struct Listed<'t> {
    lines: Vec<&'t str>,
    /// The name of each entry, and its first line.
    entries: Vec<(String, usize)>,
    /// The first line that belongs to no entry.
    end: usize,
    /// What stands before the hyphen of an entry.
    indent: &'t str,
}

/// The file with another backend at the end of its list. `entry` is one line: a mapping in flow form, such as JSON.
///
/// # Errors
/// [`EditError::Exists`], [`EditError::Form`].
pub fn add_backend(text: &str, name: &str, entry: &str) -> Result<String, EditError> {
    let listed = listed(text)?;
    if listed.entries.iter().any(|(known, _)| known == name) {
        return Err(EditError::Exists);
    }
    let line = [listed.indent, "- ", entry].concat();
    Ok(joined(&listed.lines, listed.end..listed.end, Some(&line)))
}

/// The file without a backend.
///
/// # Errors
/// [`EditError::Unknown`], [`EditError::Last`], [`EditError::Form`].
pub fn remove_backend(text: &str, name: &str) -> Result<String, EditError> {
    let listed = listed(text)?;
    let range = listed.range(name)?;
    if listed.entries.len() == 1 {
        return Err(EditError::Last);
    }
    Ok(joined(&listed.lines, range, None))
}

/// The file with another backend in the place of one.
///
/// # Errors
/// [`EditError::Unknown`], [`EditError::Form`].
pub fn replace_backend(text: &str, name: &str, entry: &str) -> Result<String, EditError> {
    let listed = listed(text)?;
    let range = listed.range(name)?;
    let line = [listed.indent, "- ", entry].concat();
    Ok(joined(&listed.lines, range, Some(&line)))
}

fn listed(text: &str) -> Result<Listed<'_>, EditError> {
    let mut report = Report::default();
    let root = document::read(text, "", &mut report).ok_or(EditError::Form)?;
    let sections = Spot::root(&root).entries(&mut report);
    let (_, list) =
        sections.iter().find(|(key, _)| key.text == "backends").ok_or(EditError::Form)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut entries = Vec::new();
    let mut indent = None;
    for item in list.list(&mut report) {
        let mark = item.mark();
        let line = mark.line.saturating_sub(1);
        let written = lines.get(line).copied().unwrap_or_default();
        let before: &str = written
            .char_indices()
            .nth(mark.column.saturating_sub(1))
            .and_then(|(at, _)| written.get(..at))
            .unwrap_or_default();
        // Nothing but its hyphen stands before an entry.
        let space = before.trim_end().strip_suffix('-').filter(|space| space.trim().is_empty());
        if space.is_none() || *indent.get_or_insert(space) != space {
            return Err(EditError::Form);
        }
        let fields = item.entries(&mut report);
        let name = fields.iter().find(|(key, _)| key.text == "name");
        let name = name.and_then(|(_, spot)| spot.text(&mut report)).unwrap_or_default();
        entries.push((name.to_owned(), line));
    }
    let last = entries.last().map(|(_, line)| *line).ok_or(EditError::Form)?;
    let next = sections.iter().map(|(key, _)| key.mark.line.saturating_sub(1));
    let end = next.filter(|line| *line > last).min().unwrap_or(lines.len());
    let indent = indent.flatten().ok_or(EditError::Form)?;
    let end = without_notes(&lines, end);
    Ok(Listed { lines, entries, end, indent })
}

/// The line behind the last one that says something, before `end`: notes above a line belong to that one.
fn without_notes(lines: &[&str], end: usize) -> usize {
    let says = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    lines.iter().take(end).rposition(says).map_or(0, |last| last.saturating_add(1))
}

impl Listed<'_> {
    /// The lines of an entry.
    fn range(&self, name: &str) -> Result<std::ops::Range<usize>, EditError> {
        let at = self.entries.iter().position(|(known, _)| known == name);
        let at = at.ok_or(EditError::Unknown)?;
        let begin = self.entries.get(at).map_or(0, |(_, line)| *line);
        let next = self.entries.get(at.saturating_add(1));
        let end = next.map_or(self.end, |(_, line)| without_notes(&self.lines, *line));
        Ok(begin..end)
    }
}

/// The lines with some of them replaced.
fn joined(lines: &[&str], range: std::ops::Range<usize>, with: Option<&str>) -> String {
    let before = lines.iter().take(range.start).copied();
    let after = lines.iter().skip(range.end).copied();
    before.chain(with).chain(after).fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# mine
version: 1
backends:
  # the first
  - name: one
    provider: ollama   # here
    models: [{id: a}]

  # the second
  - {name: two, provider: ollama, models: [{id: b}]}
# how long
timeouts: {idle: 5s}
";
    const THREE: &str = r#"{"name": "three", "provider": "ollama", "models": [{"id": "c"}]}"#;

    fn names(text: &str) -> Vec<String> {
        let (configuration, _) = super::super::parse(text).unwrap();
        let names = configuration.backends.iter().map(|backend| backend.name.as_str().to_owned());
        names.collect()
    }

    #[test]
    fn one_entry_changes_and_the_rest_stays_as_it_was_written() {
        let added = add_backend(FILE, "three", THREE).unwrap();
        assert_eq!(names(&added), ["one", "two", "three"]);
        assert_eq!(added.replace(&format!("  - {THREE}\n"), ""), FILE);
        assert_eq!(remove_backend(&added, "three").unwrap(), FILE);

        let without = remove_backend(FILE, "one").unwrap();
        assert_eq!(names(&without), ["two"]);
        assert!(without.contains("# the second") && without.contains("# how long"), "{without}");
        assert_eq!(remove_backend(&without, "two"), Err(EditError::Last));
        let replaced = replace_backend(FILE, "one", THREE).unwrap();
        assert_eq!(names(&replaced), ["three", "two"]);
        assert!(replaced.contains("\n\n  # the second"), "{replaced}");
        assert_eq!(names(&remove_backend(FILE, "two").unwrap()), ["one"]);
    }

    #[test]
    fn what_cannot_be_changed_by_lines_is_refused() {
        assert_eq!(add_backend(FILE, "one", THREE), Err(EditError::Exists));
        assert_eq!(remove_backend(FILE, "three"), Err(EditError::Unknown));
        let flow = "version: 1\nbackends: [{name: one, provider: ollama, models: [{id: a}]}]\n";
        for text in [flow, "", "backends:\n", "version: 1\n", "backends: 5\n", "- a\n", "\t"] {
            assert_eq!(add_backend(text, "three", THREE), Err(EditError::Form), "{text}");
        }
        let bare = "version: 1\nbackends:\n- name: one\n  provider: ollama\n  models: [{id: a}]";
        assert_eq!(names(&add_backend(bare, "three", THREE).unwrap()), ["one", "three"]);
    }
}
