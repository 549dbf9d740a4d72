//! A program with its streams: read all the time, told to whoever is attached, kept a little for who comes later.

use std::{collections::VecDeque, io, os::fd::OwnedFd, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::Signal,
};
use tokio::{
    io::Interest,
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    descriptor::Descriptor,
    keeper::{Keeper, Order, Running},
};
use crate::{
    ProgramId, Size, StartError, Step, Transfer,
    control::{Screen, frame::Kind},
    error::At,
};

/// How much is read at once, bytes.
const PIECE_BYTES: usize = 16 << 10;
/// How many pieces wait for somebody who is attached; then the program waits.
const PIECES_MAX: usize = 16;
/// How many pieces of input wait for the program: 4 MiB of the largest.
const INPUT_PIECES_MAX: usize = 64;
/// How long somebody who is attached may take nothing, before it is left behind.
const STUCK_MAX: Duration = Duration::from_mins(1);
/// How many may be attached at once.
const ATTACHED_MAX: usize = 16;
/// How much output of the main command is kept for those who attach later, bytes.
pub(super) const KEPT_BYTES_MAX: usize = 256 << 10;

/// A piece of output.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) bytes: Arc<[u8]>,
}

/// A piece of input; none: there will be no more.
pub(super) type Input = Option<Vec<u8>>;

/// A program that runs or has run.
#[derive(Debug)]
pub(super) struct Session {
    id: ProgramId,
    keeper: Keeper,
    /// Our end of its terminal.
    terminal: Option<Arc<Descriptor>>,
    input: mpsc::Sender<Input>,
    outputs: Outputs,
    code: watch::Receiver<Option<u8>>,
}

/// What moves the streams of a program; it ends some time after the program.
pub(super) struct Streams {
    session: Arc<Session>,
    running: tokio::sync::oneshot::Receiver<crate::Ending>,
    code: watch::Sender<Option<u8>>,
    source: Source,
    input: mpsc::Receiver<Input>,
}

enum Source {
    Terminal(Arc<Descriptor>),
    Pipes { input: Option<Descriptor>, output: Option<Descriptor>, errors: Descriptor },
}

/// The ends of the pipes of a program.
struct Pipes {
    ours: Source,
    theirs: [OwnedFd; 3],
}

/// Which streams a program has beside its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Has {
    Both,
    Input,
    Output,
}

impl Session {
    /// Starts a program. Its streams move when the second value is run.
    pub(super) async fn start(
        keeper: &Keeper,
        order: Order,
        terminal: Option<Screen>,
        (has, kept_bytes_max): (Has, usize),
    ) -> Result<(Arc<Self>, Streams), StartError> {
        if let Some(Screen { rows, columns }) = terminal {
            let mut running = keeper.on_terminal(order, Size { rows, columns }).await?;
            let master = running
                .terminal
                .take()
                .ok_or_else(|| StartError::new(Step::Terminal, "none came along"))?;
            let both = Interest::READABLE | Interest::WRITABLE;
            let master = Arc::new(Descriptor::new(master, both).at(Step::Terminal)?);
            return Ok(Self::new(keeper, running, Source::Terminal(master), kept_bytes_max));
        }
        let pipes = Pipes::open(has).on(Step::Program, "pipe")?;
        let running = keeper.on_pipes(order, pipes.theirs).await?;
        Ok(Self::new(keeper, running, pipes.ours, kept_bytes_max))
    }

    /// Starts to move files.
    pub(super) async fn transfer(
        keeper: &Keeper,
        transfer: Transfer,
    ) -> Result<(Arc<Self>, Streams), StartError> {
        let has = match transfer {
            Transfer::Unpack { .. } => Has::Input,
            Transfer::Pack { .. } => Has::Output,
        };
        let pipes = Pipes::open(has).on(Step::Program, "pipe")?;
        let running = keeper.transfer(transfer, pipes.theirs).await?;
        Ok(Self::new(keeper, running, pipes.ours, 0))
    }

    fn new(
        keeper: &Keeper,
        running: Running,
        source: Source,
        kept_bytes_max: usize,
    ) -> (Arc<Self>, Streams) {
        let (input, taken) = mpsc::channel(INPUT_PIECES_MAX);
        let (teller, code) = watch::channel(None);
        let terminal = match &source {
            Source::Terminal(master) => Some(Arc::clone(master)),
            Source::Pipes { .. } => None,
        };
        let outputs = Outputs { kept_bytes_max, inner: Mutex::default() };
        let keeper = keeper.clone();
        let session = Arc::new(Self { id: running.id, keeper, terminal, input, outputs, code });
        let streams = Streams {
            session: Arc::clone(&session),
            running: running.ended,
            code: teller,
            source,
            input: taken,
        };
        (session, streams)
    }

    /// Its number.
    pub(super) fn number(&self) -> u32 {
        self.id.number()
    }

    /// Whether it has a terminal.
    pub(super) fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Whether those whose pieces have come to an end were left behind: there is more to come.
    pub(super) fn leaves_behind(&self) -> bool {
        !self.outputs.inner.lock().over
    }

    /// Whether it runs, or has output that nobody took yet.
    pub(super) fn is_running(&self) -> bool {
        self.code.borrow().is_none()
    }

    /// Waits for its exit code. Cancel-safe.
    pub(super) async fn ended(&self) -> u8 {
        let mut code = self.code.clone();
        // Without a code its streams were dropped: the sandbox was ended around it, as by a signal to kill.
        code.wait_for(Option::is_some).await.ok().and_then(|code| *code).unwrap_or(137)
    }

    /// What is still known of its output, and what comes from now on. `None` when too many are attached.
    pub(super) fn attach(&self) -> Option<(Vec<Piece>, mpsc::Receiver<Piece>)> {
        self.outputs.attach()
    }

    /// Gives it input, waiting until there is room.
    pub(super) async fn give(&self, input: Input) {
        // A program that has ended takes none.
        drop(self.input.send(input).await);
    }

    /// Sends it a signal.
    pub(super) async fn signal(&self, signal: Signal) {
        self.keeper.signal(self.id, signal).await;
    }

    /// Sets the size of its terminal, if it has one.
    pub(super) fn resize(&self, screen: Screen) {
        if let Some(terminal) = &self.terminal {
            // It fails only when the terminal is gone.
            terminal.resize(screen).ok();
        }
    }
}

impl Streams {
    /// Moves them until the program has ended and all that it wrote is told. `note` hears the exit code before anybody else.
    pub(super) async fn run(self, note: impl FnOnce(u8)) {
        let Self { session, running, code, source, input } = self;
        let (ending, ended) = watch::channel(None);
        let wait = async {
            let code = running.await.map_or(137, crate::Ending::code);
            // Everybody who listens lives as long as this function.
            ending.send(Some(code)).ok();
        };
        let outputs = &session.outputs;
        match source {
            Source::Terminal(master) => {
                let out = outputs.copy(Some(&master), Kind::Output, ended.clone());
                let put = feed_terminal(&master, input, ended.clone());
                tokio::join!(wait, out, put);
            }
            Source::Pipes { input: own, output, errors } => {
                let out = outputs.copy(output.as_ref(), Kind::Output, ended.clone());
                let err = outputs.copy(Some(&errors), Kind::Errors, ended.clone());
                let put = feed(own, input, ended.clone());
                tokio::join!(wait, out, err, put);
            }
        }
        let last = ended.borrow().unwrap_or(137);
        note(last);
        code.send(Some(last)).ok();
        outputs.end();
    }
}

/// Until it has ended.
async fn until_ended(mut ended: watch::Receiver<Option<u8>>) {
    ended.wait_for(Option::is_some).await.ok();
}

async fn feed_terminal(
    master: &Descriptor,
    mut input: mpsc::Receiver<Input>,
    ended: watch::Receiver<Option<u8>>,
) {
    let write = async {
        while let Some(piece) = input.recv().await {
            // A terminal has no end of input; who wants one types it.
            let Some(bytes) = piece else { continue };
            if master.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { biased; () = until_ended(ended) => {}, () = write => {} }
}

async fn feed(
    own: Option<Descriptor>,
    mut input: mpsc::Receiver<Input>,
    ended: watch::Receiver<Option<u8>>,
) {
    let write = async {
        let Some(own) = own else { return };
        while let Some(Some(bytes)) = input.recv().await {
            if own.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // Closes the pipe, which is the end of input.
        drop(own);
        while input.recv().await.is_some() {}
    };
    tokio::select! { biased; () = until_ended(ended) => {}, () = write => {} }
}

impl Pipes {
    fn open(has: Has) -> io::Result<Self> {
        let null = || {
            std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map(OwnedFd::from)
        };
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        let (input, their_input) = if has == Has::Output {
            (None, null()?)
        } else {
            let (from, into) = pipe()?;
            (Some(Descriptor::new(into, Interest::WRITABLE)?), from)
        };
        let (output, their_output) = if has == Has::Input {
            (None, null()?)
        } else {
            let (from, into) = pipe()?;
            (Some(Descriptor::new(from, Interest::READABLE)?), into)
        };
        let (from, into) = pipe()?;
        let errors = Descriptor::new(from, Interest::READABLE)?;
        let ours = Source::Pipes { input, output, errors };
        Ok(Self { ours, theirs: [their_input, their_output, into] })
    }
}

/// Who hears what a program says.
#[derive(Debug)]
struct Outputs {
    kept_bytes_max: usize,
    inner: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    kept: VecDeque<Piece>,
    kept_bytes: usize,
    attached: Vec<mpsc::Sender<Piece>>,
    over: bool,
}

impl Outputs {
    fn attach(&self) -> Option<(Vec<Piece>, mpsc::Receiver<Piece>)> {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let mut heard = self.inner.lock();
        heard.attached.retain(|one| !one.is_closed());
        if heard.attached.len() >= ATTACHED_MAX {
            return None;
        }
        if !heard.over {
            heard.attached.push(sender);
        }
        Some((heard.kept.iter().cloned().collect(), receiver))
    }

    /// Reads a stream to its end, or until the program has ended and nothing is left of what it wrote.
    async fn copy(
        &self,
        from: Option<&Descriptor>,
        kind: Kind,
        ended: watch::Receiver<Option<u8>>,
    ) {
        let Some(from) = from else { return };
        let mut piece = vec![0; PIECE_BYTES];
        let over = until_ended(ended);
        tokio::pin!(over);
        loop {
            let length = tokio::select! {
                biased;
                read = from.read(&mut piece) => read,
                () = &mut over => break,
            };
            match length {
                Ok(length) if length > 0 => self.tell(kind, piece.get(..length)).await,
                // A terminal whose last program has ended answers with an error.
                _ => return,
            }
        }
        // Those that it left behind may hold the stream open for long; what they write is nobody's.
        while let Ok(length) = from.read_now(&mut piece) {
            if length == 0 {
                return;
            }
            self.tell(kind, piece.get(..length)).await;
        }
    }

    /// Keeps a piece and tells it to everybody who is attached, as slowly as the slowest of them.
    async fn tell(&self, kind: Kind, bytes: Option<&[u8]>) {
        let piece = Piece { kind, bytes: bytes.unwrap_or_default().into() };
        let attached = {
            let mut heard = self.inner.lock();
            heard.keep(&piece, self.kept_bytes_max);
            heard.attached.clone()
        };
        for one in attached {
            // Who runs a program of its own holds it up as a pipe does; a main command goes on without who is stuck.
            let patience = if self.kept_bytes_max == 0 { Duration::MAX } else { STUCK_MAX };
            if one.is_closed() || timeout(patience, one.send(piece.clone())).await.is_err() {
                self.inner.lock().attached.retain(|known| !known.same_channel(&one));
            }
        }
    }

    fn end(&self) {
        let mut heard = self.inner.lock();
        heard.over = true;
        heard.attached.clear();
    }
}

impl Heard {
    fn keep(&mut self, piece: &Piece, bytes_max: usize) {
        if bytes_max == 0 {
            return;
        }
        self.kept_bytes += piece.bytes.len();
        self.kept.push_back(piece.clone());
        while self.kept_bytes > bytes_max {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.kept_bytes -= oldest.bytes.len();
        }
    }
}
