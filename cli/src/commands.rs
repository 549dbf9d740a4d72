//! One file per command group; each takes what was typed and gives an exit code.

mod audit;
mod check;
mod classify;
mod cost;
mod demo;
mod doctor;
mod events;
mod explain;
mod forward;
pub(crate) mod gateway;
mod inference;
mod learn;
mod logs;
mod man;
mod network_events;
mod policy;
mod probe;
pub(crate) mod provider;
mod rule;
mod run;
pub(crate) mod sandbox;

use std::process::ExitCode;

use crate::{
    args::{Cli, Command, DoctorCommand, RouterCommand, route::RouteCommand},
    complete,
    failure::Failure,
    output,
};

/// Runs what was typed.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Sandbox(command) => sandbox::run(command, &cli.choice),
        Command::Gateway(command) => gateway::run(command),
        Command::Status(args) => gateway::status(&args),
        Command::Provider(command) => provider::run(command, &cli.choice),
        Command::Inference(command) => inference::run(command),
        Command::Forward(command) => forward::run(command, &cli.choice),
        Command::Logs(args) => logs::run(&args),
        Command::Supervise(args) => Ok(sandbox::supervise(&args)),
        Command::Router(RouterCommand::Run(args)) => run::run(args),
        Command::Router(RouterCommand::Check(args)) => check::run(&args),
        Command::Route(RouteCommand::Explain(args)) => explain::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Cost(args) => cost::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Policy(command) => policy::run(command, &cli.choice),
        Command::Rule(command) => rule::run(command),
        Command::Learn(args) => learn::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Doctor(DoctorCommand::Check(args)) => doctor::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Completions { shell } => {
            output::bytes(&complete::script(shell)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
