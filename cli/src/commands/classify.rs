//! `openshell classify`: what is sensitive in files or standard input.

use std::{
    io::{self, BufRead as _, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use domain::Sensitivity;
use router::{
    classify::{Classifier, Finding},
    rules::{Action, Rules},
    wire::Part,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    args::{ClassifyArgs, ClassifyFormat},
    failure::Failure,
    output::{self, Format, columns},
    settings,
};

/// Largest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Detectors with the operator's rules.
struct Judge {
    classifier: Classifier,
    rules: Rules,
}

/// Findings of one text, offsets in Unicode characters.
#[derive(Debug, Serialize)]
struct Report {
    id: String,
    sensitivity: &'static str,
    spans: Vec<Span>,
    #[serde(skip)]
    level: Sensitivity,
}

#[derive(Debug, Serialize)]
struct Span {
    start: usize,
    end: usize,
    #[serde(rename = "type")]
    label: String,
    confidence: u8,
    evidence: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    example: bool,
    #[serde(skip)]
    line: usize,
    #[serde(skip)]
    level: Sensitivity,
    #[serde(skip)]
    action: Action,
}

/// Classifies what was named; exit code 1 when `--fail-on` is reached.
pub(crate) fn run(args: &ClassifyArgs) -> Result<ExitCode, Failure> {
    let judge = judge(args)?;
    let worst = match args.format {
        ClassifyFormat::Ndjson => lines(&judge, &args.files)?,
        ClassifyFormat::Table | ClassifyFormat::Json | ClassifyFormat::Yaml => whole(&judge, args)?,
    };
    let reached = args.fail_on.is_some_and(|level| worst >= Some(level));
    Ok(if reached { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn judge(args: &ClassifyArgs) -> Result<Judge, Failure> {
    let (rules, terms) = match &args.config {
        Some(path) => {
            let (configuration, _) = settings::load(path)?;
            let terms = settings::terms(&configuration);
            (configuration.settings.rules, terms)
        }
        None => (Rules::default(), Vec::new()),
    };
    Ok(Judge { classifier: Classifier::new(terms)?, rules })
}

impl Judge {
    fn report(&self, id: String, text: &str) -> Report {
        let mut cursor = Cursor::default();
        let findings = self.classifier.scan(text, Part::Prose);
        let spans: Vec<Span> =
            findings.iter().map(|finding| self.span(finding, text, &mut cursor)).collect();
        let level = spans.iter().map(|span| span.level).max().unwrap_or_default();
        Report { id, sensitivity: level.as_str(), spans, level }
    }

    fn span(&self, finding: &Finding, text: &str, cursor: &mut Cursor) -> Span {
        let start = cursor.forward(text, finding.span.start);
        let line = cursor.line;
        let consequence = self.rules.consequence(&finding.label);
        let noted = finding.example || consequence.action == Action::Allow;
        Span {
            start,
            end: start + count(text, finding.span.start, finding.span.end),
            label: finding.label.to_string(),
            confidence: finding.confidence,
            evidence: finding.evidence,
            example: finding.example,
            line,
            level: if noted { Sensitivity::Public } else { consequence.level },
            action: if finding.example { Action::Allow } else { consequence.action },
        }
    }
}

/// Turns byte offsets into characters and lines, in one walk over the text.
#[derive(Default)]
struct Cursor {
    byte: usize,
    character: usize,
    line: usize,
}

impl Cursor {
    fn forward(&mut self, text: &str, byte: usize) -> usize {
        let passed = text.get(self.byte..byte).unwrap_or_default();
        self.character += passed.chars().count();
        self.line += passed.matches('\n').count();
        self.byte = byte;
        self.character
    }
}

fn count(text: &str, from: usize, to: usize) -> usize {
    text.get(from..to).unwrap_or_default().chars().count()
}

/// One JSON line in, one JSON line out, in order.
fn lines(judge: &Judge, files: &[PathBuf]) -> Result<Option<Sensitivity>, Failure> {
    let mut worst = None;
    let mut out = io::BufWriter::new(output::results());
    for source in sources(files) {
        let reader: Box<dyn io::BufRead> = match source {
            Some(path) => Box::new(io::BufReader::new(open(path)?)),
            None => Box::new(io::stdin().lock()),
        };
        for (number, line) in reader.lines().enumerate() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let row: Value = serde_json::from_str(&line)
                .with_context(|| format!("line {} is no JSON", number + 1))?;
            let Some(text) = row.get("text").and_then(Value::as_str) else {
                return Err(Failure::new(format!("line {} has no \"text\"", number + 1))
                    .hint("each line is an object {\"id\": …, \"text\": \"…\"}"));
            };
            let report = judge.report(String::new(), text);
            worst = worst.max(Some(report.level));
            let answer = json!({"id": row.get("id"), "sensitivity": report.sensitivity, "spans": report.spans});
            writeln!(out, "{answer}")?;
        }
    }
    out.flush()?;
    Ok(worst)
}

/// Whole files, in one report.
fn whole(judge: &Judge, args: &ClassifyArgs) -> Result<Option<Sensitivity>, Failure> {
    let mut reports = Vec::new();
    for source in sources(&args.files) {
        let (id, bytes) = if let Some(path) = source {
            (path.display().to_string(), read(&mut open(path)?)?)
        } else {
            output::awaits("a text");
            ("-".to_owned(), read(&mut io::stdin().lock())?)
        };
        let text = String::from_utf8_lossy(&bytes);
        reports.push(judge.report(id, &text));
    }
    let worst = reports.iter().map(|report| report.level).max();
    let format = match args.format {
        ClassifyFormat::Json => Format::Json,
        ClassifyFormat::Yaml => Format::Yaml,
        ClassifyFormat::Table | ClassifyFormat::Ndjson => Format::Table,
    };
    output::emit(format, &reports, |reports| table(reports))?;
    Ok(worst)
}

fn table(reports: &[Report]) -> String {
    let rows: Vec<Vec<String>> = reports
        .iter()
        .flat_map(|report| report.spans.iter().map(move |span| (report, span)))
        .map(|(report, span)| {
            let example = if span.example { " (documented example)" } else { "" };
            vec![
                format!("{}:{}", report.id, span.line + 1),
                format!("{}-{}", span.start, span.end),
                span.label.clone(),
                span.level.to_string(),
                span.action.as_str().to_owned(),
                format!("{}% {}{example}", span.confidence, span.evidence),
            ]
        })
        .collect();
    let worst = reports.iter().map(|report| report.level).max().unwrap_or_default();
    let text = if rows.is_empty() {
        "nothing sensitive found".to_owned()
    } else {
        columns(&["PLACE", "CHARACTERS", "LABEL", "LEVEL", "ACTION", "WHY"], &rows)
    };
    format!("{text}\nsensitivity: {worst}")
}

fn sources(files: &[PathBuf]) -> Vec<Option<&Path>> {
    if files.is_empty() {
        return vec![None];
    }
    files.iter().map(|path| (path.as_os_str() != "-").then_some(path.as_path())).collect()
}

fn open(path: &Path) -> Result<std::fs::File, Failure> {
    Ok(std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
}

fn read(source: &mut impl io::Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    source.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::new(format!("more than {FILE_BYTES_MAX} bytes in one file"))
            .hint("split it, or use --format ndjson"));
    }
    Ok(bytes)
}
