//! Answers the kernel whenever a program of the sandbox calls `connect()`: notes who it is, and lets it go on.
//!
//! Every call is let through as it was made, whatever was seen. That is safe although the program can change the address,
//! and what its descriptor names, until the kernel looks again: wherever the call leads is one of the supervisor's sockets
//! or another program of the sandbox. A socket that is swapped in between was not seen here and is refused, or belongs to the
//! program that called `connect()` on it before, which must have handed it over. What is noted is the process, and it cannot
//! change: it is inside a system call, and whether it still was when everything had been read is asked last.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{
        ipproto,
        sockopt::{socket_cookie, socket_protocol},
    },
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use super::shared::Shared;
use crate::sys::{self, Asked};

/// Serves until `stop` can be read or nobody is left who could ask. The listener is closed with the thread that owns it,
/// also by a panic: then calls fail, and nobody waits.
pub(super) fn serve(listener: &OwnedFd, stop: &OwnedFd, shared: &Shared) {
    // Only a matter of speed, which older kernels lack.
    sys::wake_on_the_same_processor(listener).ok();
    loop {
        let mut ends = [
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
        ];
        match poll(&mut ends, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let [asks, stops] = ends;
        if !stops.revents().is_empty() || !asks.revents().contains(PollFlags::IN) {
            return;
        }
        match sys::next_asked(listener) {
            Ok(asked) => {
                note(listener, asked, shared);
                // Given up meanwhile: killed.
                sys::let_go_on(listener, asked.id).ok();
            }
            Err(error) => match Errno::from_io_error(&error) {
                // Killed before it was looked at.
                Some(Errno::NOENT | Errno::INTR) => {}
                _ => return,
            },
        }
    }
}

/// Notes who asks, if it is about TCP. What cannot be looked at leaves no record, so that its connection is refused.
fn note(listener: &OwnedFd, asked: Asked, shared: &Shared) {
    let Ok(socket) = socket_of(asked) else { return };
    if socket_protocol(&socket) != Ok(Some(ipproto::TCP)) {
        return;
    }
    let Ok(cookie) = socket_cookie(&socket) else { return };
    let record = shared.look_at(asked.thread);
    if sys::still_waits(listener, asked.id) {
        shared.remember(cookie, record);
    }
}

/// The socket that the descriptor of that thread names now.
fn socket_of(asked: Asked) -> Result<OwnedFd, Errno> {
    /// Of a thread that is not the first of its process; `O_EXCL`, Linux 6.9.
    const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(0x80);
    let thread = Pid::from_raw(asked.thread).ok_or(Errno::SRCH)?;
    let handle = pidfd_open(thread, PidfdFlags::empty())
        .or_else(|_| pidfd_open(thread, THREAD))
        .or_else(|_| pidfd_open(super::process::group_of(thread)?, PidfdFlags::empty()))?;
    pidfd_getfd(handle, asked.descriptor, PidfdGetfdFlags::empty())
}
