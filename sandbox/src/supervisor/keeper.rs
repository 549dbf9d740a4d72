//! The one who holds the sandbox: its thread made it, and with its thread it ends. Everybody else asks by message.

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::process::Signal;
use tokio::{
    io::Interest,
    sync::{mpsc, oneshot},
};

use crate::{
    Ending, ProgramId, Sandbox, Size, StartError, Started, Stdio, Step, Transfer, Version,
    error::At, sys::Watched,
};

/// The most questions that wait.
const QUESTIONS_MAX: usize = 64;

/// A program as it is ordered.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Its name and its arguments.
    pub(super) command: Vec<String>,
    /// Variables beside those of the sandbox.
    pub(super) environment: BTreeMap<String, String>,
    /// Where it starts, if not in the working folder.
    pub(super) folder: Option<String>,
}

/// A program that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// Which one.
    pub(super) id: ProgramId,
    /// Our end of its terminal.
    pub(super) terminal: Option<OwnedFd>,
    /// How it ended; an error when the sandbox did first.
    pub(super) ended: oneshot::Receiver<Ending>,
}

type Answer<T> = oneshot::Sender<Result<T, StartError>>;

enum Ask {
    OnTerminal(Order, Size, Answer<Running>),
    OnPipes(Order, [OwnedFd; 3], Answer<Running>),
    Move(Transfer, [OwnedFd; 3], Answer<Running>),
    Dial(u16, Version, Answer<OwnedFd>),
    Signal(ProgramId, Signal),
}

/// Asks the keeper.
#[derive(Clone, Debug)]
pub(super) struct Keeper(mpsc::Sender<Ask>);

/// The sandbox with the questions about it.
pub(super) struct Kept {
    sandbox: Sandbox,
    line: Watched,
    asks: mpsc::Receiver<Ask>,
    programs: HashMap<ProgramId, oneshot::Sender<Ending>>,
}

impl Keeper {
    /// Starts a program on a terminal of its own.
    pub(super) async fn on_terminal(
        &self,
        order: Order,
        size: Size,
    ) -> Result<Running, StartError> {
        self.ask(|answer| Ask::OnTerminal(order, size, answer)).await
    }

    /// Starts a program on these descriptors.
    pub(super) async fn on_pipes(
        &self,
        order: Order,
        stdio: [OwnedFd; 3],
    ) -> Result<Running, StartError> {
        self.ask(|answer| Ask::OnPipes(order, stdio, answer)).await
    }

    /// Starts to move files.
    pub(super) async fn transfer(
        &self,
        transfer: Transfer,
        stdio: [OwnedFd; 3],
    ) -> Result<Running, StartError> {
        self.ask(|answer| Ask::Move(transfer, stdio, answer)).await
    }

    /// Begins a connection into the sandbox.
    pub(super) async fn dial(&self, port: u16, version: Version) -> Result<OwnedFd, StartError> {
        self.ask(|answer| Ask::Dial(port, version, answer)).await
    }

    /// Sends a signal; a program that has ended is left alone.
    pub(super) async fn signal(&self, id: ProgramId, signal: Signal) {
        // A keeper that is gone has ended the program too.
        drop(self.0.send(Ask::Signal(id, signal)).await);
    }

    async fn ask<T>(&self, ask: impl FnOnce(Answer<T>) -> Ask) -> Result<T, StartError> {
        let gone = || StartError::new(Step::Control, "it has ended");
        let (answer, answered) = oneshot::channel();
        self.0.send(ask(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Kept {
    /// Takes the sandbox over.
    ///
    /// # Errors
    /// [`Step::Control`] when it cannot be watched.
    pub(super) fn new(sandbox: Sandbox) -> Result<(Self, Keeper), StartError> {
        let line = sandbox.as_fd().try_clone_to_owned().at(Step::Control)?;
        let line = Watched::new(line, Interest::READABLE).at(Step::Control)?;
        let (asker, asks) = mpsc::channel(QUESTIONS_MAX);
        Ok((Self { sandbox, line, asks, programs: HashMap::new() }, Keeper(asker)))
    }

    /// Answers until the sandbox is gone. A drop ends the sandbox.
    pub(super) async fn serve(mut self) -> StartError {
        loop {
            if let Err(error) = self.tell_endings() {
                return error;
            }
            tokio::select! {
                biased;
                ready = self.line.readable() => {
                    let mut ready = match ready.at(Step::Control) {
                        Ok(ready) => ready,
                        Err(error) => return error,
                    };
                    let told = tell(&mut self.sandbox, &mut self.programs);
                    ready.clear_ready();
                    if let Err(error) = told {
                        return error;
                    }
                }
                Some(ask) = self.asks.recv() => self.answer(ask),
            }
        }
    }

    fn tell_endings(&mut self) -> Result<(), StartError> {
        tell(&mut self.sandbox, &mut self.programs)
    }

    fn answer(&mut self, ask: Ask) {
        // Whoever no longer waits for an answer has left, and its program gets the hang-up signal from its connection.
        match ask {
            Ask::OnTerminal(order, size, answer) => {
                let program = self.program(order);
                let started = self.sandbox.run(program, Stdio::Terminal(size));
                self.reply(started, answer);
            }
            Ask::OnPipes(order, [input, output, errors], answer) => {
                let program = self.program(order);
                let stdio = [input.as_fd(), output.as_fd(), errors.as_fd()];
                let started = self.sandbox.run(program, Stdio::Descriptors(stdio));
                self.reply(started, answer);
            }
            Ask::Move(transfer, [input, output, errors], answer) => {
                let stdio = [input.as_fd(), output.as_fd(), errors.as_fd()];
                let started = self.sandbox.transfer(transfer, stdio);
                self.reply(started, answer);
            }
            Ask::Dial(port, version, answer) => {
                drop(answer.send(self.sandbox.dial(port, version)));
            }
            Ask::Signal(id, signal) => {
                // It fails only when the sandbox is gone, which shows in the next round.
                self.sandbox.signal(id, signal).ok();
            }
        }
    }

    fn reply(&mut self, started: Result<Started, StartError>, answer: Answer<Running>) {
        let running = started.map(|started| {
            let (ending, ended) = oneshot::channel();
            self.programs.insert(started.id, ending);
            Running { id: started.id, terminal: started.terminal, ended }
        });
        if let Err(Ok(running)) = answer.send(running) {
            self.sandbox.signal(running.id, Signal::HUP).ok();
        }
    }

    fn program(&self, order: Order) -> crate::Program {
        let command = order.command.into_iter().map(Into::into).collect();
        let mut program = self.sandbox.program(command);
        for (name, value) in order.environment {
            program.environment.retain(|(known, _)| *known != *name);
            program.environment.push((name.into(), value.into()));
        }
        if let Some(folder) = order.folder {
            program.folder = folder.into();
        }
        program
    }
}

fn tell(
    sandbox: &mut Sandbox,
    programs: &mut HashMap<ProgramId, oneshot::Sender<Ending>>,
) -> Result<(), StartError> {
    while let Some((id, ending)) = sandbox.ending_now()? {
        if let Some(waiting) = programs.remove(&id) {
            // Nobody waits for a program whose connection is gone.
            waiting.send(ending).ok();
        }
    }
    Ok(())
}
