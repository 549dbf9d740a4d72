//! `openshell probe`: one HTTP request as programs in a sandbox make them, and what came of it as JSON. For the demonstration,
//! on machines that have no other program for it.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use reqwest::{Client, Method};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;

use super::sandbox::block_on;
use crate::{args::ProbeArgs, failure::Failure, output};

/// How long it may take.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Makes the request. That it fails is a result like any other.
pub(crate) fn run(args: &ProbeArgs) -> Result<ExitCode, Failure> {
    let told = block_on(async {
        Ok(match send(args).await {
            Ok(told) => told,
            Err(failure) => json!({"status": 0, "body": failure.to_string(), "route": ""}),
        })
    })?;
    output::line(&told.to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn send(args: &ProbeArgs) -> Result<serde_json::Value, Failure> {
    let mut client = Client::builder().timeout(TIME_MAX).use_preconfigured_tls(tls()?);
    if args.direct {
        client = client.no_proxy();
    }
    let method: Method = args.method.parse().context("no method of HTTP")?;
    let mut request = client.build()?.request(method, &args.url);
    if let Some(body) = &args.body {
        request = request.header("content-type", "application/json").body(body.clone());
    }
    let response = request.send().await?;
    let route = response.headers().get("x-openshell-route").and_then(|value| value.to_str().ok());
    let (status, route) = (response.status().as_u16(), route.unwrap_or_default().to_owned());
    Ok(json!({"status": status, "route": route, "body": response.text().await?}))
}

/// Trusts the authority of the sandbox and nobody else.
fn tls() -> Result<rustls::ClientConfig, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    if let Ok(pem) = std::fs::read(sandbox::CA) {
        roots.add(CertificateDer::from_pem_slice(&pem).context("the authority of the sandbox")?)?;
    }
    trusting(roots)
}

/// TLS that believes whom these authorities vouch for.
pub(crate) fn trusting(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(config.with_no_client_auth())
}
