//! Where spans go: the collector that a flag or the standard variables name, and the client that reaches it.
//!
//! `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` are read by the SDK itself. Neither
//! proxies nor redirects are followed, as with backends. Invariant: the address of a collector is never logged.

use std::time::Duration;

use http::Uri;
use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry::{Key, KeyValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, trace::SpanExporter as _};

use super::SpanOptions;
use crate::credentials::Environment;

/// Where collectors listen for OTLP over HTTP when nobody says otherwise.
const ENDPOINT_DEFAULT: &str = "http://localhost:4318";

/// What is added to a base URL (OTLP specification, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";

/// Longest time of one export, its retries included; the default of the SDKs.
const EXPORT_MAX: Duration = Duration::from_secs(10);

/// The name of this service when the environment gives none.
const SERVICE: &str = "openshell-router";

/// Why there is no collector to send spans to.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// It is no address, or of a form that is not taken.
    #[error("the address of the collector is no http:// or https:// URL without user and password")]
    Endpoint,
    /// The system trusts nobody.
    #[error("the system has no certificate authorities to verify the collector with")]
    Authorities(#[source] std::io::Error),
    /// The SDK refuses the settings.
    #[error("the exporter of spans cannot be set up")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// The exporter for these options. Connects to nothing yet.
pub(super) fn exporter(
    options: &SpanOptions,
    environment: &Environment,
) -> Result<SpanExporter, CollectorError> {
    let endpoint = endpoint(options, environment)?;
    let builder = SpanExporter::builder().with_http();
    let builder = if endpoint.scheme_str() == Some("https") {
        let tls = HttpsConnectorBuilder::new().with_native_roots();
        let tls = tls.map_err(CollectorError::Authorities)?.https_only().enable_http1().build();
        builder.with_http_client(HyperClient::new(tls, EXPORT_MAX, None))
    } else {
        builder.with_http_client(HyperClient::with_default_connector(EXPORT_MAX, None))
    };
    let builder = builder.with_endpoint(endpoint.to_string()).with_timeout(EXPORT_MAX);
    let mut exporter = builder.build().map_err(CollectorError::Exporter)?;
    exporter.set_resource(&resource());
    Ok(exporter)
}

/// The whole address: the flag, the variable for spans (which is taken as it is), the variable for all signals, the
/// default.
fn endpoint(options: &SpanOptions, environment: &Environment) -> Result<Uri, CollectorError> {
    let set = |name: &str| environment.get(name).filter(|value| !value.trim().is_empty());
    let whole = || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let base = || set("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or_else(|| ENDPOINT_DEFAULT.to_owned());
    let text = match &options.endpoint {
        Some(base) => with_path(base),
        None => whole().unwrap_or_else(|| with_path(&base())),
    };
    let uri: Uri = text.trim().parse().map_err(|_| CollectorError::Endpoint)?;
    let http = matches!(uri.scheme_str(), Some("http" | "https"));
    let named = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if http && named { Ok(uri) } else { Err(CollectorError::Endpoint) }
}

fn with_path(base: &str) -> String {
    let base = base.trim().trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
}

/// Who we are: what the environment says, with a name of ours where it names nobody.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let named = Resource::builder().with_attribute(version.clone()).build();
    let unknown = named
        .get(&Key::from_static_str("service.name"))
        .is_none_or(|name| name.as_str().starts_with("unknown_service"));
    if !unknown {
        return named;
    }
    Resource::builder().with_service_name(SERVICE).with_attribute(version).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(flag: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let environment = Environment::new(move |wanted| {
            variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        });
        let options = SpanOptions { endpoint: flag.map(str::to_owned) };
        endpoint(&options, &environment).ok().map(|uri| uri.to_string())
    }

    #[test]
    fn the_flag_goes_before_the_variables_and_these_before_the_default() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/");
        let spans = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://spans/as/it/is");
        for (flag, variables, expected) in [
            (None, vec![], "http://localhost:4318/v1/traces"),
            (None, vec![all], "http://all:4318/v1/traces"),
            (None, vec![all, spans], "https://spans/as/it/is"),
            (Some("http://flag"), vec![all, spans], "http://flag/v1/traces"),
            (Some("http://flag/v1/traces"), vec![], "http://flag/v1/traces"),
            (None, vec![("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], "http://localhost:4318/v1/traces"),
        ] {
            assert_eq!(resolved(flag, &variables).as_deref(), Some(expected), "{flag:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for flag in
            ["localhost:4318", "grpc://host:4317", "http://me:secret@host", "http://", "/x", ""]
        {
            assert_eq!(resolved(Some(flag), &[]), None, "{flag}");
        }
    }
}
