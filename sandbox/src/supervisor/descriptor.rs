//! Our end of a pipe or of a terminal, read and written without blocking a thread.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::{Errno, read, write},
    termios::{Winsize, tcsetwinsize},
};
use tokio::io::Interest;

use crate::{control::Screen, sys::Watched};

/// The descriptor.
#[derive(Debug)]
pub(super) struct Descriptor(Watched);

impl Descriptor {
    /// Takes the descriptor over, which has nobody else's flags.
    pub(super) fn new(descriptor: OwnedFd, interest: Interest) -> io::Result<Self> {
        let flags = fcntl_getfl(&descriptor)?;
        fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK)?;
        Ok(Self(Watched::new(descriptor, interest)?))
    }

    /// Reads what is there, waiting for something. Nothing is the end. Cancel-safe: a drop loses nothing.
    pub(super) async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(length) = ready.try_io(|inner| Ok(read(inner.get_ref(), &mut *into)?)) {
                return length;
            }
        }
    }

    /// Reads what is there without waiting. `WouldBlock` is nothing now.
    pub(super) fn read_now(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match read(self.0.get_ref(), &mut *into) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Writes everything. A drop loses what is not written yet.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            if let Ok(length) = ready.try_io(|inner| Ok(write(inner.get_ref(), bytes)?)) {
                bytes = bytes.get(length?..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Sets the size of a terminal.
    pub(super) fn resize(&self, screen: Screen) -> io::Result<()> {
        let size =
            Winsize { ws_row: screen.rows, ws_col: screen.columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(self.0.get_ref().as_fd(), size)?)
    }
}
