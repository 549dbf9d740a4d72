//! How long a sandbox takes: from spawn to the agent's first instruction, a program into a running one, delete; by the
//! library, and with a supervisor of its own.
//!
//! Not criterion: a sandbox must be made by a process with one thread, and each sample is a whole life. Prints median, tenth
//! and ninetieth percentile. The agent is this program itself, which answers with one byte as its first act.
//! `cargo bench -p sandbox -- [SAMPLES]`

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{self, BufRead as _, Read as _, Write as _},
    os::fd::AsFd as _,
    path::Path,
    process::{Child, Command, ExitCode},
    time::{Duration, Instant},
};

use sandbox::{
    Sandbox, Spec, Stdio,
    control::{
        Request,
        client::{Said, Supervisor},
    },
    policies::Policies,
    pool::Pool,
    state::{Folder, Home, Record},
};

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
    let supervised = supervised(&agent, samples)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{samples} samples, milliseconds: p10 / median / p90")?;
    for (name, mut taken) in [
        ("plain fork and exec of the agent", plain),
        ("library: start to first instruction", start),
        ("library: program into a running sandbox", second),
        ("library: delete", delete),
        ("openshell-sandbox run to first instruction", whole),
        ("supervisor: create to first byte", supervised.create),
        ("supervisor: exec to first byte", supervised.exec),
        ("supervisor: delete", supervised.delete),
        ("supervisor: taken from the pool to first byte", supervised.taken),
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

/// What a sandbox with a supervisor of its own takes.
#[derive(Default)]
struct Supervised {
    create: Vec<Duration>,
    exec: Vec<Duration>,
    delete: Vec<Duration>,
    taken: Vec<Duration>,
}

/// As `openshell sandbox create`, `exec` and `delete` do it, with a policy, a proxy and an authority: the folder, a process of
/// its own, the socket.
fn supervised(agent: &Path, samples: usize) -> Result<Supervised, Box<dyn Error>> {
    let home = tempfile::tempdir()?;
    let pool = Pool::of(&Home::new(home.path()));
    let folder = Home::new(home.path()).sandbox("measured");
    let name = agent.display().to_string();
    let command = vec![name.clone(), FIRST.to_owned()];
    let policy = format!("version: 1\nfilesystem_policy: {{read_only: [{name}]}}\n");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut taken = Supervised::default();
    for _ in 0..samples {
        let began = Instant::now();
        let record =
            Record { name: "measured".to_owned(), command: command.clone(), ..Record::default() };
        folder.create(&record)?;
        Policies::open(&folder)?.set(&policy)?;
        let mut child = stands(&folder, "")?;
        let supervisor = Supervisor::of(&folder);
        let launch = Request::Launch { attach: true, once: false, terminal: None };
        runtime.block_on(first_said(&supervisor, &launch))?;
        taken.create.push(began.elapsed());

        let began = Instant::now();
        let exec = Request::Exec {
            command: command.clone(),
            environment: BTreeMap::new(),
            folder: None,
            terminal: None,
        };
        runtime.block_on(first_said(&supervisor, &exec))?;
        taken.exec.push(began.elapsed());

        let began = Instant::now();
        runtime.block_on(supervisor.stop(0))?;
        folder.remove()?;
        taken.delete.push(began.elapsed());
        child.wait()?;

        let prepared = pool.add("prepared", &policy)?;
        let mut child = stands(&prepared, "--prepared")?;
        let began = Instant::now();
        pool.take(&record, &policy, &folder)?.ok_or("none was taken")?;
        let adopt = Request::Adopt { folder: folder.path().to_owned() };
        runtime.block_on(supervisor.ask(&adopt))?;
        runtime.block_on(first_said(&supervisor, &launch))?;
        taken.taken.push(began.elapsed());
        runtime.block_on(supervisor.stop(0))?;
        folder.remove()?;
        child.wait()?;
    }
    Ok(taken)
}

/// Starts a supervisor and waits until its sandbox stands.
fn stands(folder: &Folder, flag: &str) -> Result<Child, Box<dyn Error>> {
    let mut start = Command::new(env!("CARGO_BIN_EXE_openshell-sandbox"));
    start.arg("supervise").arg("--folder").arg(folder.path());
    start.args(Some(flag).filter(|flag| !flag.is_empty()));
    let mut child = start.stdout(std::process::Stdio::piped()).spawn()?;
    io::BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut String::new())?;
    Ok(child)
}

async fn first_said(supervisor: &Supervisor, request: &Request) -> Result<(), Box<dyn Error>> {
    let mut conversation = supervisor.open(request).await?;
    match conversation.listener.next().await? {
        Said::Output(_) => Ok(()),
        other => Err(format!("it said {other:?}").into()),
    }
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
