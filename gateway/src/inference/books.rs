//! What model calls cost, written down in the order in which it is told: set aside before a call is sent, booked once it ended.
//!
//! One task writes; who reserves waits for it, who tells of an end does not. Invariants: a call is told of in order, so its end never
//! comes before its beginning; an end is tried again until it is written. When the process is killed, what it had set
//! aside counts as spent in full with the next start.

use std::{fmt, path::Path, time::Duration};

use domain::Cost;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    lifecycle::written,
    store::{Account, Balance, Booking, EndedCall, Reserved, Store, StoreError},
    time,
};

/// Calls whose end may wait to be written. Of those that find no room nothing is reported, and what was set aside for them
/// counts as spent in full.
const WAITING_MAX: usize = 65_536;
/// The most that one transaction writes.
const BATCH: usize = 64;
/// The longest that a call waits until it is set aside.
const RESERVE_MAX: Duration = Duration::from_secs(5);
/// Between two tries where the store fails.
const PAUSE: Duration = Duration::from_millis(250);
/// How often what is over is looked for.
const SWEEP_EVERY: Duration = Duration::from_mins(10);
/// How long calls are kept for reports, in days.
const CALLS_DAYS: i64 = 400;
/// How long it is known of a reservation that it was booked, in days.
const RESERVATIONS_DAYS: i64 = 7;

/// What is told.
#[derive(Debug)]
enum Message {
    Reserve {
        id: String,
        amount: Cost,
        accounts: Vec<Account>,
        expires_ms: i64,
        tell: oneshot::Sender<bool>,
    },
    End(Box<EndedCall>),
}

/// The books of a gateway, for its routers. Cheap to clone.
#[derive(Clone)]
pub struct Books {
    sender: mpsc::Sender<Message>,
    /// What begins the identity of each call of this gateway.
    beginning: String,
    spent: Vec<Balance>,
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}

/// Writes what is told to [`Books`].
#[derive(Debug)]
pub(crate) struct Writer {
    store: Store,
    receiver: mpsc::Receiver<Message>,
}

impl Books {
    /// The books in this store, for the one gateway that has this folder. What it had set aside in an earlier life counts as
    /// spent from now on.
    ///
    /// # Errors
    /// When the store or the folder cannot be used.
    pub(crate) async fn open(store: &Store, folder: &Path) -> Result<(Self, Writer), BooksError> {
        let beginning = identity(&folder.join("books.id"))? + "/";
        let lost = store.expire_reservations_of(&beginning).await?;
        if lost > 0 {
            tracing::warn!(
                calls = lost,
                "nobody knows what calls cost that were cut off; they count in full"
            );
        }
        let today = time::point(time::now_ms()).strftime("%Y-%m-%d").to_string();
        let month = today.get(..7).unwrap_or_default();
        let spent = store.balances_in([&today, month]).await?;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let writer = Writer { store: store.clone(), receiver };
        Ok((Self { sender, beginning, spent }, writer))
    }

    /// What was spent when the gateway started, in the periods that ran then.
    pub fn spent(&self) -> &[Balance] {
        &self.spent
    }

    /// Sets an amount aside for a call; whether that is safe now.
    pub async fn reserve(
        &self,
        id: &str,
        amount: Cost,
        accounts: Vec<Account>,
        expires_ms: i64,
    ) -> bool {
        let (tell, told) = oneshot::channel();
        let id = format!("{}{id}", self.beginning);
        let message = Message::Reserve { id, amount, accounts, expires_ms, tell };
        let reserved = async {
            self.sender.send(message).await.ok()?;
            told.await.ok()
        };
        tokio::time::timeout(RESERVE_MAX, reserved).await.ok().flatten().unwrap_or(false)
    }

    /// Tells how a call ended. Never waits.
    pub fn end(&self, call: EndedCall) {
        let id = format!("{}{}", self.beginning, call.id);
        if self.sender.try_send(Message::End(Box::new(EndedCall { id, ..call }))).is_err() {
            tracing::error!(
                "there is no room for what a call cost; what was set aside for it counts in full"
            );
        }
    }
}

impl Writer {
    /// Writes until it is stopped, and what was told until then.
    pub(crate) async fn run(mut self, stopped: CancellationToken) {
        let mut messages = Vec::with_capacity(BATCH);
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                biased;
                () = stopped.cancelled(), if !self.receiver.is_closed() => self.receiver.close(),
                count = self.receiver.recv_many(&mut messages, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    self.write(&mut messages).await;
                }
                _ = sweep.tick() => self.sweep().await,
            }
        }
    }

    async fn write(&self, messages: &mut Vec<Message>) {
        let mut ended = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::End(call) => ended.push(*call),
                // Others' ends need not be written before it: no two messages are about one call but in their order.
                Message::Reserve { id, amount, accounts, expires_ms, tell } => {
                    if tell.is_closed() {
                        continue;
                    }
                    let bookings: Vec<Booking> = accounts
                        .into_iter()
                        .map(|account| Booking { account, limit: None })
                        .collect();
                    let reserved = self.store.reserve(&id, amount, &bookings, expires_ms).await;
                    if let Err(error) = &reserved {
                        tracing::error!(error = %written(error), "a call cannot be booked");
                    }
                    // Who has left meanwhile tells that it ended.
                    tell.send(matches!(reserved, Ok(Reserved::Granted(_)))).ok();
                }
            }
        }
        while !ended.is_empty() {
            match self.store.book_calls(&ended).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(error = %written(error), calls = ended.len(), "what calls cost cannot be written; it is tried again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Books what nobody settled in time, and forgets what is old.
    async fn sweep(&self) {
        let now = time::now_ms();
        let swept = async {
            self.store.expire_reservations(now).await?;
            self.store.forget_calls(now - CALLS_DAYS * time::DAY_MS).await?;
            let accounts = now - CALLS_DAYS * time::DAY_MS;
            self.store.forget_ledger(now - RESERVATIONS_DAYS * time::DAY_MS, accounts).await
        };
        if let Err(error) = swept.await {
            tracing::warn!(error = %written(error), "the books cannot be tidied; it is tried again");
        }
    }
}

/// Why there are no books.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The store does not work.
    #[error("cannot read what was spent")]
    Store(#[from] StoreError),
    /// The folder cannot be used.
    #[error("cannot keep whose books these are")]
    Folder(#[from] std::io::Error),
}

/// The identity in a file, made where there is none.
fn identity(path: &Path) -> std::io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let id = text.trim().parse::<Uuid>().map_err(std::io::Error::other)?;
            Ok(id.to_string())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = Uuid::now_v7().to_string();
            let beside = path.with_extension("new");
            std::fs::write(&beside, &id)?;
            std::fs::rename(beside, path)?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}
