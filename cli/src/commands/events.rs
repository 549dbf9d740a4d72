//! Reads audit files: one OCSF event a line, the rotated files before the current one.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;

use crate::failure::Failure;

/// Longest line that is read as an event, bytes; events have about two thousand.
const LINE_BYTES_MAX: usize = 1 << 20;

/// What the commands look at in an event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The whole event.
    pub(crate) json: Value,
}

impl Event {
    /// Parses a line; `None` for what is no event.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(line).ok()?;
        json.get("class_uid")?;
        Some(Self { json })
    }

    /// Text at a JSON pointer; empty if there is none.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Text of our own part of the event.
    pub(crate) fn own(&self, name: &str) -> &str {
        self.json
            .pointer("/unmapped/openshell")
            .and_then(|own| own.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number at a JSON pointer; 0 if there is none.
    pub(crate) fn number(&self, pointer: &str) -> f64 {
        self.json.pointer(pointer).and_then(Value::as_f64).unwrap_or_default()
    }

    /// An integer at a JSON pointer; 0 if there is none.
    pub(crate) fn integer(&self, pointer: &str) -> u64 {
        self.json.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
    }

    /// The sandbox or caller.
    pub(crate) fn tenant(&self) -> &str {
        self.text("/actor/user/uid")
    }

    /// Whether it is about the sandbox of this name, or the caller of this key.
    pub(crate) fn is_of(&self, sandbox: &str) -> bool {
        let tenant = self.tenant();
        tenant == sandbox || tenant.strip_prefix("sandbox/") == Some(sandbox)
    }

    /// When, in milliseconds since 1970.
    pub(crate) fn time_ms(&self) -> u64 {
        self.integer("/time")
    }
}

/// Gives every event of the audit file and of the files rotated away before it, oldest first.
pub(crate) fn each(path: &Path, mut take: impl FnMut(Event)) -> Result<(), Failure> {
    let mut files: Vec<PathBuf> =
        (1..=64).rev().map(|number| rotated(path, number)).filter(|file| file.exists()).collect();
    files.push(path.to_owned());
    let mut others = 0;
    let mut found = false;
    let mut take = |event| {
        found = true;
        take(event);
    };
    for file in files {
        let open = File::open(&file).with_context(|| format!("cannot read {}", file.display()));
        let open = open.map_err(|error| {
            Failure::from(error).hint("the router writes it once it has answered a request")
        })?;
        others += read(&mut BufReader::new(open), &mut take)?;
    }
    if !found && others > 0 {
        return Err(Failure::new(format!("{} holds no event of an audit", path.display())).hint(
            "the audit file is the one that `audit: {file: PATH}` in the router file names",
        ));
    }
    Ok(())
}

/// `audit.jsonl.3` is the third file rotated away.
fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Reads whole lines until the end, and says how many of them were no events; an unfinished last line is left for later
/// by not being an event. A line that is too long or no text is passed over, and never held whole.
pub(crate) fn read(
    reader: &mut impl std::io::BufRead,
    take: &mut impl FnMut(Event),
) -> Result<u64, Failure> {
    let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    let mut too_long = false;
    let mut others = 0_u64;
    loop {
        line.clear();
        if std::io::BufRead::read_until(&mut reader.by_ref().take(most), b'\n', &mut line)? == 0 {
            return Ok(others);
        }
        let ended = line.last() == Some(&b'\n');
        let continues = std::mem::replace(&mut too_long, !ended);
        let event = std::str::from_utf8(&line).ok().and_then(Event::parse);
        match event.filter(|_| !continues) {
            Some(event) => take(event),
            None => others += u64::from(ended),
        }
    }
}

/// The point in time of `--since`: a span back from now (`24h`, `7d`) or a date.
pub(crate) fn since_ms(text: &str) -> Result<u64, Failure> {
    let unusable = || {
        Failure::usage(format!("{text:?} is neither a span of time nor a date"))
            .hint("write a span such as 24h or 7d, or a date such as 2026-11-24")
    };
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        let start = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| unusable())?;
        return u64::try_from(start.timestamp().as_millisecond()).map_err(|_| unusable());
    }
    let span: jiff::Span = text.parse().map_err(|_| unusable())?;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let start = now.checked_sub(span).map_err(|_| unusable())?;
    u64::try_from(start.timestamp().as_millisecond()).map_err(|_| unusable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_spans_are_points_in_time() {
        assert_eq!(since_ms("1970-01-02").unwrap(), 86_400_000);
        assert!(since_ms("24h").unwrap() < since_ms("1h").unwrap());
        assert!(since_ms("7d").unwrap() < since_ms("24h").unwrap());
        assert!(since_ms("yesterday").is_err());
    }

    #[test]
    fn lines_that_are_no_events_are_passed_over() {
        let text =
            "{\"class_uid\":6003,\"time\":5}\nnoise\n{\"a\":1}\n{\"class_uid\":6003,\"time\":7}";
        let mut times = Vec::new();
        let others = read(&mut text.as_bytes(), &mut |event| times.push(event.time_ms())).unwrap();
        assert_eq!((others, times), (2, vec![5, 7]));
    }

    #[test]
    fn lines_of_any_bytes_hide_no_other_and_are_never_held_whole() {
        let event = b"{\"class_uid\":6003,\"time\":5}\n";
        let long = vec![b'x'; 3 * LINE_BYTES_MAX];
        // What begins in the middle of a line is no event, even when it looks like one.
        let file = [&b"\xff\xfe\n"[..], event, &long, event, event].concat();
        let mut times = Vec::new();
        read(&mut std::io::Cursor::new(file), &mut |event| times.push(event.time_ms())).unwrap();
        assert_eq!(times, [5, 5]);
    }
}
