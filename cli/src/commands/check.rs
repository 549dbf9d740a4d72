//! `openshell router check`: everything that is wrong with a router file, and what it makes of the models.

use std::process::ExitCode;

use backends::file::Fault;
use serde::Serialize;

use crate::{
    args::CheckArgs,
    failure::Failure,
    output::{self, Format, columns},
    settings,
};

/// What a file says, or what is wrong with it.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    sound: bool,
    faults: Vec<FaultLine>,
    warnings: Vec<String>,
    models: Vec<ModelLine>,
}

#[derive(Debug, Serialize)]
struct FaultLine {
    line: usize,
    column: usize,
    path: String,
    message: String,
    help: Option<String>,
}

#[derive(Debug, Serialize)]
struct ModelLine {
    backend: String,
    model: String,
    zone: &'static str,
    quality: u8,
    context: Option<u64>,
    input_usd_per_million: Option<f64>,
    cached_input_usd_per_million: Option<f64>,
    output_usd_per_million: Option<f64>,
}

/// Checks the file; faults are a failure.
pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    if args.output != Format::Table
        && let Err(faults) = backends::file::parse(&settings::text(&args.file)?)
    {
        output::emit(args.output, &faulty(args, faults), |_| String::new())?;
        return Ok(ExitCode::FAILURE);
    }
    let (configuration, notices) = settings::load(&args.file)?;
    // Terms are compiled by the engine; a file whose terms do not compile cannot run.
    settings::engine(&configuration)?;
    let models = configuration.settings.candidates.iter().map(|candidate| ModelLine {
        backend: candidate.backend.to_string(),
        model: candidate.model.to_string(),
        zone: candidate.zone.as_str(),
        quality: candidate.quality,
        context: candidate.context.map(|tokens| tokens.0),
        input_usd_per_million: candidate.prices.map(|prices| prices.input.usd_per_million()),
        cached_input_usd_per_million: candidate
            .prices
            .map(|prices| prices.cached_input.usd_per_million()),
        output_usd_per_million: candidate.prices.map(|prices| prices.output.usd_per_million()),
    });
    let report = Report {
        file: args.file.display().to_string(),
        sound: true,
        faults: Vec::new(),
        warnings: notices.iter().map(ToString::to_string).collect(),
        models: models.collect(),
    };
    output::emit(args.output, &report, table)?;
    Ok(ExitCode::SUCCESS)
}

fn faulty(args: &CheckArgs, faults: Vec<Fault>) -> Report {
    let line = |fault: Fault| FaultLine {
        line: fault.line,
        column: fault.column,
        path: fault.path,
        message: fault.message,
        help: fault.help,
    };
    Report {
        file: args.file.display().to_string(),
        sound: false,
        faults: faults.into_iter().map(line).collect(),
        warnings: Vec::new(),
        models: Vec::new(),
    }
}

fn table(report: &Report) -> String {
    let usd = |price: Option<f64>| price.map_or("?".to_owned(), |price| format!("{price}"));
    let rows: Vec<Vec<String>> = report
        .models
        .iter()
        .map(|model| {
            vec![
                model.backend.clone(),
                model.model.clone(),
                model.zone.to_owned(),
                model.quality.to_string(),
                model.context.map_or("?".to_owned(), |tokens| tokens.to_string()),
                usd(model.input_usd_per_million),
                usd(model.cached_input_usd_per_million),
                usd(model.output_usd_per_million),
            ]
        })
        .collect();
    let head =
        ["BACKEND", "MODEL", "ZONE", "QUALITY", "CONTEXT", "IN $/M", "CACHED $/M", "OUT $/M"];
    let mut parts = vec![columns(&head, &rows)];
    parts.extend(report.warnings.iter().map(|text| format!("warning: {}:{text}", report.file)));
    parts.push(format!("{} is sound", report.file));
    parts.join("\n")
}
