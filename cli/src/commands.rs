//! One file per command group; each takes what was typed and gives an exit code.

mod audit;
mod check;
mod classify;
mod cost;
mod demo;
mod events;
mod explain;
mod forward;
mod gateway;
mod inference;
mod learn;
mod logs;
mod network_events;
mod policy;
mod probe;
mod provider;
mod rule;
mod run;
mod sandbox;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::{
    args::{Cli, Command, RouterCommand, route::RouteCommand},
    failure::Failure,
    output,
};

/// Runs what was typed.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Sandbox(command) => sandbox::run(command),
        Command::Gateway(command) => gateway::run(command),
        Command::Status(args) => gateway::status(&args),
        Command::Provider(command) => provider::run(command),
        Command::Inference(command) => inference::run(command),
        Command::Forward(command) => forward::run(command),
        Command::Logs(args) => logs::run(&args),
        Command::Supervise(args) => Ok(sandbox::supervise(&args)),
        Command::Router(RouterCommand::Run(args)) => run::run(args),
        Command::Router(RouterCommand::Check(args)) => check::run(&args),
        Command::Route(RouteCommand::Explain(args)) => explain::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Cost(args) => cost::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Policy(command) => policy::run(command),
        Command::Rule(command) => rule::run(command),
        Command::Learn(args) => learn::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Completions { shell } => {
            // Into memory first: the generator panics where a reader such as `head` has gone.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "openshell", &mut script);
            output::bytes(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
