//! What is asked of a supervisor, and what it answers.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::TcpStream as StdTcpStream,
    os::fd::AsFd as _,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, Interest, copy_bidirectional},
    net::{
        TcpStream, UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, mpsc},
    task::JoinSet,
    time::timeout,
};

use super::{
    failed, is_owner,
    keeper::{Keeper, Order},
    network::Network,
    places::{Place, Places},
    session::{Has, Input, KEPT_BYTES_MAX, Piece, Session, Streams},
};
use crate::{
    Transfer, Version,
    control::{
        Failed, Reply, Request, Screen, Word,
        frame::{self, Kind},
    },
    policies::Policies,
    providers::Supplied,
    state::{Folder, Record, State},
    sys::Watched,
};

/// How long somebody may take to say what it wants.
const ASK_MAX: Duration = Duration::from_secs(10);
/// How long a program in there may take to accept a connection.
const DIAL_MAX: Duration = Duration::from_secs(10);
/// The terminal of a main command that nobody looks at.
const UNSEEN: Screen = Screen { rows: 24, columns: 80 };

/// What all conversations share.
#[derive(Debug)]
pub(super) struct Shared {
    folder: Folder,
    record: Record,
    keeper: Keeper,
    policies: tokio::sync::Mutex<Policies>,
    network: Network,
    state: Mutex<State>,
    main: tokio::sync::Mutex<Option<Arc<Session>>>,
    /// Streams of programs, which outlive the conversations about them.
    streams: Mutex<JoinSet<()>>,
    /// Programs that run, by their numbers.
    sessions: Mutex<HashMap<u32, Weak<Session>>>,
    stop: Notify,
}

/// Whether somebody stays with a program that is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attach {
    Yes,
    No,
}

/// What somebody who is attached hears.
type Attached = (Vec<Piece>, mpsc::Receiver<Piece>);

impl Shared {
    pub(super) fn new(
        (folder, record): (Folder, Record),
        keeper: Keeper,
        (policies, network): (Policies, Network),
        state: State,
    ) -> Arc<Self> {
        Arc::new(Self {
            folder,
            record,
            keeper,
            policies: tokio::sync::Mutex::new(policies),
            network,
            state: Mutex::new(state),
            main: tokio::sync::Mutex::default(),
            streams: Mutex::default(),
            sessions: Mutex::default(),
            stop: Notify::new(),
        })
    }

    /// Whether there is a main command.
    pub(super) fn has_main(&self) -> bool {
        !self.record.command.is_empty()
    }

    /// Writes the state down.
    pub(super) fn keep_state(&self) -> io::Result<()> {
        let state = self.state.lock().clone();
        self.folder.write("state.json", &state)
    }

    fn change_state(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        if let Err(error) = self.keep_state() {
            tracing::warn!(%error, "state cannot be written");
        }
    }

    /// Waits until somebody stops the sandbox.
    pub(super) async fn stopped(&self) {
        self.stop.notified().await;
    }

    /// Ends the main command, by force after a while, and lets everything else end.
    pub(super) async fn stop(&self, grace: Duration) {
        let main = self.main.lock().await.clone();
        if let Some(main) = main.filter(|main| main.is_running()) {
            main.signal(Signal::TERM).await;
            if main.has_terminal() {
                // Shells that talk to a person end with their terminal alone.
                main.signal(Signal::HUP).await;
            }
            if timeout(grace, main.ended()).await.is_err() {
                main.signal(Signal::KILL).await;
                drop(timeout(grace, main.ended()).await);
            }
        }
        self.stop.notify_one();
    }

    /// Writes down what is still to be written.
    pub(super) fn finish(&self) {
        self.network.finish();
    }

    /// What a program finds in its environment beside that of every sandbox: placeholders of credentials, and what was asked
    /// for, which is stronger.
    fn environment(&self, asked: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = self.network.placeholders().into_iter().collect();
        all.retain(|name, _| !self.record.environment.contains_key(name));
        all.extend(asked);
        all
    }

    /// Starts the main command unless it runs.
    pub(super) async fn launch(
        self: &Arc<Self>,
        screen: Option<Screen>,
        attach: Attach,
    ) -> Result<(Arc<Session>, Option<Attached>), Failed> {
        let mut main = self.main.lock().await;
        if let Some(main) = main.as_ref().filter(|main| main.is_running()) {
            let attached = if attach == Attach::Yes { Some(joined(main)?) } else { None };
            return Ok((Arc::clone(main), attached));
        }
        if !self.has_main() {
            return Err(Failed::new(
                "it has no main command",
                "run one with `openshell sandbox exec`, or name it after `--` when you create a sandbox",
            ));
        }
        let environment = self.environment(BTreeMap::new());
        let order = Order { command: self.record.command.clone(), environment, ..Order::default() };
        let screen = screen.or(self.record.terminal.then_some(UNSEEN));
        let has = if attach == Attach::Yes { Has::Both } else { Has::Output };
        let (session, streams) = Session::start(&self.keeper, order, screen, (has, KEPT_BYTES_MAX))
            .await
            .map_err(|error| failed(&error))?;
        let attached = if attach == Attach::Yes { Some(joined(&session)?) } else { None };
        self.change_state(|state| {
            state.running = true;
            state.exit_code = None;
        });
        tracing::info!("main command started");
        self.know(&session);
        let shared = Arc::clone(self);
        self.run(streams, move |code| {
            tracing::info!(code, "main command ended");
            shared.change_state(|state| {
                state.running = false;
                state.exit_code = Some(code);
            });
        });
        *main = Some(Arc::clone(&session));
        Ok((session, attached))
    }

    /// Lets others speak to it.
    fn know(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock();
        sessions.retain(|_, known| known.upgrade().is_some_and(|known| known.is_running()));
        sessions.insert(session.number(), Arc::downgrade(session));
    }

    /// Says something to a program. One that has ended hears nothing.
    async fn tell(&self, program: u32, word: Word) {
        let session = self.sessions.lock().get(&program).and_then(Weak::upgrade);
        let Some(session) = session else { return };
        match word {
            Word::Resize(screen) => session.resize(screen),
            Word::Signal { number } => {
                if let Some(signal) = Signal::from_named_raw(number) {
                    session.signal(signal).await;
                }
            }
        }
    }

    fn run(&self, streams: Streams, ended: impl FnOnce(u8) + Send + 'static) {
        let mut running = self.streams.lock();
        while running.try_join_next().is_some() {}
        running.spawn(streams.run(ended));
    }
}

fn joined(session: &Session) -> Result<Attached, Failed> {
    session.attach().ok_or_else(|| Failed::new("too many are attached to it", "detach one of them"))
}

/// Takes conversations until the end. A drop ends all of them.
pub(super) async fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    let places = Places::default();
    let mut conversations = JoinSet::new();
    loop {
        let place = places.ask().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while conversations.try_join_next().is_some() {}
        if !is_owner(&stream) {
            tracing::warn!("a connection of another user was refused");
            continue;
        }
        let shared = Arc::clone(shared);
        conversations.spawn(async move {
            if let Err(error) = converse(&shared, stream, place).await {
                tracing::debug!(%error, "conversation broken");
            }
        });
    }
}

/// One conversation. A drop ends it as if the other side had left.
async fn converse(shared: &Arc<Shared>, stream: UnixStream, place: Place) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let first = timeout(ASK_MAX, frame::receive(&mut from)).await.map_err(io::Error::from)??;
    let Some((Kind::Message, bytes)) = first else { return Ok(()) };
    let request = match frame::message::<Request>(&bytes) {
        Ok(request) => request,
        Err(error) => {
            let hint = "it was started by another version of openshell; stop and start the sandbox";
            let failed = Failed::new(format!("the supervisor does not know this: {error}"), hint);
            return frame::say(&mut to, &Reply::Failed(failed)).await;
        }
    };
    let _place = match place.of(&request) {
        Ok(place) => place,
        Err(failed) => return frame::say(&mut to, &Reply::Failed(failed)).await,
    };
    match answer(shared, request).await {
        Err(failed) => frame::say(&mut to, &Reply::Failed(failed)).await,
        Ok(Answer::Reply(reply)) => frame::say(&mut to, &reply).await,
        Ok(Answer::Stream { session, attached, leave }) => {
            stream_of(&session, attached, (from, to), leave).await
        }
        Ok(Answer::Connection(mut inside)) => {
            frame::say(&mut to, &Reply::Done).await?;
            let mut outside = from.reunite(to).map_err(io::Error::other)?;
            copy_bidirectional(&mut outside, &mut inside).await.map(drop)
        }
        Ok(Answer::Stop(grace)) => {
            frame::say(&mut to, &Reply::Done).await?;
            shared.stop(grace).await;
            // The end of this connection tells that everything has ended.
            std::future::pending().await
        }
    }
}

/// What a program gets when the one who watches it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    HangUp,
    Nothing,
}

enum Answer {
    Reply(Reply),
    Stream { session: Arc<Session>, attached: Attached, leave: Leave },
    Connection(TcpStream),
    Stop(Duration),
}

async fn answer(shared: &Arc<Shared>, request: Request) -> Result<Answer, Failed> {
    let reply = match request {
        Request::Status => {
            let policy = shared.policies.lock().await.active().map_or(0, |active| active.version);
            let state = Box::new(shared.state.lock().clone());
            Reply::Status { record: Box::new(shared.record.clone()), state, policy }
        }
        Request::Exec { command, environment, folder, terminal } => {
            let order = Order { command, environment: shared.environment(environment), folder };
            let started = Session::start(&shared.keeper, order, terminal, (Has::Both, 0)).await;
            return watched(shared, started.map_err(|error| failed(&error))?);
        }
        Request::Upload { to, file } => {
            let transfer = Transfer::Unpack { to: to.into(), file: file.map(Into::into) };
            let started = Session::transfer(&shared.keeper, transfer).await;
            return watched(shared, started.map_err(|error| failed(&error))?);
        }
        Request::Download { from } => {
            let transfer = Transfer::Pack { from: from.into() };
            let started = Session::transfer(&shared.keeper, transfer).await;
            return watched(shared, started.map_err(|error| failed(&error))?);
        }
        Request::Launch { attach, once, terminal } => {
            if once && !attach && shared.main.lock().await.is_some() {
                return Ok(Answer::Reply(Reply::Done));
            }
            let attach = if attach { Attach::Yes } else { Attach::No };
            match shared.launch(terminal, attach).await? {
                (session, Some(attached)) => {
                    return Ok(Answer::Stream { session, attached, leave: Leave::Nothing });
                }
                (_, None) => Reply::Done,
            }
        }
        Request::Tell { program, word } => {
            shared.tell(program, word).await;
            Reply::Done
        }
        Request::Attach { terminal } => return attach(shared, terminal).await,
        Request::Forward { port } => return Ok(Answer::Connection(connect(shared, port).await?)),
        Request::SetPolicy { text, base } => set_policy(shared, &text, base).await?,
        Request::SetProviders { providers } => {
            let supplied = Supplied::new(&providers)?;
            tracing::info!(providers = %supplied.names.join(","), "providers attached");
            shared.network.supply(supplied);
            Reply::Done
        }
        Request::ForgetDenials { ids } => {
            for id in &ids {
                shared.network.forget(id);
            }
            Reply::Done
        }
        Request::Adopt { .. } => {
            return Err(Failed::new("it is in use already", "create another sandbox"));
        }
        Request::Denials => Reply::Denials { denials: shared.network.denials() },
        Request::Stop { grace_ms } => return Ok(Answer::Stop(Duration::from_millis(grace_ms))),
    };
    Ok(Answer::Reply(reply))
}

/// A program with the one who asked for it attached before its streams move.
fn watched(shared: &Shared, (session, streams): (Arc<Session>, Streams)) -> Result<Answer, Failed> {
    let attached = joined(&session)?;
    shared.know(&session);
    shared.run(streams, drop);
    Ok(Answer::Stream { session, attached, leave: Leave::HangUp })
}

async fn attach(shared: &Shared, screen: Option<Screen>) -> Result<Answer, Failed> {
    let session = shared.main.lock().await.clone().ok_or_else(|| {
        let hint = "`openshell sandbox connect` opens a shell in it";
        Failed::new("its main command has not been started", hint)
    })?;
    if let Some(screen) = screen {
        session.resize(screen);
    }
    let attached = joined(&session)?;
    Ok(Answer::Stream { session, attached, leave: Leave::Nothing })
}

async fn set_policy(shared: &Shared, text: &str, base: Option<u64>) -> Result<Reply, Failed> {
    let mut policies = shared.policies.lock().await;
    let Some((set, policy)) = policies.set_over(text, base)? else { return Ok(Reply::Stale) };
    let version = set.revision.version;
    if set.changed {
        shared.network.replace_policy(policy, version);
        policies.loaded(version).map_err(|error| {
            Failed::new(format!("policy {version} is in force and cannot be noted: {error}"), "")
        })?;
        tracing::info!(version, "policy loaded");
    }
    Ok(Reply::Policy {
        version,
        hash: set.revision.hash,
        changed: set.changed,
        postponed: set.postponed,
    })
}

/// A connection to a port in there.
async fn connect(shared: &Shared, port: u16) -> Result<TcpStream, Failed> {
    let mut refused = None;
    for version in [Version::Four, Version::Six] {
        let dialed = shared.keeper.dial(port, version).await;
        let socket = match dialed {
            Ok(socket) => socket,
            Err(error) => {
                refused = Some(failed(&error).message);
                continue;
            }
        };
        match established(StdTcpStream::from(socket)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = Some(error.to_string()),
        }
    }
    let why = refused.unwrap_or_default();
    let hint = "start the server in the sandbox first";
    Err(Failed::new(format!("nothing answers on port {port} of the sandbox: {why}"), hint))
}

/// Waits until a connection that was begun has come about.
async fn established(socket: StdTcpStream) -> io::Result<TcpStream> {
    let stream = TcpStream::from_std(socket)?;
    timeout(DIAL_MAX, stream.writable()).await??;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => stream.peer_addr().map(|_| stream),
    }
}

/// The streams of a program, until it ends or the other side leaves.
async fn stream_of(
    session: &Arc<Session>,
    (kept, mut pieces): Attached,
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    leave: Leave,
) -> io::Result<()> {
    let started = Reply::Started { terminal: session.has_terminal(), program: session.number() };
    frame::say(&mut to, &started).await?;
    let line = from.as_ref().as_fd().try_clone_to_owned()?;
    let line = Watched::new(line, Interest::PRIORITY)?;
    let tell = async {
        for piece in kept {
            frame::send(&mut to, piece.kind, &piece.bytes).await?;
        }
        while let Some(piece) = pieces.recv().await {
            frame::send(&mut to, piece.kind, &piece.bytes).await?;
        }
        if session.leaves_behind() {
            let hint = "attach again to see what it says from now on";
            let failed = Failed::new("what it wrote was not taken for too long", hint);
            return frame::say(&mut to, &Reply::Failed(failed)).await;
        }
        frame::say(&mut to, &Reply::Ended { code: session.ended().await }).await
    };
    let told = tokio::select! {
        biased;
        told = tell => told,
        heard = hear(session, &mut from) => heard,
        () = left(&line) => Ok(()),
    };
    if session.is_running() && leave == Leave::HangUp {
        session.signal(Signal::HUP).await;
        // One that goes on all the same finds the end of its input, when it has read what came before.
        session.give(None).await;
    }
    // What was sent to a program that is gone must not break the connection before its last words are read.
    drop(to);
    drain(&mut from).await;
    told
}

/// Passes on input to a program, until the other side leaves.
async fn hear(session: &Session, from: &mut OwnedReadHalf) -> io::Result<()> {
    while let Some((kind, bytes)) = frame::receive(from).await? {
        match kind {
            Kind::Input => session.give(Input::Some(bytes).filter(|bytes| !bytes.is_empty())).await,
            Kind::Message | Kind::Output | Kind::Errors => {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
    Ok(())
}

/// Waits until the other side is gone, and a little for what it has left to be read: input that a program does not take must
/// not hide that nobody is there any more.
async fn left(line: &Watched) {
    const REST_MAX: Duration = Duration::from_secs(1);
    while let Ok(mut ready) = line.ready(Interest::PRIORITY).await {
        if ready.ready().is_read_closed() {
            break;
        }
        ready.clear_ready();
    }
    tokio::time::sleep(REST_MAX).await;
}

/// Takes what is still on its way, for a short while.
async fn drain(from: &mut OwnedReadHalf) {
    const DRAIN_MAX: Duration = Duration::from_secs(5);
    let mut rest = vec![0; frame::PIECE_BYTES_MAX];
    let read = async { while from.read(&mut rest).await.is_ok_and(|length| length > 0) {} };
    drop(timeout(DRAIN_MAX, read).await);
}
