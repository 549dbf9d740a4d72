//! `openshell route explain`: the decision for a request without sending it, or for a past one.

use std::{io::Read as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use backends::{configuration::Configuration, provider::dialect_word, spoken, translate};
use domain::{Cost, Tenant};
use router::{
    decide::{Located, Plan, Question, Refusal, Settings},
    wire::{self, Dialect, View},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::{audit::AuditFile, route::ExplainArgs},
    commands::{
        cost,
        events::{self, Event},
        gateway::{self, Chosen},
        inference,
    },
    failure::Failure,
    output::{self, columns},
    settings,
};

/// The decision, on paper.
#[derive(Debug, Serialize)]
struct Report {
    dialect: &'static str,
    model: String,
    sensitivity: String,
    findings: Vec<FindingLine>,
    input_tokens: Option<u64>,
    input_tokens_exact: Option<bool>,
    candidates: Vec<CandidateLine>,
    winner: Option<String>,
    reason: String,
}

#[derive(Debug, Serialize)]
struct FindingLine {
    label: String,
    place: String,
    level: String,
    action: &'static str,
    confidence: u8,
    evidence: &'static str,
    example: bool,
}

#[derive(Debug, Serialize)]
struct CandidateLine {
    candidate: String,
    zone: &'static str,
    quality: u8,
    expected_cost_usd: Option<f64>,
    dropped: Option<String>,
    /// The dialect in which it would be asked, if that is not the caller's.
    translated_to: Option<&'static str>,
    /// What that dialect has no words for.
    omitted: Vec<&'static str>,
    /// The field that its dialect cannot say, and why; the next candidate would be asked.
    untranslatable: Option<String>,
}

/// A request as it came.
#[derive(Clone, Copy, Debug)]
struct Whole<'a> {
    dialect: Dialect,
    body: &'a [u8],
    configuration: &'a Configuration,
}

/// Explains a request.
pub(crate) fn run(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    if let Some(id) = &args.request_id {
        return replay(args, id);
    }
    let body = read_body(args)?;
    let dialect = match args.dialect {
        Some(word) => word.into(),
        None => guess(&body)?,
    };
    let asked = match args.config.config {
        Some(_) => None,
        None => gateway::chosen(&args.gateway)?,
    };
    let configuration = configuration(args, asked.as_deref())?;
    let (engine, memory) = settings::engine(&configuration)?;
    if let Some(asked) = &asked {
        // What was spent counts as it does for the router of the gateway.
        let report = cost::of_gateway(asked, args.sandbox.as_deref(), Some("0s"))?;
        memory.ledger.restore(report.budgets.iter().filter_map(inference::door::booked_budget));
    }
    let tenant = match &args.sandbox {
        Some(name) => {
            Tenant::of_sandbox(&asked.map_or_else(|| name.clone(), |asked| asked.tenant(name)))
        }
        None => Tenant::new("explain"),
    };
    let view = wire::read(dialect, &body).map_err(|error| {
        Failure::from(anyhow::Error::new(error).context("the request cannot be read"))
            .hint("if it is written in another format, name it with --dialect")
    })?;
    let question = Question {
        view: &view,
        body: &body,
        tenant: &tenant,
        now_ms: sandbox::state::now().saturating_mul(1000),
        unhealthy: &|_| false,
        noted: true,
    };
    let findings = engine.findings(&memory, &question);
    let decided = engine.decide(&memory, &question);
    let mut report = Report {
        dialect: dialect_word(dialect),
        model: view.model.to_string(),
        sensitivity: String::new(),
        findings: findings.iter().zip(paths(&view, &body, &findings)).map(finding).collect(),
        input_tokens: None,
        input_tokens_exact: None,
        candidates: Vec::new(),
        winner: None,
        reason: String::new(),
    };
    let code = match decided {
        Ok(plan) => {
            let asked = Whole { dialect, body: &body, configuration: &configuration };
            report.plan(engine.settings(), &plan, asked);
            if report.winner.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(refusal) => {
            report.refused(&refusal);
            ExitCode::FAILURE
        }
    };
    output::emit(args.output, &report, table)?;
    Ok(code)
}

/// What the router file says that was named, or the one by which the router of the gateway works.
fn configuration(args: &ExplainArgs, asked: Option<&Chosen>) -> Result<Configuration, Failure> {
    let Some(asked) = asked else {
        return settings::load(&args.config.or_default().config).map(|(one, _)| one);
    };
    let text = inference::config_of(asked)?.ok_or_else(|| {
        Failure::new("the gateway has no router file").hint(
            "set where model calls go with `openshell inference set`, or name a file with --config",
        )
    })?;
    let parsed = backends::file::parse(&text);
    parsed.map(|(configuration, _)| configuration).map_err(|faults| {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::new(told.join("\n")).hint("this program and its gateway may have other versions")
    })
}

fn read_body(args: &ExplainArgs) -> Result<Vec<u8>, Failure> {
    if let Some(path) = args.file.as_ref().filter(|path| path.as_os_str() != "-") {
        return Ok(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    output::awaits("the request's JSON body");
    let mut body = Vec::new();
    let limit = u64::try_from(domain::limits::BODY_BYTES_MAX).unwrap_or(u64::MAX);
    std::io::stdin().lock().take(limit).read_to_end(&mut body)?;
    Ok(body)
}

/// Which format a request is written in, by the fields that only that one has.
fn guess(body: &[u8]) -> Result<Dialect, Failure> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        Failure::from(anyhow::Error::new(error).context("the request is no JSON"))
            .hint("give the body of a request with --file REQUEST.json or on standard input")
    })?;
    let has = |name: &str| value.get(name).is_some();
    let blocks = |kind: &str| value.to_string().contains(&format!("\"type\":\"{kind}\""));
    if has("messages") {
        let anthropic = has("system")
            || has("anthropic_version")
            || blocks("tool_use")
            || blocks("tool_result")
            || value.pointer("/tools/0/input_schema").is_some();
        return Ok(if anthropic { Dialect::AnthropicMessages } else { Dialect::OpenAiChat });
    }
    if has("prompt") {
        return Ok(Dialect::OpenAiCompletions);
    }
    if has("input") {
        let embeddings = has("encoding_format") || has("dimensions");
        return Ok(if embeddings { Dialect::OpenAiEmbeddings } else { Dialect::OpenAiResponses });
    }
    Err(Failure::usage("the request has none of messages, input and prompt")
        .hint("name its format with --dialect"))
}

/// Where in the request each finding is, as `messages[2].content`; findings are in document order.
fn paths(view: &View<'_>, body: &[u8], findings: &[Located]) -> Vec<String> {
    let start = |located: &Located| Some(view.segments.get(located.segment)?.span.start);
    let offsets: Vec<usize> = findings.iter().filter_map(start).collect();
    let tape = router::json::parse(body);
    let mut paths = tape.map(|tape| wire::paths(&tape, &offsets)).unwrap_or_default();
    paths.resize(findings.len(), String::new());
    paths
}

fn finding((located, path): (&Located, String)) -> FindingLine {
    FindingLine {
        label: located.finding.label.to_string(),
        place: format!("{path} ({:?})", located.place.role).to_lowercase(),
        level: located.level.to_string(),
        action: located.action.as_str(),
        confidence: located.finding.confidence,
        evidence: located.finding.evidence,
        example: located.finding.example,
    }
}

impl Report {
    fn plan(&mut self, settings: &Settings, plan: &Plan, asked: Whole<'_>) {
        self.sensitivity = plan.sensitivity.to_string();
        self.input_tokens = Some(plan.input.tokens.0);
        self.input_tokens_exact = Some(plan.input.exact);
        self.reason.clone_from(&plan.reason);
        for attempt in &plan.attempts {
            self.candidate(settings, attempt.candidate, Some(attempt.expected), None);
            if let Some(line) = self.candidates.last_mut() {
                line.translate(settings, attempt.candidate, asked);
            }
        }
        let mut able = self.candidates.iter().filter(|line| line.untranslatable.is_none());
        self.winner = able.next().map(|line| line.candidate.clone());
        if self.winner.is_none() {
            "refused with 400: nobody who may answer speaks a dialect that has words for it"
                .clone_into(&mut self.reason);
        }
        for dropped in &plan.dropped {
            self.candidate(settings, dropped.candidate, None, Some(dropped.why.to_string()));
        }
    }

    fn candidate(
        &mut self,
        settings: &Settings,
        index: usize,
        expected: Option<Cost>,
        dropped: Option<String>,
    ) {
        if let Some(candidate) = settings.candidates.get(index) {
            self.candidates.push(CandidateLine {
                candidate: format!("{}/{}", candidate.backend, candidate.model),
                zone: candidate.zone.as_str(),
                quality: candidate.quality,
                expected_cost_usd: expected.map(Cost::usd),
                dropped,
                translated_to: None,
                omitted: Vec::new(),
                untranslatable: None,
            });
        }
    }

    fn refused(&mut self, refusal: &Refusal) {
        self.reason = format!("refused with {} {}: {refusal}", refusal.status(), refusal.code());
    }
}

impl CandidateLine {
    /// Says what becomes of the request on the way to this candidate. The placeholders of redaction change no field.
    fn translate(&mut self, settings: &Settings, index: usize, asked: Whole<'_>) {
        let to =
            settings.candidates.get(index).and_then(|facts| spoken::dialect(facts, asked.dialect));
        let (Some(to), Some(options)) = (to, spoken::options(asked.configuration, index)) else {
            return;
        };
        if to == asked.dialect {
            return;
        }
        self.translated_to = Some(dialect_word(to));
        match translate::request_with_names(asked.dialect, to, asked.body, &options) {
            Ok(translated) => self.omitted = translated.omitted.iter().collect(),
            Err(error) => self.untranslatable = Some(error.to_string()),
        }
    }
}

fn table(report: &Report) -> String {
    let mut parts = Vec::new();
    if report.findings.is_empty() {
        parts.push("findings: none".to_owned());
    } else {
        let rows: Vec<Vec<String>> = report
            .findings
            .iter()
            .map(|line| {
                let example = if line.example { " (documented example)" } else { "" };
                vec![
                    line.label.clone(),
                    line.place.clone(),
                    line.level.clone(),
                    line.action.to_owned(),
                    format!("{}% {}{example}", line.confidence, line.evidence),
                ]
            })
            .collect();
        parts.push(columns(&["LABEL", "PLACE", "LEVEL", "ACTION", "WHY"], &rows));
    }
    if let Some(tokens) = report.input_tokens {
        let exact = if report.input_tokens_exact == Some(true) { "exact" } else { "estimate" };
        parts.push(format!(
            "level after redaction: {}; prompt: {tokens} tokens ({exact})",
            report.sensitivity
        ));
        let rows: Vec<Vec<String>> = report.candidates.iter().map(candidate_row).collect();
        parts.push(columns(&["CANDIDATE", "ZONE", "QUALITY", "EXPECTED USD", "DROPPED"], &rows));
    }
    for line in &report.candidates {
        let Some(dialect) = line.translated_to else { continue };
        let rest = match &line.untranslatable {
            Some(error) => format!("cannot: {error}"),
            None if line.omitted.is_empty() => "nothing is left out".to_owned(),
            None => format!("leaves out {}", line.omitted.join(", ")),
        };
        parts.push(format!("{} is asked in the dialect {dialect}: {rest}", line.candidate));
    }
    if let Some(winner) = &report.winner {
        parts.push(format!("winner: {winner}"));
    }
    parts.push(format!("reason: {}", report.reason));
    parts.join("\n\n")
}

fn candidate_row(line: &CandidateLine) -> Vec<String> {
    vec![
        line.candidate.clone(),
        line.zone.to_owned(),
        line.quality.to_string(),
        line.expected_cost_usd.map_or("-".to_owned(), |usd| format!("{usd:.6}")),
        line.dropped.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

/// The audit file that was named, that of the router of this user's gateway, or the one that a router file names.
fn audit_path(args: &ExplainArgs) -> Result<PathBuf, Failure> {
    if args.audit_file.is_none()
        && args.config.config.is_none()
        && gateway::chosen(&args.gateway)?.is_some()
    {
        let known = gateway::Registry::open()?.chosen(args.gateway.gateway.as_deref())?;
        return match known.metadata.state {
            Some(state) => Ok(state.join("router/audit.jsonl")),
            None => Err(Failure::new("that gateway runs elsewhere, with its records")
                .hint("`openshell audit` shows what it tells of them")),
        };
    }
    let config = args.config.or_default();
    settings::audit_path(&AuditFile { file: args.audit_file.clone(), config })
}

/// Shows the record of a past request.
fn replay(args: &ExplainArgs, id: &str) -> Result<ExitCode, Failure> {
    let path = audit_path(args)?;
    let mut found: Option<Event> = None;
    events::each(&path, |event| {
        if event.own("request_id") == id {
            found = Some(event);
        }
    })?;
    let event = found.ok_or_else(|| {
        Failure::new(format!("no request {id} in {}", path.display()))
            .hint("ids are in x-openshell-request-id of each answer and in `openshell audit`")
    })?;
    let own = event.json.pointer("/unmapped/openshell").cloned().unwrap_or_default();
    output::emit(args.output, &own, |own| {
        serde_saphyr::to_string(own).unwrap_or_else(|_| own.to_string())
    })?;
    Ok(ExitCode::SUCCESS)
}
