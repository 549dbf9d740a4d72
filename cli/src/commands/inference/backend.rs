//! `openshell inference backend …`: one backend more or less, and whether one answers; of a gateway, or of this user.

use std::{process::ExitCode, time::Instant};

use api::inference::{Backend, BackendTest, Backends, ModelPrice, NewBackend, NewModel};
use backends::{
    configuration::{Configuration, CredentialSource},
    file::{self, EditError},
};
use gateway::inference::{alone, made};

use super::{Service, asked_at, file as own, remote::Remote, route, verify};
use crate::{
    args::provider::{InferenceAt, InferenceBackendAddArgs, InferenceBackendCommand, YesArg},
    commands::{provider, sandbox::home},
    failure::Failure,
    output::{self, columns},
};

/// Runs what was typed.
pub(super) fn run(command: InferenceBackendCommand) -> Result<ExitCode, Failure> {
    match command {
        InferenceBackendCommand::Add(args) => add(&args)?,
        InferenceBackendCommand::List(args) => {
            let backends = match asked_at(&args.at)? {
                Some(asked) => Remote::new(&asked, &args.at).backends()?,
                None => listed(&args.at)?,
            };
            output::emit(args.output.output, &backends, table)?;
        }
        InferenceBackendCommand::Remove(args) => {
            if let Some(asked) = asked_at(&args.at)? {
                Remote::new(&asked, &args.at).remove_backend(&args.name, args.yes)?;
            } else {
                let edit = |text: &str| file::remove_backend(text, &args.name);
                change(&args.at, &args.name, edit, None)?;
            }
        }
        InferenceBackendCommand::Test(args) => {
            let test = match asked_at(&args.at)? {
                Some(asked) => Remote::new(&asked, &args.at).test(&args.name)?,
                None => test(&args.at, &args.name)?,
            };
            output::emit(args.output.output, &test, told)?;
            return Ok(if test.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn add(args: &InferenceBackendAddArgs) -> Result<(), Failure> {
    let price = args.price.map(|(input, output)| ModelPrice { input, output });
    let model = |id: &String| NewModel { id: id.clone(), context: None, quality: None, price };
    let new = NewBackend {
        name: args.name.clone(),
        provider: args.kind.clone(),
        base_url: args.base_url.clone(),
        zone: args.zone.clone(),
        credential_of: args.provider.clone(),
        models: args.model.iter().map(model).collect(),
        replace: args.replace,
        base: None,
    };
    put(&new, &args.at, args.yes)
}

/// Adds a backend, or puts it in the place of another one.
pub(super) fn put(new: &NewBackend, at: &InferenceAt, yes: YesArg) -> Result<(), Failure> {
    if let Some(asked) = asked_at(at)? {
        return Remote::new(&asked, at).add_backend(new, yes);
    }
    let home = home()?;
    let service = Service::on(&home, route(at.system));
    let credential = match &new.credential_of {
        None => None,
        Some(name) => {
            let path = service.folder()?.join("credentials");
            std::fs::create_dir_all(&path)?;
            let path = path.join(name);
            if !provider::find(name)?.write_key(&path)? {
                return Err(Failure::new(format!("provider '{name}' has no credential")));
            }
            Some(serde_json::json!({"file": path}))
        }
    };
    let entry = entry(new, credential);
    let edit = |text: &str| match file::add_backend(text, &new.name, &entry) {
        Err(EditError::Exists) if new.replace => file::replace_backend(text, &new.name, &entry),
        other => other,
    };
    let first = format!(
        "version: 1\nbackends:\n  - {entry}\naudit: {{file: {}}}\n",
        made::quoted(&service.at("audit.jsonl").display().to_string())
    );
    change(at, &new.name, edit, Some(&first))
}

/// A backend as a line of a router file.
fn entry(new: &NewBackend, credential: Option<serde_json::Value>) -> String {
    let mut fields = serde_json::to_value(new).unwrap_or_default();
    if let Some(fields) = fields.as_object_mut() {
        for name in ["replace", "base", "credential_of"] {
            fields.shift_remove(name);
        }
        fields.extend(credential.map(|credential| ("credential".to_owned(), credential)));
        for model in
            fields.get_mut("models").and_then(|models| models.as_array_mut()).into_iter().flatten()
        {
            if let Some(model) = model.as_object_mut() {
                model.retain(|_, value| !value.is_null());
            }
        }
        fields.retain(|_, value| !value.is_null());
    }
    fields.to_string()
}

/// Changes the router file of this user and puts it in force; what was there before stays where it does not work.
fn change(
    at: &InferenceAt,
    name: &str,
    edit: impl Fn(&str) -> Result<String, EditError>,
    first: Option<&str>,
) -> Result<(), Failure> {
    let home = home()?;
    let service = Service::on(&home, route(at.system));
    let path = service.file();
    let text = match (std::fs::read_to_string(&path), first) {
        (Ok(text), _) => edit(&text).map_err(|error| refused(error, name))?,
        (Err(error), Some(first)) if error.kind() == std::io::ErrorKind::NotFound => {
            first.to_owned()
        }
        (Err(error), None) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(refused(EditError::Unknown, name));
        }
        (Err(error), _) => return Err(error.into()),
    };
    if let Err(faults) = file::parse(&text) {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(Failure::new(told.join("\n")).hint("docs/router.md describes every field"));
    }
    service.folder()?;
    own::replace(&path, &text, || service.ensure())?;
    output::emit(output::Format::Table, &listed(at)?, table)
}

fn refused(error: EditError, name: &str) -> Failure {
    let failure = Failure::new(format!("backend {name}: {error}"));
    match error {
        EditError::Exists => failure.hint("choose another name, or replace it with --replace"),
        EditError::Unknown => failure.hint("`openshell inference backend list` shows them"),
        EditError::Last => failure.hint("`openshell inference route remove` ends the route"),
        EditError::Form => failure
            .hint("change the file, and put it in force with `openshell inference apply -f FILE`"),
    }
}

/// The backends of this user's router file.
fn listed(at: &InferenceAt) -> Result<Backends, Failure> {
    let home = home()?;
    let path = Service::on(&home, route(at.system)).file();
    let Some(configuration) = configuration(&path)? else {
        return Ok(Backends { items: Vec::new(), version: None });
    };
    let version = own::made(&path)?.filter(|made| !made.edited).map(|made| made.wanted.version);
    Ok(Backends { items: configuration.backends.iter().map(shown).collect(), version })
}

fn configuration(path: &std::path::Path) -> Result<Option<Configuration>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    crate::settings::load(path).map(|(configuration, _)| Some(configuration))
}

fn shown(backend: &backends::configuration::Backend) -> Backend {
    let url = &backend.base_url;
    let scheme = if url.tls { "https" } else { "http" };
    Backend {
        name: backend.name.as_str().to_owned(),
        provider: backend.provider.as_str().to_owned(),
        base_url: format!("{scheme}://{}{}", url.host_header(), url.path),
        zone: backend.zone.as_str().to_owned(),
        credential: backend.credential.as_ref().map(|source| match source {
            CredentialSource::Env(name) => format!("variable {name}"),
            CredentialSource::File(path) => format!("file {path}"),
            CredentialSource::Record(name) => format!("provider {name}"),
        }),
        models: backend.models.iter().map(|model| model.id.as_str().to_owned()).collect(),
        missing: None,
    }
}

/// Makes one real call to a backend of this user's router file.
fn test(at: &InferenceAt, name: &str) -> Result<BackendTest, Failure> {
    let home = home()?;
    let service = Service::on(&home, route(at.system));
    let unknown = || refused(EditError::Unknown, name);
    let configuration = configuration(&service.file())?.ok_or_else(unknown)?;
    let text = std::fs::read_to_string(service.file())?;
    let backend = configuration.backends.iter().find(|one| one.name.as_str() == name);
    let model = backend.and_then(|backend| backend.models.first()).ok_or_else(unknown)?;
    let model = format!("{name}/{}", model.id.as_str());
    let alone = alone(&text, &configuration, name);
    let started = Instant::now();
    let tried = verify::call(service, &alone, Some(&model), configuration.timeouts.answer);
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(match tried {
        Ok(by) if by.starts_with(&format!("{name}/")) => {
            BackendTest { ok: true, detail: by, took_ms }
        }
        Ok(by) => {
            let detail = format!("it did not answer; {by} did in its place");
            BackendTest { ok: false, detail, took_ms }
        }
        Err(why) => BackendTest { ok: false, detail: why.message(), took_ms },
    })
}

fn table(backends: &Backends) -> String {
    if backends.items.is_empty() {
        return "No backends. Add one with: openshell inference backend add".to_owned();
    }
    let row = |one: &Backend| {
        vec![
            one.name.clone(),
            one.provider.clone(),
            one.zone.clone(),
            one.base_url.clone(),
            one.models.join(", "),
            one.credential.clone().unwrap_or_else(|| "-".to_owned()),
            one.missing.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = backends.items.iter().map(row).collect();
    columns(&["NAME", "TYPE", "ZONE", "URL", "MODELS", "CREDENTIAL", "MISSING"], &rows)
}

fn told(test: &BackendTest) -> String {
    let mark = if test.ok { "✓ answered:" } else { "✗ does not answer:" };
    format!("{mark} {} in {} ms", test.detail, test.took_ms)
}
