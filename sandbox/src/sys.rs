//! The system calls that no safe library offers, each behind a safe function. The only `unsafe` of the workspace.
//!
//! Nothing here decides anything. Invariant: every function is sound for every argument its types allow; what cannot be
//! said in types is checked at run time ([`Alone`]).

#![expect(
    unsafe_code,
    reason = "fork, seccomp, signalfd, mount_setattr and watching a descriptor have no safe wrapper"
)]

use std::{
    fs, io,
    marker::PhantomData,
    mem,
    ops::Deref,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

use rustix::{
    process::{Pid, Signal},
    thread::{UnshareFlags, unshare_unsafe},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Proof that this process has one thread, so that a fork copies no lock that another thread holds.
///
/// Bound to its thread. Who holds it must not start threads before the last fork.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alone(PhantomData<*const ()>);

impl Alone {
    /// Counts the threads of this process.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when there are others; the error of `/proc/self/task` when it cannot be read.
    pub(crate) fn prove() -> io::Result<Self> {
        let threads = fs::read_dir("/proc/self/task")?.count();
        if threads == 1 { Ok(Self(PhantomData)) } else { Err(io::ErrorKind::ResourceBusy.into()) }
    }
}

/// Which side of a fork this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The process that forked, and the process it got.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Forks into the new namespaces that `flags` (`CLONE_NEW*`) name.
///
/// # Errors
/// Those of clone(2); `EPERM` and `ENOSPC` say that this user may not have the namespaces.
pub(crate) fn fork_into(_alone: Alone, flags: libc::c_int) -> io::Result<Side> {
    let flags = libc::c_long::from((flags & NAMESPACES) | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack this is fork(2) for a process with one thread, which `Alone` proves;
    // the child goes on with a copy of all memory and no lock is held by a thread that it lacks. The order of the last two
    // arguments differs between machines, and both are zero.
    side(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })
}

/// All that [`fork_into`] may be asked for; anything else would share memory with the child.
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

/// Forks.
///
/// # Errors
/// Those of fork(2).
pub(crate) fn fork(_alone: Alone) -> io::Result<Side> {
    // SAFETY: this process has one thread, which `Alone` proves, so the child may do whatever the parent may.
    side(libc::c_long::from(unsafe { libc::fork() }))
}

fn side(returned: libc::c_long) -> io::Result<Side> {
    if returned == 0 {
        return Ok(Side::Child);
    }
    let pid = i32::try_from(returned).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    pid.map(Side::Parent).ok_or_else(io::Error::last_os_error)
}

/// Ends this process without running what its parent registered for the end.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: _exit(2) takes any number and does not return.
    unsafe { libc::_exit(code) }
}

/// Leaves the cgroup namespace for a new one, whose root is the present cgroup.
///
/// # Errors
/// Those of unshare(2).
pub(crate) fn unshare_cgroup() -> io::Result<()> {
    // SAFETY: only descriptor tables make unshare unsafe, and this flag does not touch them.
    unsafe { unshare_unsafe(UnshareFlags::NEWCGROUP) }.map_err(Into::into)
}

/// Leaves the network and the mounts of this process for new ones; with `user`, in a user namespace of its own.
///
/// # Errors
/// Those of unshare(2); `EPERM` and `ENOSPC` say that this user may not have the namespaces.
pub(crate) fn unshare_network(_alone: Alone, user: UserNamespace) -> io::Result<()> {
    let user = match user {
        UserNamespace::New => UnshareFlags::NEWUSER,
        UserNamespace::Present => UnshareFlags::empty(),
    };
    // SAFETY: only descriptor tables make unshare unsafe, and these flags do not touch them.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS | user) }.map_err(Into::into)
}

/// Which user namespace [`unshare_network`] leaves a process in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserNamespace {
    /// A new one, in which it has every right.
    New,
    /// The one that it is in.
    Present,
}

/// Adds `attributes` (`MOUNT_ATTR_*`) to the mount at `at`, and to all below it when `deep` says so.
///
/// # Errors
/// Those of `mount_setattr(2)`.
pub(crate) fn restrict_mount(at: impl AsFd, attributes: u64, deep: Depth) -> io::Result<()> {
    let set = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = match deep {
        Depth::Alone => libc::AT_EMPTY_PATH,
        Depth::WithAllBelow => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    };
    // SAFETY: the descriptor is open, the path is an empty string that ends with zero, and `set` lives and is of the size
    // that is passed.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(&set),
            size_of::<libc::mount_attr>(),
        )
    };
    check(returned)
}

/// How far [`restrict_mount`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// That one mount.
    Alone,
    /// And every mount below it.
    WithAllBelow,
}

/// Closes every descriptor but those of `keep` and the standard three.
///
/// For the child of a fork alone, which never returns to what its parent was doing: the owners of the others live on as
/// copies that nothing runs.
///
/// # Errors
/// Those of `close_range(2)`.
pub(crate) fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> =
        keep.iter().map(|kept| kept.as_raw_fd().cast_unsigned()).filter(|kept| *kept > 2).collect();
    kept.sort_unstable();
    let mut first = 3;
    for kept in kept {
        if first < kept {
            close_range(first, kept - 1)?;
        }
        first = kept + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    let (first, last) = (libc::c_long::from(first), libc::c_long::from(last));
    // SAFETY: the call takes three numbers; who may call this is said above.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
}

/// Lets every signal come to this process and do what it does by default. Whoever started the supervisor may have ignored
/// some, as shells do for what runs in the background, and the first process blocks those that it reads from a descriptor
/// ([`signal_descriptor`]): both would be inherited, and a shell whose children end unheard waits for them for ever.
pub(crate) fn default_signals() {
    // SAFETY: an all-zero sigset_t is a valid value for sigemptyset to overwrite, and both calls get pointers to one that lives.
    unsafe {
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
    for signal in 1..=64 {
        // SAFETY: no handler is installed, only the default taken back; the kernel refuses it for the few numbers that are
        // not ours to change.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Blocks `signals` in this thread and gives a descriptor that reads them.
///
/// # Errors
/// Those of sigprocmask(2) and signalfd(2).
pub(crate) fn signal_descriptor(signals: &[Signal]) -> io::Result<OwnedFd> {
    // SAFETY: an all-zero sigset_t is a valid value for sigemptyset to overwrite, and each call gets a pointer to it that
    // lives; signalfd gives a new descriptor that nobody else owns.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, signal.as_raw());
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let raw = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if raw < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(raw)) }
    }
}

/// A descriptor whose readiness the runtime watches. It can be borrowed and never replaced, which is what makes watching sound.
#[derive(Debug)]
pub(crate) struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Watches it, on the current runtime.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`; `EPERM` for what is always ready, such as a file.
    pub(crate) fn new(descriptor: OwnedFd, interest: Interest) -> io::Result<Self> {
        // SAFETY: the descriptor is owned by the value that watches it, and nothing here gives out a mutable reference
        // to it, so it stays open and the same for as long as it is watched.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
        Ok(Self(watched?))
    }
}

impl Deref for Watched {
    type Target = AsyncFd<OwnedFd>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Puts a seccomp program on this thread and all that it starts. It cannot be taken off.
///
/// # Errors
/// Those of seccomp(2); `EINVAL` for a program that the kernel does not accept.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    check(seccomp(program, 0)?)
}

/// The same with a listener, which is told of every call that the program answers with `SECCOMP_RET_USER_NOTIF`.
///
/// # Errors
/// Those of seccomp(2); `EBUSY` when a filter of this process has a listener already.
pub(crate) fn install_filter_with_listener(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    // A signal that does not kill must not break a call off that is being answered: it would be made again, and a program
    // with a fast timer would never get through. Linux 5.19.
    let patient = LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let mut returned = seccomp(program, patient)?;
    if returned < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        returned = seccomp(program, LISTENER)?;
    }
    check(returned)?;
    let raw = i32::try_from(returned).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: with this flag the call returns a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

const LISTENER: libc::c_ulong = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;

fn seccomp(program: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let len =
        u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions at `filter`, which borrows them for the whole call, checks them and
    // keeps a copy; it never writes there.
    Ok(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_long::from(libc::SECCOMP_SET_MODE_FILTER),
            flags,
            ptr::from_ref(&program),
        )
    })
}

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Its number, as the listener counts.
    pub(crate) id: u64,
    /// The thread that makes it, as this process counts them.
    pub(crate) thread: i32,
    /// The first argument, a descriptor of that thread.
    pub(crate) descriptor: i32,
}

/// Takes the next call that waits at a listener. Blocks while there is none.
///
/// # Errors
/// `ENOENT` when it was given up meanwhile, or when nobody is left who could make one; `EINTR`.
pub(crate) fn next_asked(listener: impl AsFd) -> io::Result<Asked> {
    // SAFETY: all of it are numbers, for which zero is a value; the kernel asks for zeroes.
    let mut found: libc::seccomp_notif = unsafe { mem::zeroed() };
    listener_call(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut found)?;
    let thread = i32::try_from(found.pid).map_err(|_| io::ErrorKind::InvalidData)?;
    let [descriptor, ..] = found.data.args;
    // The kernel reads a descriptor as 32 bits, whatever is above.
    let low = u32::try_from(descriptor & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    Ok(Asked { id: found.id, thread, descriptor: low.cast_signed() })
}

/// Whether that call still waits: its thread lives, and is in the call.
pub(crate) fn still_waits(listener: impl AsFd, mut id: u64) -> bool {
    listener_call(listener, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &mut id).is_ok()
}

/// Lets that call be made as it is.
///
/// # Errors
/// `ENOENT` when it was given up meanwhile.
pub(crate) fn let_go_on(listener: impl AsFd, id: u64) -> io::Result<()> {
    let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or_default();
    let mut answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
    listener_call(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut answer)
}

/// Has the kernel run who answers on the processor of who asks, which saves a wake-up across processors. Linux 6.6.
///
/// # Errors
/// `EINVAL` on an older kernel.
pub(crate) fn wake_on_the_same_processor(listener: impl AsFd) -> io::Result<()> {
    const SYNC_WAKE_UP: libc::c_ulong = 1;
    // SAFETY: this call takes a number and touches no memory of this process.
    let returned = unsafe {
        libc::ioctl(listener.as_fd().as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP)
    };
    check(returned.into())
}

/// What crosses between a listener and the kernel.
trait Crossing {}
impl Crossing for libc::seccomp_notif {}
impl Crossing for libc::seccomp_notif_resp {}
impl Crossing for u64 {}

fn listener_call<T: Crossing>(
    listener: impl AsFd,
    command: libc::Ioctl,
    crossing: &mut T,
) -> io::Result<()> {
    // SAFETY: each command carries the size of the structure that it reads and writes, which is the one that its only
    // callers pass; it lives and nobody else has it. On a descriptor that is no listener the call fails.
    let returned =
        unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), command, ptr::from_mut(crossing)) };
    check(returned.into())
}

fn check(returned: libc::c_long) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_two_threads_is_not_alone() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || stopped.recv().is_err());
        let error = Alone::prove().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        drop(stop);
        assert!(other.join().unwrap());
    }
}
