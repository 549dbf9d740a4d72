//! How long a sandbox takes: from spawn to the agent's first instruction, a program into a running one, delete.
//!
//! Not criterion: a sandbox must be made by a process with one thread, and each sample is a whole life. Prints median, tenth
//! and ninetieth percentile. The agent is this program itself, which answers with one byte as its first act.
//! `cargo bench -p sandbox -- [SAMPLES]`

use std::{
    env,
    error::Error,
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use sandbox::{Sandbox, Spec, Stdio};

const SAMPLES: usize = 200;
const FIRST: &str = "first-instruction";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == FIRST) {
        return ExitCode::from(u8::from(io::stdout().write_all(b"!").is_err()));
    }
    if !words.iter().any(|word| word == "--bench") {
        // Built and started as one of the tests, where nothing is measured.
        return ExitCode::SUCCESS;
    }
    let samples = words.iter().find_map(|word| word.parse().ok()).unwrap_or(SAMPLES);
    match measure(samples) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "{error}: {:?}", error.source()));
            ExitCode::FAILURE
        }
    }
}

fn measure(samples: usize) -> Result<(), Box<dyn Error>> {
    let agent = env::current_exe()?;
    let spec = Spec { read_only: vec![agent.clone()], ..Spec::default() };
    let file = tempfile::NamedTempFile::new()?;
    let json = serde_json::json!({"read_only": [agent]});
    std::fs::write(file.path(), json.to_string())?;
    let command = || vec![agent.clone().into_os_string(), FIRST.into()];

    let mut plain = Vec::new();
    let mut start = Vec::new();
    let mut second = Vec::new();
    let mut delete = Vec::new();
    let mut whole = Vec::new();
    for _ in 0..samples {
        let began = Instant::now();
        Command::new(&agent).arg(FIRST).output()?;
        plain.push(began.elapsed());

        let began = Instant::now();
        let mut sandbox = Sandbox::start(&spec)?;
        first_byte(&mut sandbox, command())?;
        start.push(began.elapsed());

        let began = Instant::now();
        first_byte(&mut sandbox, command())?;
        second.push(began.elapsed());

        let began = Instant::now();
        drop(sandbox);
        delete.push(began.elapsed());

        let began = Instant::now();
        let mut run = Command::new(env!("CARGO_BIN_EXE_openshell-sandbox"));
        run.arg("run").arg("--spec").arg(file.path()).arg("--").args(command());
        let mut child = run.stdout(std::process::Stdio::piped()).spawn()?;
        child.stdout.take().ok_or("no output")?.read_exact(&mut [0])?;
        whole.push(began.elapsed());
        child.wait()?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{samples} samples, milliseconds: p10 / median / p90")?;
    for (name, mut taken) in [
        ("plain fork and exec of the agent", plain),
        ("library: start to first instruction", start),
        ("library: program into a running sandbox", second),
        ("library: delete", delete),
        ("openshell-sandbox run to first instruction", whole),
    ] {
        taken.sort_unstable();
        let at = |percent: usize| {
            taken
                .get(taken.len() * percent / 100)
                .map_or(0.0, |time: &Duration| time.as_secs_f64() * 1e3)
        };
        writeln!(out, "{name:45} {:7.2} {:7.2} {:7.2}", at(10), at(50), at(90))?;
    }
    Ok(())
}

/// Runs the agent and waits for its byte.
fn first_byte(
    sandbox: &mut Sandbox,
    command: Vec<std::ffi::OsString>,
) -> Result<(), Box<dyn Error>> {
    let program = sandbox.program(command);
    let (mut out, into) = io::pipe()?;
    let null = std::fs::File::open("/dev/null")?;
    sandbox.run(program, Stdio::Descriptors([null.as_fd(), into.as_fd(), null.as_fd()]))?;
    drop(into);
    out.read_exact(&mut [0])?;
    Ok(())
}
