//! Counters of the data plane as Prometheus text.
//!
//! Labels are closed sets: names of backends and models come from the configuration, the rest from enums. Nothing that
//! a caller wrote becomes a label. Invariant: the number of series is bounded whatever callers send.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use domain::Cost;
use parking_lot::Mutex;

use crate::health::Out;

/// Upper bounds of the duration buckets, milliseconds.
const BUCKETS_MS: [u64; 14] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000];

/// Most different series of one kind; configurations that change for months must not fill the memory.
const SERIES_MAX: usize = 4_096;

/// Everything that is counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    calls: Mutex<BTreeMap<CallLabels, CallSeries>>,
    /// By backend and outcome.
    attempts: Mutex<BTreeMap<String, BTreeMap<&'static str, u64>>>,
    /// Time that deciding took.
    pub(crate) decide: Histogram,
    /// Calls that a later candidate answered.
    pub(crate) failovers: AtomicU64,
    /// Connections that were refused because there were too many.
    pub(crate) connections_refused: AtomicU64,
    /// Open connections.
    pub(crate) connections: AtomicUsize,
    /// Reloads that succeeded.
    pub(crate) reloads: AtomicU64,
    /// Reloads that were refused; the old configuration stays.
    pub(crate) reloads_refused: AtomicU64,
    /// Credentials of backends that were hidden in answers.
    pub(crate) credentials_masked: AtomicU64,
    /// Audit events that were dropped.
    pub(crate) audit_dropped: AtomicU64,
}

/// The labels of a finished call. Empty texts stand for what is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallLabels {
    /// The caller's dialect.
    pub(crate) dialect: &'static str,
    /// HTTP status of the answer; 499 when the caller left.
    pub(crate) status: u16,
    /// The backend that answered.
    pub(crate) backend: String,
    /// Its model.
    pub(crate) model: String,
    /// Its zone.
    pub(crate) zone: &'static str,
    /// The level of the request.
    pub(crate) sensitivity: &'static str,
}

/// What a finished call adds up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallFigures {
    /// From head to end.
    pub(crate) duration: Duration,
    /// From head to the first content byte.
    pub(crate) first_byte: Option<Duration>,
    /// Prompt tokens.
    pub(crate) input: u64,
    /// Prompt tokens that the provider's cache served.
    pub(crate) cached: u64,
    /// Answer tokens.
    pub(crate) output: u64,
    /// What it cost.
    pub(crate) cost: Cost,
    /// What routing saved against the dearest candidate.
    pub(crate) saved: Cost,
}

#[derive(Debug, Default)]
struct CallSeries {
    duration: Histogram,
    first_byte: Histogram,
    input: u64,
    cached: u64,
    output: u64,
    cost: Cost,
    saved: Cost,
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS_MS.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    /// Takes note of one duration.
    pub(crate) fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let millis = micros.div_ceil(1_000);
        if let Some(at) = BUCKETS_MS.iter().position(|bound| millis <= *bound)
            && let Some(bucket) = self.buckets.get(at)
        {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    fn render(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut below = 0;
        for (bound, bucket) in BUCKETS_MS.iter().zip(&self.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let (whole, rest) = (bound / 1_000, bound % 1_000);
            line(
                out,
                format_args!("{name}_bucket{{{labels}{comma}le=\"{whole}.{rest:03}\"}} {below}"),
            );
        }
        let count = self.count.load(Ordering::Relaxed);
        let sum = self.sum_us.load(Ordering::Relaxed);
        line(out, format_args!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"));
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let (whole, rest) = (sum / 1_000_000, sum % 1_000_000);
        line(out, format_args!("{name}_sum{braces} {whole}.{rest:06}"));
        line(out, format_args!("{name}_count{braces} {count}"));
    }
}

/// What the server knows and the counters do not, at the time of rendering.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Calls under way.
    pub(crate) in_flight: usize,
    /// State of the breaker of each backend: 0 closed, 1 half open, 2 open.
    pub(crate) breakers: Vec<(String, u8)>,
    /// What is not asked for now.
    pub(crate) out: Vec<Out>,
    /// Spans that the collector took.
    pub(crate) spans_exported: u64,
    /// Spans that found no room, or that the collector did not take.
    pub(crate) spans_dropped: u64,
}

impl Metrics {
    /// Adds one finished call.
    pub(crate) fn call(&self, labels: CallLabels, figures: &CallFigures) {
        let mut calls = self.calls.lock();
        if calls.len() >= SERIES_MAX && !calls.contains_key(&labels) {
            return;
        }
        let series = calls.entry(labels).or_default();
        series.duration.observe(figures.duration);
        if let Some(first_byte) = figures.first_byte {
            series.first_byte.observe(first_byte);
        }
        series.input = series.input.saturating_add(figures.input);
        series.cached = series.cached.saturating_add(figures.cached);
        series.output = series.output.saturating_add(figures.output);
        series.cost = series.cost + figures.cost;
        series.saved = series.saved + figures.saved;
    }

    /// Adds one attempt at a backend.
    pub(crate) fn attempt(&self, backend: &str, outcome: &'static str) {
        let mut attempts = self.attempts.lock();
        if !attempts.contains_key(backend) && attempts.len() < SERIES_MAX {
            attempts.insert(backend.to_owned(), BTreeMap::new());
        }
        if let Some(outcomes) = attempts.get_mut(backend) {
            let count = outcomes.entry(outcome).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    pub(crate) fn render(&self, gauges: &Gauges) -> String {
        let mut out = String::with_capacity(8 << 10);
        self.render_calls(&mut out);
        self.render_attempts(&mut out);
        head(&mut out, "openshell_router_decide_seconds", "histogram", "Time that deciding took");
        self.decide.render(&mut out, "openshell_router_decide_seconds", "");
        let counters = [
            ("failovers_total", "Calls that a later candidate answered", &self.failovers),
            ("connections_refused_total", "Connections over the limit", &self.connections_refused),
            ("reloads_total", "Configurations taken over", &self.reloads),
            ("reloads_refused_total", "Configurations refused", &self.reloads_refused),
            ("credentials_masked_total", "Credentials hidden in answers", &self.credentials_masked),
            ("audit_dropped_total", "Audit events dropped", &self.audit_dropped),
        ];
        for (name, help, counter) in counters {
            let name = format!("openshell_router_{name}");
            head(&mut out, &name, "counter", help);
            line(&mut out, format_args!("{name} {}", counter.load(Ordering::Relaxed)));
        }
        let spans = [
            ("spans_exported_total", "Spans sent to the collector", gauges.spans_exported),
            ("spans_dropped_total", "Spans dropped", gauges.spans_dropped),
        ];
        for (name, help, count) in spans {
            let name = format!("openshell_router_{name}");
            head(&mut out, &name, "counter", help);
            line(&mut out, format_args!("{name} {count}"));
        }
        let connections = self.connections.load(Ordering::Relaxed);
        head(&mut out, "openshell_router_connections", "gauge", "Open connections");
        line(&mut out, format_args!("openshell_router_connections {connections}"));
        head(&mut out, "openshell_router_in_flight", "gauge", "Calls under way");
        line(&mut out, format_args!("openshell_router_in_flight {}", gauges.in_flight));
        let breaker = "openshell_router_breaker_state";
        head(&mut out, breaker, "gauge", "0 closed, 1 half open, 2 open");
        for (backend, state) in &gauges.breakers {
            line(&mut out, format_args!("{breaker}{{backend=\"{}\"}} {state}", Escaped(backend)));
        }
        let unusable = "openshell_router_unusable";
        head(&mut out, unusable, "gauge", "Backends and models that are not asked now, by cause");
        for one in &gauges.out {
            let (backend, model) = (Escaped(&one.backend), one.model.as_deref().unwrap_or("*"));
            let (model, cause) = (Escaped(model), one.cause.as_str());
            line(
                &mut out,
                format_args!(
                    "{unusable}{{backend=\"{backend}\",model=\"{model}\",cause=\"{cause}\"}} 1"
                ),
            );
        }
        out
    }

    fn render_calls(&self, out: &mut String) {
        let calls = self.calls.lock();
        let labelled: Vec<(String, &CallSeries)> =
            calls.iter().map(|(labels, series)| (labels.render(), series)).collect();
        let name = "openshell_router_request_seconds";
        head(out, name, "histogram", "Time from the head of a request to the end of its answer");
        for (labels, series) in &labelled {
            series.duration.render(out, name, labels);
        }
        let name = "openshell_router_first_byte_seconds";
        head(out, name, "histogram", "Time from the head of a request to the first content byte");
        for (labels, series) in &labelled {
            series.first_byte.render(out, name, labels);
        }
        let name = "openshell_router_tokens_total";
        head(out, name, "counter", "Tokens by kind");
        for (labels, series) in &labelled {
            let kinds = [
                ("input", series.input),
                ("cached_input", series.cached),
                ("output", series.output),
            ];
            for (kind, tokens) in kinds {
                line(out, format_args!("{name}{{{labels},kind=\"{kind}\"}} {tokens}"));
            }
        }
        let money: [(&str, &str, CostOf); 2] = [
            ("openshell_router_cost_usd_total", "Money spent", |series| series.cost),
            ("openshell_router_saved_usd_total", "Money that routing saved", |series| series.saved),
        ];
        for (name, help, of) in money {
            head(out, name, "counter", help);
            for (labels, series) in &labelled {
                line(out, format_args!("{name}{{{labels}}} {}", of(series)));
            }
        }
    }

    fn render_attempts(&self, out: &mut String) {
        let name = "openshell_router_attempts_total";
        head(out, name, "counter", "Attempts at backends by outcome");
        for (backend, outcomes) in self.attempts.lock().iter() {
            let backend = Escaped(backend);
            for (outcome, count) in outcomes {
                line(
                    out,
                    format_args!("{name}{{backend=\"{backend}\",outcome=\"{outcome}\"}} {count}"),
                );
            }
        }
    }
}

/// Which of the sums of a series.
type CostOf = fn(&CallSeries) -> Cost;

impl CallLabels {
    fn render(&self) -> String {
        format!(
            "dialect=\"{}\",status=\"{}\",backend=\"{}\",model=\"{}\",zone=\"{}\",sensitivity=\"{}\"",
            self.dialect,
            self.status,
            Escaped(&self.backend),
            Escaped(&self.model),
            self.zone,
            self.sensitivity
        )
    }
}

/// A label value with quotes, backslashes and line ends escaped.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}."));
    line(out, format_args!("# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    if out.write_fmt(text).is_ok() {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Cause;

    fn labels(model: &str) -> CallLabels {
        CallLabels {
            dialect: "openai-chat",
            status: 200,
            backend: "laptop".into(),
            model: model.into(),
            zone: "local",
            sensitivity: "public",
        }
    }

    #[test]
    fn a_call_is_counted_under_its_labels() {
        let metrics = Metrics::default();
        let figures = CallFigures {
            duration: Duration::from_micros(7_500),
            input: 12,
            output: 3,
            cost: Cost(2_500_000_000),
            ..CallFigures::default()
        };
        metrics.call(labels("q\"wen"), &figures);
        metrics.attempt("laptop", "answered");
        let out = Out {
            backend: "laptop".into(),
            model: None,
            cause: Cause::Credential,
            left: Duration::from_mins(1),
        };
        let breakers = vec![("laptop".into(), 2)];
        let text = metrics.render(&Gauges {
            in_flight: 2,
            breakers,
            out: vec![out],
            spans_dropped: 3,
            ..Gauges::default()
        });
        let unusable =
            "openshell_router_unusable{backend=\"laptop\",model=\"*\",cause=\"credential\"} 1\n";
        assert!(text.contains(unusable), "{text}");
        for expected in [
            "openshell_router_request_seconds_bucket{dialect=\"openai-chat\",status=\"200\",backend=\"laptop\",model=\"q\\\"wen\",zone=\"local\",sensitivity=\"public\",le=\"0.005\"} 0\n",
            "sensitivity=\"public\",le=\"0.010\"} 1\n",
            "sensitivity=\"public\"} 0.007500\n",
            "kind=\"input\"} 12\n",
            "openshell_router_cost_usd_total{dialect=\"openai-chat\",status=\"200\",backend=\"laptop\",model=\"q\\\"wen\",zone=\"local\",sensitivity=\"public\"} 0.002500\n",
            "openshell_router_attempts_total{backend=\"laptop\",outcome=\"answered\"} 1\n",
            "openshell_router_in_flight 2\n",
            "openshell_router_spans_dropped_total 3\n",
            "openshell_router_breaker_state{backend=\"laptop\"} 2\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let metrics = Metrics::default();
        for n in 0..SERIES_MAX + 10 {
            metrics.call(labels(&n.to_string()), &CallFigures::default());
        }
        assert_eq!(metrics.calls.lock().len(), SERIES_MAX);
    }
}
