//! The sockets of a zone: datagrams, and connections with messages behind their length (RFC 7766).
//!
//! Invariant: whatever a sandbox sends, one message is held at a time for each of a bounded number of connections, and
//! only so many are answered in a second.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{QUESTION_BYTES_MAX, Zone};
use crate::pace::Pace;

/// Answers at once and after that, for each socket; far above what programs ask, far below what would keep a core busy.
const BURST: u32 = 2_000;
const PERIOD: Duration = Duration::from_micros(500);

/// Connections at once for each socket.
const CONNECTIONS_MAX: usize = 32;

/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// How long a socket that fails is left alone.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers datagrams until it is dropped. Questions beyond the rate go unanswered, and their programs ask again.
pub async fn serve_udp(socket: UdpSocket, zone: Arc<Zone>) {
    let mut pace = Pace::new(BURST, PERIOD, std::time::Instant::now());
    // One byte more than is read, so that what was cut is known to be too long.
    let mut message = vec![0; QUESTION_BYTES_MAX + 1];
    loop {
        let (length, from) = match socket.recv_from(&mut message).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(error = %error, "a question for a name cannot be read");
                sleep(PAUSE).await;
                continue;
            }
        };
        if !pace.admit(std::time::Instant::now()) {
            continue;
        }
        let answer = message.get(..length).and_then(|message| zone.answer(message));
        if let Some(answer) = answer
            && let Err(error) = socket.send_to(&answer, from).await
        {
            tracing::debug!(error = %error, "an answer for a name cannot be sent");
        }
    }
}

/// Answers on connections until it is dropped, which ends them.
pub async fn serve_tcp(listener: TcpListener, zone: Arc<Zone>) {
    let mut open = JoinSet::new();
    loop {
        while open.len() >= CONNECTIONS_MAX {
            open.join_next().await;
        }
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                open.spawn(converse(stream, Arc::clone(&zone)));
            }
            Err(error) => {
                tracing::debug!(error = %error, "a connection for names cannot be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, zone: Arc<Zone>) {
    let mut pace = Pace::new(BURST, PERIOD, std::time::Instant::now());
    while pace.admit(std::time::Instant::now()) {
        let turn = timeout(SILENCE, turn(&mut stream, &zone)).await;
        if !matches!(turn, Ok(Some(()))) {
            return;
        }
    }
}

/// One question and its answer; `None` ends the connection.
async fn turn(stream: &mut TcpStream, zone: &Zone) -> Option<()> {
    let length = usize::from(stream.read_u16().await.ok()?);
    if length > QUESTION_BYTES_MAX {
        return None;
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    let answer = zone.answer(&message)?;
    let length = u16::try_from(answer.len()).ok()?;
    let framed = [&length.to_be_bytes()[..], &answer].concat();
    stream.write_all(&framed).await.ok()
}
