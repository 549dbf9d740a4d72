//! What the tests share: the recorded traffic beside the repository, and translating in one call.

use std::path::{Path, PathBuf};

use backends::translate::{AnswerContext, StreamTranslator, TranslateError};
use router::wire::Dialect;
use serde_json::Value;

pub(crate) const DIALECTS: [Dialect; 3] =
    [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::OpenAiResponses];

pub(crate) fn context() -> AnswerContext {
    AnswerContext {
        model: "the-model".to_owned(),
        created: 1_700_000_000,
        id: "a1".to_owned(),
        include_usage: true,
        ..AnswerContext::default()
    }
}

/// The folder with recorded traffic; `None`, with a word about it, where it is absent.
pub(crate) fn captures() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test asks where its data is")]
    let given = std::env::var("OPENSHELL_SHARED").ok().map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    // A worktree stands one folder deeper than a clone.
    let deeper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let found = given.into_iter().chain([beside, deeper]).map(|path| path.join("captures"));
    let found = found.into_iter().find(|path| path.is_dir());
    if found.is_none() {
        eprintln!("skipped: no recorded traffic; set OPENSHELL_SHARED");
    }
    found
}

/// Every JSON file below `folder`, by its path from there, sorted.
pub(crate) fn files(folder: &Path) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                found.push((path.strip_prefix(folder).unwrap().display().to_string(), value));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The dialect of a path of an API, if it is one of the three.
pub(crate) fn dialect(target: &str) -> Option<Dialect> {
    let path = target.split('?').next().unwrap_or_default();
    [
        ("/chat/completions", Dialect::OpenAiChat),
        ("/messages", Dialect::AnthropicMessages),
        ("/responses", Dialect::OpenAiResponses),
    ]
    .into_iter()
    .find_map(|(end, dialect)| path.ends_with(end).then_some(dialect))
}

/// A recorded stream.
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) body: String,
}

/// Every recorded stream of the three dialects.
pub(crate) fn recorded_streams(captures: &Path) -> Vec<Recorded> {
    let mut streams = Vec::new();
    for (name, file) in files(&captures.join("real-provider")) {
        let Some(dialect) = file["request"]["uri"].as_str().and_then(dialect) else { continue };
        if name.contains("-sse-") {
            let body = file["response"]["body"].as_str().unwrap().to_owned();
            streams.push(Recorded { name, dialect, body });
        }
    }
    streams
}

/// What comes out of a stream, and how it ended.
pub(crate) fn translated(
    from: Dialect,
    to: Dialect,
    chunks: &[&[u8]],
) -> (String, Result<(), TranslateError>) {
    let mut translator = StreamTranslator::new(from, to, context()).unwrap();
    let mut out = Vec::new();
    let mut result = Ok(());
    for chunk in chunks {
        result = result.and_then(|()| translator.push(chunk, &mut out));
    }
    let result = result.and_then(|()| translator.finish(&mut out));
    (String::from_utf8(out).unwrap(), result)
}
