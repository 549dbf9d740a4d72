//! Clients that mean harm: bytes by hand, slowly, too many, contradictory, or not to the end.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use crate::{http::connect, wait};

/// Sends bytes as they are; gives everything that comes back until the peer closes or `limit` is over.
pub fn raw(to: SocketAddr, bytes: &[u8], limit: Duration) -> Vec<u8> {
    let mut stream = connect(to);
    stream.set_read_timeout(Some(limit)).expect("a socket takes a limit");
    // A router may refuse before it has read everything; what it answered still counts.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    let mut piece = [0; 8192];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        if answer.len() > 1 << 20 {
            break;
        }
    }
    answer
}

/// Sends `bytes` one at a time with a pause between; gives how long the peer put up with it, and its answer.
pub fn slowly(
    to: SocketAddr,
    bytes: &[u8],
    pause: Duration,
    limit: Duration,
) -> (Duration, Vec<u8>) {
    let begun = Instant::now();
    let mut stream = connect(to);
    stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a socket takes a limit");
    let mut answer = Vec::new();
    for byte in bytes {
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(piece.get(..read).unwrap_or_default()),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        if begun.elapsed() > limit || stream.write_all(&[*byte]).is_err() {
            break;
        }
        thread::park_timeout(pause);
    }
    (begun.elapsed(), answer)
}

/// Says that `length` bytes follow, sends endless filler, and gives the answer and how many bytes were taken.
pub fn flood(to: SocketAddr, head: &str, most: usize) -> (usize, Vec<u8>) {
    let mut stream = connect(to);
    stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a socket takes a limit");
    let filler = vec![b'a'; 64 * 1024];
    let mut sent = 0;
    if stream.write_all(head.as_bytes()).is_ok() {
        while sent < most && stream.write_all(&filler).is_ok() {
            sent += filler.len();
        }
    }
    drop(stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    stream.set_read_timeout(Some(wait::LONG)).expect("a socket takes a limit");
    drop(stream.read_to_end(&mut answer));
    (sent, answer)
}

/// The status of a raw answer; `None` when there is none.
pub fn status(answer: &[u8]) -> Option<u16> {
    let line = String::from_utf8_lossy(answer.get(..answer.len().min(64))?).into_owned();
    line.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.trim().parse().ok()
}

/// How many answers stand in `bytes`: more than one is a smuggled request.
pub fn answers(bytes: &[u8]) -> usize {
    bytes.windows(9).filter(|window| *window == b"HTTP/1.1 ").count()
}
