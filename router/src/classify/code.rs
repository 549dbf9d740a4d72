//! Traces of somebody's own source: hosts that only exist inside, and paths of source files below a person's folder.
//!
//! Invariant: linear time; only schemes (`://`) and runs of token characters are read.

use std::ops::Range;

use domain::Label;

use super::{
    Finding,
    candidates::{Candidates, slice},
};

/// Longest host name (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// Adds the internal hosts and the source paths of `text`.
pub(crate) fn scan(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    hosts(text, candidates, out);
    for run in &candidates.tokens {
        out.extend(source_path(text, run));
    }
}

fn hosts(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    for &at in &candidates.schemes {
        let Some(rest) = text.get(at + 3..) else { continue };
        let rest = slice(rest, 0..HOST_BYTES_MAX + 128);
        // Credentials before the host belong to another family.
        let ends = |byte: &u8| {
            matches!(
                byte,
                b'/' | b'?' | b'#' | b' ' | b'"' | b'\'' | b'\n' | b'>' | b')' | b'`' | b'<'
            )
        };
        let end = rest.bytes().position(|byte| ends(&byte)).unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let name = host.split(':').next().unwrap_or_default();
        if is_internal(name) {
            let start = name.as_ptr().addr() - text.as_ptr().addr();
            out.push(Finding {
                label: Label::fixed("code/internal-host"),
                span: start..start + name.len(),
                confidence: 60,
                evidence: "shape",
                example: false,
            });
        }
    }
}

/// The path of a source file below a person's folder, if the run is or ends in one.
fn source_path(text: &str, run: &Range<usize>) -> Option<Finding> {
    const ENDINGS: [&str; 24] = [
        "c", "cc", "cpp", "cs", "go", "h", "hpp", "ipynb", "java", "js", "jsx", "kt", "m", "php",
        "proto", "py", "rb", "rs", "scala", "sh", "sql", "swift", "ts", "tsx",
    ];
    let whole = text.get(run.clone())?;
    let start = memchr::memrchr(b'=', whole.as_bytes()).map_or(0, |at| at + 1);
    if !matches!(whole.as_bytes().get(start..), Some([b'/', b'h' | b'U', ..])) {
        return None;
    }
    let path = whole.get(start..)?.trim_end_matches('.');
    let below = path.strip_prefix("/home/").or_else(|| path.strip_prefix("/Users/"))?;
    let (folder, name) = below.rsplit_once('/')?;
    let (stem, ending) = name.rsplit_once('.')?;
    let named = !folder.is_empty() && !stem.is_empty() && ENDINGS.contains(&ending);
    named.then(|| Finding {
        label: Label::fixed("code/source-path"),
        span: run.start + start..run.start + start + path.len(),
        confidence: 80,
        evidence: "shape",
        example: false,
    })
}

/// Whether a host name ends in a domain that organisations use inside only. Names of a service inside a cluster
/// (`.svc.cluster.local`) and of this machine are the same everywhere and tell nothing.
fn is_internal(name: &str) -> bool {
    const INSIDE: [&str; 7] =
        [".corp", ".internal", ".intranet", ".intra", ".lan", ".private", ".corp.net"];
    // Most names end in another domain.
    let last = name.bytes().rposition(|byte| byte == b'.').and_then(|dot| name.get(dot..));
    let inside = last.is_some_and(|last| {
        last.eq_ignore_ascii_case(".net")
            || INSIDE.iter().any(|inside| last.eq_ignore_ascii_case(inside))
    });
    if !inside && !name.as_bytes().windows(6).any(|part| part.eq_ignore_ascii_case(b".corp.")) {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    let labels = lower.split('.').count();
    let known = [
        "host.docker.internal",
        "metadata.google.internal",
        "kubernetes.docker.internal",
        "gateway.docker.internal",
    ];
    lower.is_ascii()
        && labels >= 2
        && name.len() <= HOST_BYTES_MAX
        && lower
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && !known.contains(&lower.as_str())
        && !lower.contains("example")
        && INSIDE.iter().any(|inside| {
            lower.ends_with(inside) || lower.contains(&format!("{inside}.")) && *inside == ".corp"
        })
}

#[cfg(test)]
mod tests {
    use crate::{classify::Classifier, wire::Part};

    #[test]
    fn paths_of_source_files_below_a_persons_folder_are_found() {
        let paths = |text: &str| -> Vec<String> {
            let all = Classifier::new(Vec::new()).unwrap().scan(text, Part::Prose);
            let kept = all.iter().filter(|one| one.label.as_str() == "code/source-path");
            kept.map(|one| text.get(one.span.clone()).unwrap().to_owned()).collect()
        };
        for (text, path) in [
            ("open /home/ana/shop/src/main.rs, please", "/home/ana/shop/src/main.rs"),
            ("file=/Users/ana/shop/cart.py.", "/Users/ana/shop/cart.py"),
            ("at /home/ana/shop/lib/tax.go:12", "/home/ana/shop/lib/tax.go"),
        ] {
            assert_eq!(paths(text), [path], "{text:?}");
        }
        for text in [
            "/usr/lib/python3/site.py and /home/ana/notes/readme.md",
            "/home/ana.rs and /homestead/of/ana/main.rs",
            "src/classify/pii/numbers.rs",
        ] {
            assert_eq!(paths(text), Vec::<String>::new(), "{text:?}");
        }
    }

    #[test]
    fn hosts_that_exist_only_inside_are_found_and_public_or_common_ones_are_not() {
        let hosts = |text: &str| -> Vec<String> {
            let all = Classifier::new(Vec::new()).unwrap().scan(text, Part::Prose);
            let kept = all.iter().filter(|one| one.label.as_str() == "code/internal-host");
            kept.map(|one| text.get(one.span.clone()).unwrap().to_owned()).collect()
        };
        for (text, host) in [
            ("see https://wiki.acme.corp/page?id=1", "wiki.acme.corp"),
            ("http://build-7.prod.internal:8443/job", "build-7.prod.internal"),
            ("ssh://git@code.firm.intranet/x.git", "code.firm.intranet"),
        ] {
            assert_eq!(hosts(text), [host], "{text:?}");
        }
        for text in [
            "https://docs.rs/regex",
            "http://host.docker.internal:5000",
            "http://api.default.svc.cluster.local",
            "http://localhost:3000 and http://app.example.corp",
            "internal://x and https://corp/",
        ] {
            assert_eq!(hosts(text), Vec::<String>::new(), "{text:?}");
        }
    }
}
