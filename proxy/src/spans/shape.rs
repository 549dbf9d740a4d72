//! The record of a call as spans: one for the call, and one below it for each attempt at a backend.
//!
//! Names and values follow the OpenTelemetry conventions for generative AI (client inference, 2026-11), under which a
//! call with all its retries is one span of kind CLIENT. What they have no name for begins with `openshell.`.
//! Attempts carry no `gen_ai.*`, so that no viewer counts tokens twice.
//! Invariant: values are names of the configuration or the catalogue, numbers, fixed words and identifiers.

use std::time::{Duration, SystemTime};

use backends::{configuration::Backend, provider::Provider};
use opentelemetry::{
    Array, InstrumentationScope, KeyValue, StringValue, Value,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
};

use router::answer::Finish;

use super::Finished;
use crate::audit::{AttemptRecord, Record};

/// The provider of a call that no backend was asked for.
const NOBODY: &str = "openshell";

/// How many spans a call makes.
pub(super) fn count(record: &Record) -> u64 {
    u64::try_from(record.attempts.len()).unwrap_or(u64::MAX).saturating_add(1)
}

/// The name of the operation in the conventions; `None` for a path that asks no model.
pub(crate) fn operation(dialect: &str) -> Option<&'static str> {
    match dialect {
        "chat" | "responses" | "messages" => Some("chat"),
        "completions" => Some("text_completion"),
        "embeddings" => Some("embeddings"),
        _ => None,
    }
}

/// Makes spans of calls.
#[derive(Debug)]
pub(super) struct Shaper {
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
}

impl Default for Shaper {
    fn default() -> Self {
        let scope = InstrumentationScope::builder("openshell.router");
        let scope = scope.with_version(env!("CARGO_PKG_VERSION")).build();
        Self { ids: RandomIdGenerator::default(), scope }
    }
}

impl Shaper {
    /// The spans of a call, its own first.
    pub(super) fn spans(&self, call: &Finished) -> Vec<SpanData> {
        let record = &*call.record;
        let trace = call.parent.map_or_else(|| self.ids.new_trace_id(), |parent| parent.trace);
        let begun = call.ended.checked_sub(call.took).unwrap_or(call.ended);
        let mut own = self.span(trace, (begun, call.ended));
        if let Some(parent) = call.parent {
            own.parent_span_id = parent.span;
            own.parent_span_is_remote = true;
        }
        let operation = operation(record.dialect).unwrap_or("chat");
        own.name = match &record.asked {
            Some(model) => format!("{operation} {model}").into(),
            None => operation.into(),
        };
        own.attributes = attributes(call, operation);
        if record.matters() {
            own.status = Status::error("");
        }
        let parent = own.span_context.span_id();
        let mut spans = Vec::with_capacity(record.attempts.len().saturating_add(1));
        spans.push(own);
        for attempt in &record.attempts {
            spans.push(self.attempt(call, attempt, (trace, parent, begun)));
        }
        spans
    }

    /// The span of one attempt. One that answered lasts as long as its answer; one that was interrupted, as the call.
    fn attempt(
        &self,
        call: &Finished,
        attempt: &AttemptRecord,
        (trace, parent, begun): (TraceId, SpanId, SystemTime),
    ) -> SpanData {
        let after =
            |distance: Duration| begun.checked_add(distance).unwrap_or(begun).min(call.ended);
        let started = attempt.started.saturating_duration_since(call.started);
        let answered = attempt.outcome == "answered";
        let ended = match attempt.outcome {
            "answered" | "interrupted" => call.ended,
            _ => after(started.saturating_add(attempt.took)),
        };
        let mut span = self.span(trace, (after(started), ended));
        span.parent_span_id = parent;
        span.name = format!("attempt {}/{}", attempt.backend, attempt.model).into();
        let mut list = vec![
            KeyValue::new("openshell.backend", attempt.backend.clone()),
            KeyValue::new("openshell.model", attempt.model.clone()),
            KeyValue::new("openshell.attempt.outcome", attempt.outcome),
        ];
        if let Some(backend) = backend(call, attempt) {
            list.push(KeyValue::new("openshell.zone", backend.zone.as_str()));
            server(&mut list, backend);
        }
        if let Some(status) = attempt.status {
            list.push(KeyValue::new("http.response.status_code", i64::from(status)));
        }
        if !answered {
            list.push(KeyValue::new("error.type", attempt.outcome));
            span.status = Status::error("");
        }
        span.attributes = list;
        span
    }

    fn span(&self, trace: TraceId, (start_time, end_time): (SystemTime, SystemTime)) -> SpanData {
        let id = self.ids.new_span_id();
        let none = TraceState::default();
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, none),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Client,
            name: "".into(),
            start_time,
            end_time,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// The attributes of the span of a call.
fn attributes(call: &Finished, operation: &'static str) -> Vec<KeyValue> {
    let record = &*call.record;
    let last = record.attempts.last().and_then(|attempt| backend(call, attempt));
    let provider = last.map_or(NOBODY, |backend| provider(backend.provider));
    let mut list = vec![
        KeyValue::new("gen_ai.operation.name", operation),
        KeyValue::new("gen_ai.provider.name", provider),
        KeyValue::new("http.response.status_code", i64::from(record.status)),
        KeyValue::new("openshell.request_id", record.request_id.clone()),
        KeyValue::new("openshell.dialect", record.dialect),
    ];
    let mut put = |name: &'static str, value: Value| list.push(KeyValue::new(name, value));
    if let Some(model) = &record.asked {
        put("gen_ai.request.model", model.to_string().into());
    }
    if record.stream {
        put("gen_ai.request.stream", true.into());
        if let Some(ms) = record.first_byte_ms {
            put(
                "gen_ai.response.time_to_first_chunk",
                Duration::from_millis(ms).as_secs_f64().into(),
            );
        }
    }
    if record.matters() {
        put("error.type", record.ended.into());
    }
    if let Some(sensitivity) = record.sensitivity {
        put("openshell.sensitivity", sensitivity.as_str().into());
    }
    if !record.found.is_empty() {
        put("openshell.labels", texts(record.found.iter().map(|found| found.label.clone())));
    }
    if !record.attempts.is_empty() {
        let tried =
            record.attempts.iter().map(|tried| format!("{}/{}", tried.backend, tried.model));
        put("openshell.candidates.tried", texts(tried));
    }
    answered(record, &mut put);
    if let Some(backend) = last {
        server(&mut list, backend);
    }
    list
}

/// What is only known when a backend answered.
fn answered(record: &Record, put: &mut impl FnMut(&'static str, Value)) {
    if record.backend.is_empty() {
        return;
    }
    put("openshell.backend", record.backend.clone().into());
    put("gen_ai.response.model", record.model.clone().into());
    if let Some(zone) = record.zone {
        put("openshell.zone", zone.as_str().into());
    }
    if let Some(id) = &record.response_id {
        put("gen_ai.response.id", id.clone().into());
    }
    let mut reasons: Vec<&'static str> = record.finishes.iter().map(Finish::as_str).collect();
    if reasons.is_empty() && record.matters() {
        // What the conventions want of a generation that did not come to its end.
        reasons.push("error");
    }
    if !reasons.is_empty() {
        put("gen_ai.response.finish_reasons", texts(reasons.into_iter()));
    }
    if let Some([input, cached, output]) = record.tokens {
        put("gen_ai.usage.input_tokens", number(input));
        put("gen_ai.usage.cache_read.input_tokens", number(cached));
        put("gen_ai.usage.output_tokens", number(output));
        put("openshell.usage.estimated", (!record.tokens_reported).into());
    }
    if let Some(cost) = record.cost {
        put("openshell.cost_micro_usd", number(cost.micro_usd()));
    }
}

/// The backend of an attempt in the configuration that decided.
fn backend<'a>(call: &'a Finished, attempt: &AttemptRecord) -> Option<&'a Backend> {
    let mut backends = call.snapshot.configuration.backends.iter();
    backends.find(|backend| backend.name.as_str() == attempt.backend)
}

fn server(list: &mut Vec<KeyValue>, backend: &Backend) {
    list.push(KeyValue::new("server.address", backend.base_url.host.clone()));
    list.push(KeyValue::new("server.port", i64::from(backend.base_url.port)));
}

/// The provider in the words of the conventions, where they have one.
fn provider(provider: Provider) -> &'static str {
    match provider {
        Provider::AzureOpenAi => "azure.ai.openai",
        other => other.as_str(),
    }
}

fn texts(list: impl Iterator<Item = impl Into<StringValue>>) -> Value {
    Value::Array(Array::String(list.map(Into::into).collect()))
}

fn number(number: u64) -> Value {
    Value::I64(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use domain::{Cost, Sensitivity, Zone};
    use router::answer::restore_buffered;

    use super::*;
    use crate::{
        audit::FoundRecord, credentials::Environment, snapshot::Snapshot, spans::Parent,
        upstream::Pools,
    };

    const FILE: &str = "version: 1
backends:
  - {name: first, provider: openai-compatible, base_url: 'http://127.0.0.1:9', zone: local, models: [{id: small, price: {input: 0, cached_input: 0, output: 0}}]}
  - {name: second, provider: azure-openai, base_url: 'https://example.openai.azure.com', zone: private, models: [{id: gpt-5}]}
";

    /// A streamed call that a second backend answered, with everything that a record can say.
    fn call(parent: Option<Parent>) -> Finished {
        let started = Instant::now();
        let attempt = |backend: &str, model: &str, outcome, status, after, ms| AttemptRecord {
            backend: backend.to_owned(),
            model: model.to_owned(),
            outcome,
            status,
            started: started + Duration::from_millis(after),
            took: Duration::from_millis(ms),
        };
        let body = br#"{"choices":[{"finish_reason":"stop"}]}"#;
        let observed = restore_buffered(
            router::wire::Dialect::OpenAiChat,
            body,
            &router::redact::Vault::default(),
        );
        let record = Record {
            request_id: "0190".into(),
            dialect: "messages",
            stream: true,
            status: 200,
            ended: "broken_off",
            sensitivity: Some(Sensitivity::Confidential),
            found: vec![FoundRecord { label: "pii/email".into(), count: 1, action: "redact" }],
            asked: Some("gpt-5".into()),
            backend: "second".into(),
            model: "gpt-5".into(),
            zone: Some(Zone::Private),
            response_id: Some("chatcmpl-1".into()),
            finishes: observed.unwrap().1.finishes,
            attempts: vec![
                attempt("first", "small", "server_error", Some(500), 10, 20),
                attempt("second", "gpt-5", "answered", Some(200), 30, 40),
            ],
            tokens: Some([30, 10, 5]),
            cost: Some(Cost(2_500_000)),
            first_byte_ms: Some(70),
            ..Record::default()
        };
        let snapshot =
            Snapshot::build(FILE, &Environment::new(|_| None), &Pools::default()).unwrap();
        Finished {
            record: Arc::new(record),
            snapshot: Arc::new(snapshot),
            parent,
            started,
            ended: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
            took: Duration::from_millis(500),
        }
    }

    fn value<'s>(span: &'s SpanData, name: &str) -> Option<&'s Value> {
        let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
        found.map(|attribute| &attribute.value)
    }

    #[test]
    fn a_call_is_one_span_and_each_attempt_one_below_it() {
        let spans = Shaper::default().spans(&call(None));
        let [own, first, second] = spans.as_slice() else { panic!("{} spans", spans.len()) };
        assert_eq!(u64::try_from(spans.len()).unwrap(), count(&call(None).record));
        assert_eq!((&*own.name, &*first.name), ("chat gpt-5", "attempt first/small"));
        for attempt in [first, second] {
            assert_eq!(attempt.parent_span_id, own.span_context.span_id());
            assert_eq!(attempt.span_context.trace_id(), own.span_context.trace_id());
        }
        let since = |time: SystemTime| time.duration_since(own.start_time).unwrap().as_millis();
        assert_eq!((since(first.start_time), since(first.end_time)), (10, 30));
        assert_eq!((since(second.start_time), since(second.end_time)), (30, 500));
        assert_eq!((since(own.end_time), own.parent_span_id), (500, SpanId::INVALID));
        assert_eq!(value(own, "gen_ai.provider.name"), Some(&"azure.ai.openai".into()));
        assert_eq!(value(own, "server.port"), Some(&443_i64.into()));
        assert_eq!(value(own, "openshell.cost_micro_usd"), Some(&3_i64.into()));
        assert_eq!(value(own, "error.type"), Some(&"broken_off".into()));
        assert_eq!(value(first, "http.response.status_code"), Some(&500_i64.into()));
        assert_eq!((value(second, "error.type"), &second.status), (None, &Status::Unset));
    }

    #[test]
    fn the_span_of_the_caller_is_the_parent() {
        let parent = Parent { trace: 7_u128.into(), span: 9_u64.into(), sampled: true };
        let spans = Shaper::default().spans(&call(Some(parent)));
        assert_eq!((spans[0].parent_span_id, spans[0].parent_span_is_remote), (parent.span, true));
        assert!(spans.iter().all(|span| span.span_context.trace_id() == parent.trace));
    }

    #[test]
    fn every_attribute_is_documented() {
        let documents = include_str!("../../../docs/router.md");
        for span in Shaper::default().spans(&call(None)) {
            for attribute in span.attributes {
                let name = format!("`{}`", attribute.key);
                assert!(documents.contains(&name), "{name} is not in docs/router.md");
            }
        }
    }

    #[test]
    fn paths_that_ask_a_model_have_an_operation() {
        for dialect in backends::provider::DIALECTS {
            let word = backends::provider::dialect_word(dialect);
            let asks = dialect != router::wire::Dialect::AnthropicCountTokens;
            assert_eq!(operation(word).is_some(), asks, "{word}");
        }
        assert_eq!(operation(""), None);
    }
}
