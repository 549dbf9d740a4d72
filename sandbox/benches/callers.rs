//! What it costs a connection that its caller is known: inside `connect()`, when it is accepted, and from `connect()` to the
//! first byte of an answer.
//!
//! Two sandboxes side by side, one with known callers and one without, take turns in rounds, so that a noisy machine is noisy
//! for both. Not criterion: a sandbox must be made by a process with one thread. The agent is this program itself, with a
//! shell above it. `cargo bench -p sandbox --bench callers -- [ROUNDS]`

use std::{
    env,
    error::Error,
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use proxy::egress::{Connection, Identify as _};
use sandbox::{CallerCheck, Callers, PROXY_PORT, Sandbox, Sockets, Spec, Stdio};

const ROUNDS: usize = 40;
/// Connections in a round; the first has all caches cold and is not counted.
const CONNECTIONS: usize = 100;
const DIAL: &str = "dial";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let outcome = if words.first().is_some_and(|word| word == DIAL) {
        dial()
    } else if words.iter().any(|word| word == "--bench") {
        measure(words.iter().find_map(|word| word.parse().ok()).unwrap_or(ROUNDS))
    } else {
        // Built and started as one of the tests, where nothing is measured.
        Ok(())
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "{error}: {:?}", error.source()));
            ExitCode::FAILURE
        }
    }
}

/// The agent: connects again and again, and writes how many nanoseconds `connect()` and the first byte took.
fn dial() -> Outcome<()> {
    let mut text = String::new();
    for _ in 0..CONNECTIONS {
        let began = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", PROXY_PORT))?;
        let connected = began.elapsed();
        stream.read_exact(&mut [0])?;
        writeln!(text, "{} {}", connected.as_nanos(), began.elapsed().as_nanos())?;
    }
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// A sandbox, and what was measured in it, in nanoseconds.
struct Side {
    sandbox: Sandbox,
    sockets: Sockets,
    callers: Option<Callers>,
    connect: Vec<u64>,
    identify: Vec<u64>,
    answer: Vec<u64>,
}

impl Side {
    fn new(callers: CallerCheck) -> Outcome<Self> {
        let spec = Spec { read_only: vec![env::current_exe()?], callers, ..Spec::default() };
        let mut sandbox = Sandbox::start(&spec)?;
        let sockets = sandbox.take_sockets().ok_or("no sockets")?;
        let (callers, connect, identify, answer) = (None, Vec::new(), Vec::new(), Vec::new());
        Ok(Self { sandbox, sockets, callers, connect, identify, answer })
    }

    /// Starts a thread, so it comes after every sandbox.
    fn watch(&mut self, check: CallerCheck) -> Outcome<()> {
        let watch = Some(self.sandbox.take_watch().ok_or("no watch")?);
        let diagnosis = self.sockets.diagnosis.try_clone()?;
        self.callers = Some(Callers::new(diagnosis, watch, self.sandbox.process(), check)?);
        Ok(())
    }

    fn round(&mut self) -> Outcome<()> {
        let agent = env::current_exe()?;
        let command = format!("{} {DIAL}; true", agent.display());
        let program = self.sandbox.program(["/bin/sh", "-c", &command].map(Into::into).to_vec());
        let (mut out, into) = io::pipe()?;
        let null = std::fs::File::open("/dev/null")?;
        let stdio = Stdio::Descriptors([null.as_fd(), into.as_fd(), null.as_fd()]);
        self.sandbox.run(program, stdio)?;
        drop(into);
        let (proxy, callers) = (&self.sockets.proxy, self.callers.as_ref());
        let taken = thread::scope(|scope| {
            scope
                .spawn(move || answer(proxy, callers))
                .join()
                .map_err(|_| "the other end broke off")?
        })?;
        let mut text = String::new();
        out.read_to_string(&mut text)?;
        self.sandbox.next_ending()?;
        self.identify.extend(taken.iter().skip(1));
        for line in text.lines().skip(1) {
            let (connect, answer) = line.split_once(' ').ok_or("two numbers")?;
            self.connect.push(connect.parse()?);
            self.answer.push(answer.parse()?);
        }
        Ok(())
    }
}

/// The other end: accepts, asks who it is, answers with a byte. Gives how long asking took.
fn answer(proxy: &TcpListener, callers: Option<&Callers>) -> Outcome<Vec<u64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut taken = Vec::new();
    for _ in 0..CONNECTIONS {
        let (mut stream, from) = proxy.accept()?;
        let to = stream.local_addr()?;
        if let Some(callers) = callers {
            let began = Instant::now();
            runtime.block_on(callers.identify(&Connection { from, to }))?;
            taken.push(nanoseconds(began.elapsed()));
        }
        stream.write_all(b"!")?;
    }
    Ok(taken)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn measure(rounds: usize) -> Outcome<()> {
    let checks = [CallerCheck::Off, CallerCheck::Executable, CallerCheck::Code];
    let mut sides = checks.into_iter().map(Side::new).collect::<Outcome<Vec<_>>>()?;
    for (side, check) in sides.iter_mut().zip(checks).skip(1) {
        side.watch(check)?;
    }
    for _ in 0..rounds {
        sides.iter_mut().try_for_each(Side::round)?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{rounds} rounds of {CONNECTIONS}, microseconds: p10 / median / p90")?;
    for (side, name) in sides.iter_mut().zip(["nobody asked", "executable", "code (strict)"]) {
        for (what, times) in [
            ("connect()", &mut side.connect),
            ("identify()", &mut side.identify),
            ("connect() to first byte", &mut side.answer),
        ] {
            times.sort_unstable();
            let at = |percent: usize| {
                let time = times.get(times.len() * percent / 100).copied().unwrap_or_default();
                Duration::from_nanos(time).as_secs_f64() * 1e6
            };
            if !times.is_empty() {
                writeln!(out, "{name:15} {what:25} {:7.1} {:7.1} {:7.1}", at(10), at(50), at(90))?;
            }
        }
    }
    Ok(())
}
