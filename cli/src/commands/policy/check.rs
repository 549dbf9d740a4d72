//! `openshell policy check`: one decision, or one a line.

use std::{
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
};

use domain::Destination;
use policy::{
    Because, Caller, CanonicalPath, Connect, Grant, Operation, Policy, Query, RefusalCode, Request,
    RequestVerdict, Verdict,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    args::policy::{PolicyCheckArgs, QuestionArgs},
    failure::Failure,
    output::{self, Format, columns},
};

/// Longest line that is read as a question, bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A decision on paper.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    pub(super) decision: Decision,
    pub(super) policy: Option<String>,
    pub(super) reason: String,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Decision {
    Allow,
    Inference,
    Deny,
}

impl Decision {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Inference => "inference",
            Self::Deny => "deny",
        }
    }

    /// The exit code.
    pub(super) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Allow => 0,
            Self::Inference => 3,
            Self::Deny => 4,
        })
    }
}

/// A question as it was asked, in text.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    id: Option<Value>,
    pub(super) binary: String,
    #[serde(default)]
    pub(super) ancestors: Vec<String>,
    pub(super) connect: String,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) query: Option<String>,
}

impl Question {
    /// The question of the flags; `None` where none was asked.
    pub(super) fn from_args(args: &QuestionArgs) -> Option<Self> {
        Some(Self {
            id: None,
            binary: args.binary.clone()?,
            ancestors: args.ancestor.clone(),
            connect: args.connect.as_ref()?.to_string(),
            method: args.method.clone(),
            path: args.path.clone(),
            query: args.query.clone(),
        })
    }

    pub(super) fn caller(&self) -> Caller<'_> {
        Caller { binary: &self.binary, ancestors: &self.ancestors }
    }
}

/// Decides, and tells the decision by output and exit code.
pub(crate) fn run(args: &PolicyCheckArgs) -> Result<ExitCode, Failure> {
    let (file, notices) = super::load(&args.policy)?;
    super::warn(&args.policy, &notices);
    let policy = Policy::new(file);
    if args.ndjson {
        return lines(&policy);
    }
    let Some(question) = Question::from_args(&args.question) else {
        output::complain(&format!("{} is sound", args.policy.display()));
        return Ok(ExitCode::SUCCESS);
    };
    let answer = answer(&policy, &question);
    match args.output {
        Format::Json => output::line(&serde_json::to_string(&answer)?)?,
        format => output::emit(format, &answer, table)?,
    }
    Ok(answer.decision.code())
}

fn table(answer: &Answer) -> String {
    let policy = answer.policy.clone().unwrap_or_else(|| "-".to_owned());
    let row = vec![answer.decision.as_str().to_owned(), policy, answer.reason.clone()];
    columns(&["DECISION", "POLICY", "REASON"], &[row])
}

/// One answer a line, in order; what cannot be understood is denied.
fn lines(policy: &Policy) -> Result<ExitCode, Failure> {
    let mut input = io::stdin().lock();
    let mut out = io::BufWriter::new(output::results());
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let read = io::Read::take(&mut input, limit).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if read == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            return Err(Failure::new("a question has more than 1 MiB"));
        }
        let answer = match serde_json::from_slice::<Question>(&line) {
            Ok(question) => answer(policy, &question),
            Err(error) => Answer {
                // The answer is found by its id also where the rest makes no sense.
                id: serde_json::from_slice::<Value>(&line).ok().and_then(|v| v.get("id").cloned()),
                ..denied(format!("the question cannot be read: {error}"))
            },
        };
        serde_json::to_writer(&mut out, &answer).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
        // Whoever asks one question at a time waits for its answer.
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn denied(reason: String) -> Answer {
    Answer { id: None, decision: Decision::Deny, policy: None, reason }
}

/// The answer to a question.
pub(super) fn answer(policy: &Policy, question: &Question) -> Answer {
    let answer = match question.connect.parse::<Destination>() {
        Ok(to) => connection(policy, question, &to),
        Err(error) => denied(format!("the destination cannot be used: {error}")),
    };
    Answer { id: question.id.clone(), ..answer }
}

fn connection(policy: &Policy, question: &Question, to: &Destination) -> Answer {
    let connect = Connect { caller: question.caller(), to, inference: true };
    match policy.connect(&connect) {
        Verdict::Allow(grant) => match (&question.method, &question.path) {
            (Some(method), Some(path)) => request(&grant, method, path, question.query.as_deref()),
            (None, None) if question.query.is_none() => allowed(&grant),
            _ => denied("a request has a method and a path".to_owned()),
        },
        Verdict::Inference(why) => Answer {
            id: None,
            decision: Decision::Inference,
            policy: None,
            reason: why.to_string(),
        },
        Verdict::Deny(deny) => denied(deny.to_string()),
    }
}

fn allowed(grant: &Grant<'_>) -> Answer {
    let place = grant.place();
    let inspected = if grant.is_inspected() { "; each request is inspected" } else { "" };
    Answer {
        id: None,
        decision: Decision::Allow,
        policy: Some(grant.name().to_owned()),
        reason: format!("endpoints[{}] of policy '{}'{inspected}", place.index, grant.name()),
    }
}

fn request(grant: &Grant<'_>, method: &str, path: &str, query: Option<&str>) -> Answer {
    let (path, inline) =
        path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let query = query.or(inline).unwrap_or_default();
    let refused =
        |reason: String| Answer { policy: Some(grant.name().to_owned()), ..denied(reason) };
    let path = match CanonicalPath::new(path, grant.encoded_slash()) {
        Ok(path) => path,
        Err(error) => return refused(error.to_string()),
    };
    let query = match Query::new(query.strip_prefix('?').unwrap_or(query)) {
        Ok(query) => query,
        Err(error) => return refused(error.to_string()),
    };
    let request = Request { method, path: &path, query: &query, operation: Operation::None };
    let (decision, policy, reason) = match grant.request(&request) {
        RequestVerdict::Allow(because) => {
            (Decision::Allow, Because::place(&because).name(), because.to_string())
        }
        RequestVerdict::Audit(refusal) => {
            let reason = format!("{refusal}; recorded and forwarded (enforcement: audit)");
            (Decision::Allow, refusal.place.name(), reason)
        }
        RequestVerdict::Deny(refusal) => {
            let blind = refusal.code == RefusalCode::Unreadable;
            let blind = if blind { " (what a body asks for cannot be given here)" } else { "" };
            (Decision::Deny, refusal.place.name(), format!("{refusal}{blind}"))
        }
    };
    Answer { id: None, decision, policy: Some(policy.to_owned()), reason }
}
