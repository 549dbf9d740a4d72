//! The section `backends`: one entry per place that answers requests.

use std::collections::HashSet;

use document::{Report, Spot, Table, shown};
use domain::{BackendName, Zone};
use router::{candidate::Candidate, wire::Dialect};

use super::{
    model::{self, Home},
    scalar,
};
use crate::{
    configuration::{Backend, BaseUrl, CredentialSource},
    headers,
    provider::{DIALECTS, NOT_YET, Placement, Provider, dialect_word, subset},
    translate::LateSystem,
};

const FIELDS: &[&str] = &[
    "name",
    "provider",
    "base_url",
    "credential",
    "zone",
    "models",
    "dialects",
    "api_version",
    "headers",
    "tls",
    "late_system",
];

/// Most backends of one file.
const BACKENDS_MAX: usize = 256;

/// Most models of all backends together: each request looks at all of them.
const CANDIDATES_MAX: usize = 2048;

/// Hosts of services that are no compute of the operator's own, so that `zone: local` is a mistake there.
const CLOUDS: [&str; 8] = [
    "openai.com",
    "anthropic.com",
    "openrouter.ai",
    "api.nvidia.com",
    "openai.azure.com",
    "azure.com",
    "googleapis.com",
    "amazonaws.com",
];

/// The sound backends, each with the candidates of its models.
pub(super) fn read(table: &Table<'_>, report: &mut Report) -> Vec<(Backend, Vec<Candidate>)> {
    let help = "add at least one, as {name: openai, provider: openai, zone: public, models: [{id: gpt-5}]}";
    let Some(section) = table.need("backends", help, report) else {
        return Vec::new();
    };
    let spots = section.list(report);
    if spots.is_empty() && report.is_sound() {
        section.fault(report, "there is no backend", Some(help));
    }
    if spots.len() > BACKENDS_MAX {
        section.fault(report, format!("at most {BACKENDS_MAX} backends are possible"), None);
    }
    let mut names = HashSet::new();
    let mut backends = Vec::new();
    let mut models = 0_usize;
    for spot in spots.iter().take(BACKENDS_MAX) {
        let Some(table) = spot.table(FIELDS, report) else { continue };
        let Some((backend, candidates)) = backend(&table, report) else { continue };
        models = models.saturating_add(candidates.len());
        if models > CANDIDATES_MAX {
            let message = format!("at most {CANDIDATES_MAX} models are possible in all backends");
            report.fault(spot.mark(), &spot.path, message, None);
            break;
        }
        if !names.insert(backend.name.clone()) {
            let message = format!("the name `{}` is taken by another backend", backend.name);
            report.fault(spot.mark(), &spot.path, message, Some("give each backend its own name"));
        }
        backends.push((backend, candidates));
    }
    backends
}

/// One backend. Everything is read before anything is given up, so that all faults are found.
fn backend(table: &Table<'_>, report: &mut Report) -> Option<(Backend, Vec<Candidate>)> {
    let name = table.need("name", "give it a short name, as `name: laptop`", report);
    let name = name.and_then(|spot| spot.parsed::<BackendName>(report));
    let provider = provider(table, report);
    let base_url = base_url(table, provider, report);
    let zone = zone(table, provider, base_url.as_ref(), report);
    let credential = table.take("credential").and_then(|spot| credential(&spot, report));
    if zone == Some(Zone::Public) && table.take("credential").is_none() {
        report.notice(table.mark, &table.path, "this backend is public but has no credential");
    }
    let dialects = dialects(table, report);
    let api_version = api_version(table, provider, report);
    let headers = fixed_headers(table, report);
    let ca_file = ca_file(table, report);
    let late_system = late_system(table, report);
    let home = Home { name: name.as_ref(), provider, zone, dialects };
    let (models, candidates) = model::read(table, &home, report);
    let provider = provider?;
    let placement = match credential {
        Some(_) => provider.placement(),
        None => Placement::None,
    };
    let backend = Backend {
        name: name?,
        provider,
        base_url: base_url?,
        zone: zone?,
        credential,
        placement,
        models,
        api_version,
        headers,
        ca_file,
        late_system,
    };
    Some((backend, candidates))
}

fn provider(table: &Table<'_>, report: &mut Report) -> Option<Provider> {
    let words = Provider::ALL.map(|provider| (provider.as_str(), provider));
    let names = words.map(|(word, _)| word).join(", ");
    let spot = table.need("provider", &format!("one of {names}"), report)?;
    let text = spot.text(report)?;
    if let Some((name, instead)) = NOT_YET.into_iter().find(|(name, _)| *name == text) {
        let message = format!("`{name}` is not yet supported by this version");
        spot.fault(report, message, Some(instead));
        return None;
    }
    spot.word(&words, report)
}

fn base_url(table: &Table<'_>, provider: Option<Provider>, report: &mut Report) -> Option<BaseUrl> {
    let Some(spot) = table.take("base_url") else {
        let default = provider?.base_url();
        if default.is_none() {
            let help = "this provider has no address of its own, as `base_url: https://host/v1`";
            report.fault(table.mark, &table.path, "`base_url` is missing", Some(help));
        }
        return default.and_then(|url| scalar::base_url(url).ok());
    };
    let text = spot.text(report)?;
    if text.contains("${") {
        spot.fault(report, "variables are not expanded in this file", Some("write the address"));
        return None;
    }
    let url = match scalar::base_url(text) {
        Ok(url) => url,
        Err(wrong) => {
            spot.fault(report, wrong, Some("write it as https://host:port/path"));
            return None;
        }
    };
    if !url.tls && !url.is_loopback() {
        spot.notice(
            report,
            "http:// to another machine: prompts and credentials travel unencrypted",
        );
    }
    Some(url)
}

/// The zone. It must be said, except for local servers on this very machine.
fn zone(
    table: &Table<'_>,
    provider: Option<Provider>,
    url: Option<&BaseUrl>,
    report: &mut Report,
) -> Option<Zone> {
    let Some(spot) = table.take("zone") else {
        let (provider, url) = (provider?, url?);
        if provider.zone_hint() == Zone::Local && url.is_loopback() {
            return Some(Zone::Local);
        }
        let help = format!(
            "say who can see what is sent there: local (your own machines), private (an operator you trust), \
             public (any other); likely `zone: {}`",
            provider.zone_hint()
        );
        report.fault(table.mark, &table.path, "`zone` is missing", Some(&help));
        return None;
    };
    let zone = spot.word(&Zone::ALL.map(|zone| (zone.as_str(), zone)), report)?;
    let host = url.map_or("", |url| url.host.as_str());
    let within = |cloud: &str| {
        host.strip_suffix(cloud).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if zone == Zone::Local && CLOUDS.iter().any(|cloud| within(cloud)) {
        let message = format!("{host} is a cloud service, not local compute");
        spot.fault(report, message, Some("use `private` if you trust its operator, else `public`"));
        return None;
    }
    Some(zone)
}

/// Where the credential is kept. Its text is never repeated: someone may have written the secret itself.
fn credential(spot: &Spot<'_>, report: &mut Report) -> Option<CredentialSource> {
    let help = "write {env: NAME}, {file: PATH} or {provider: RECORD}";
    if spot.is_scalar() {
        let message = "a credential is named here, never written into this file";
        spot.fault(report, message, Some(help));
        return None;
    }
    let table = spot.table(&["env", "file", "provider"], report)?;
    let mut sources = Vec::new();
    if let Some(name) = table.take("env") {
        let text = name.text(report)?;
        if !is_variable(text) {
            name.fault(report, "this is no name of an environment variable", Some(help));
            return None;
        }
        sources.push(CredentialSource::Env(text.to_owned()));
    }
    if let Some(path) = table.take("file") {
        sources.push(CredentialSource::File(path.text(report)?.to_owned()));
    }
    if let Some(record) = table.take("provider") {
        sources.push(CredentialSource::Record(record.text(report)?.to_owned()));
    }
    if sources.len() == 1 {
        return sources.pop();
    }
    spot.fault(report, "exactly one source is needed", Some(help));
    None
}

/// Letters, digits and `_`, no digit in front, 128 at most (POSIX names, with a bound).
fn is_variable(text: &str) -> bool {
    text.len() <= 128
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn dialects(table: &Table<'_>, report: &mut Report) -> Option<&'static [Dialect]> {
    let spot = table.take("dialects")?;
    let words = DIALECTS.map(|dialect| (dialect_word(dialect), dialect));
    let mut chosen = Vec::new();
    for item in spot.list(report).iter().take(DIALECTS.len()) {
        chosen.extend(item.word(&words, report));
    }
    if chosen.is_empty() {
        spot.fault(report, "at least one dialect is needed", None);
        return None;
    }
    Some(subset(|dialect| chosen.contains(&dialect)))
}

fn api_version(
    table: &Table<'_>,
    provider: Option<Provider>,
    report: &mut Report,
) -> Option<String> {
    let spot = table.take("api_version")?;
    if provider.is_some_and(|provider| provider != Provider::AzureOpenAi) {
        spot.fault(report, "only the provider `azure-openai` has API versions", Some("remove it"));
    }
    let text = spot.text(report)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if text.len() > 40 || !text.bytes().all(fits) {
        spot.fault(report, "this is no API version", Some("as `api_version: 2024-10-21`"));
        return None;
    }
    Some(text.to_owned())
}

fn fixed_headers(table: &Table<'_>, report: &mut Report) -> Vec<(String, String)> {
    let Some(section) = table.take("headers") else {
        return Vec::new();
    };
    let mut fixed = Vec::new();
    for (key, spot) in section.entries(report) {
        let name = key.text.to_ascii_lowercase();
        if !headers::is_name(&name) {
            report.fault(key.mark, &spot.path, "this is no header name", None);
        } else if headers::reserved(&name) {
            let message = format!("`{}` is set by the router itself", shown(&name));
            let help = "a credential belongs under `credential`; remove this header";
            report.fault(key.mark, &spot.path, message, Some(help));
        } else if let Some(value) = spot.text(report) {
            if value.len() > 1024 || !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
                spot.fault(report, "a header value is visible ASCII, at most 1024 bytes", None);
            }
            fixed.push((name, value.to_owned()));
        }
    }
    fixed
}

fn late_system(table: &Table<'_>, report: &mut Report) -> Option<LateSystem> {
    let words =
        [("user", LateSystem::AsUser), ("keep", LateSystem::InPlace), ("start", LateSystem::Hoist)];
    table.take("late_system")?.word(&words, report)
}

fn ca_file(table: &Table<'_>, report: &mut Report) -> Option<String> {
    let tls = table.take("tls")?.table(&["ca_file"], report)?;
    tls.take("ca_file")?.text(report).map(str::to_owned)
}
