//! System calls as an attacker makes them: by number, with any argument.

#![expect(unsafe_code, reason = "attacks are made of calls that no safe library offers")]

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    process::ExitCode,
};

/// Makes a call.
pub(crate) fn call(number: i64, arguments: [u64; 6]) -> io::Result<i64> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    // SAFETY: callers pass numbers, null, or addresses of buffers that live; where a call would end or fork this program,
    // that is what the probe is for.
    let returned = unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) };
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// `getpid` through the gate of 32-bit programs, where other numbers apply.
#[cfg(target_arch = "x86_64")]
pub(crate) fn call_32_bit() -> i32 {
    let result: i32;
    // SAFETY: the call takes no argument and changes no memory.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("eax") 20 => result, options(nostack));
    }
    result
}

/// Whether this system grants the namespaces that a sandbox needs, to root or to an ordinary user.
pub(crate) fn try_namespaces(kind: &str) -> ExitCode {
    let user = if kind == "user" { libc::CLONE_NEWUSER } else { 0 };
    let flags = libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWPID | user;
    let rights = call(libc::SYS_unshare, [u64::from(flags.cast_unsigned()), 0, 0, 0, 0, 0])
        .and_then(|_| {
            // Rights over them are another matter: some systems grant the namespaces and none of the rights.
            let root = c"/".as_ptr().addr() as u64;
            let private = libc::MS_REC | libc::MS_PRIVATE;
            call(libc::SYS_mount, [0, root, 0, private, 0, 0])
        });
    match rights {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            super::say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Moves this process into a mount namespace of its own with a mount in `/etc`.
pub(crate) fn mount_in_etc() {
    let address = |text: &CStr| text.as_ptr().addr() as u64;
    let flags = u64::from(libc::CLONE_NEWNS.cast_unsigned());
    call(libc::SYS_unshare, [flags, 0, 0, 0, 0, 0]).unwrap();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    call(libc::SYS_mount, [0, address(c"/"), 0, private, 0, 0]).unwrap();
    let (from, to) = (address(c"/etc/passwd"), address(c"/etc/group"));
    call(libc::SYS_mount, [from, to, 0, libc::MS_BIND, 0, 0]).unwrap();
}

/// Gives this thread a name.
pub(crate) fn name_thread(name: &CStr) {
    let set_name = u64::from(libc::PR_SET_NAME.cast_unsigned());
    call(libc::SYS_prctl, [set_name, name.as_ptr().addr() as u64, 0, 0, 0, 0]).unwrap();
}

/// A file that is memory alone, and stays open across an `exec`.
pub(crate) fn memory_file(name: &CStr) -> io::Result<File> {
    let raw = call(libc::SYS_memfd_create, [name.as_ptr().addr() as u64, 0, 0, 0, 0, 0])?;
    // SAFETY: the descriptor is new, so nobody else owns it.
    Ok(unsafe { File::from_raw_fd(i32::try_from(raw).unwrap()) })
}

/// A descriptor that this program was started with.
pub(crate) fn inherited(raw: i32) -> OwnedFd {
    // SAFETY: nothing else in this program knows of it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

const PAGE: u64 = 4096;

/// Maps the first page of a file as code.
pub(crate) fn map_code(file: &File) -> io::Result<()> {
    let rights = u64::from((libc::PROT_READ | libc::PROT_EXEC).cast_unsigned());
    let descriptor = u64::from(file.as_raw_fd().cast_unsigned());
    let private = u64::from(libc::MAP_PRIVATE.cast_unsigned());
    call(libc::SYS_mmap, [0, PAGE, rights, private, descriptor, 0]).map(drop)
}

/// Maps a page of memory that can be written and executed.
pub(crate) fn map_memory() -> io::Result<()> {
    let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let word = |number: i32| u64::from(number.cast_unsigned());
    call(libc::SYS_mmap, [0, PAGE, word(rights), word(flags), u64::MAX, 0]).map(drop)
}

/// Puts a filter with a listener on this process, as some containers do. Gives the listener's descriptor.
pub(crate) fn listen() -> i64 {
    let allow = libc::sock_filter {
        code: u16::try_from(libc::BPF_RET | libc::BPF_K).unwrap(),
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let program = [allow];
    let whole = libc::sock_fprog { len: 1, filter: program.as_ptr().cast_mut() };
    rustix::thread::set_no_new_privs(true).unwrap();
    let mode = u64::from(libc::SECCOMP_SET_MODE_FILTER);
    let at = std::ptr::from_ref(&whole).addr() as u64;
    call(libc::SYS_seccomp, [mode, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, at, 0, 0, 0]).unwrap()
}

/// Makes every call with that number fail with `errno` from now on, in this process and what it starts.
pub(crate) fn refuse(number: i64, errno: i32) {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let one = |code: u32, k: u32, jf: u8| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: 0,
        jf,
        k,
    };
    let program = [
        one(load, 0, 0),
        one(equal, u32::try_from(number).unwrap(), 1),
        one(answer, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned(), 0),
        one(answer, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let whole = libc::sock_fprog { len: 4, filter: program.as_ptr().cast_mut() };
    rustix::thread::set_no_new_privs(true).unwrap();
    let mode = u64::from(libc::SECCOMP_SET_MODE_FILTER);
    call(libc::SYS_seccomp, [mode, 0, std::ptr::from_ref(&whole).addr() as u64, 0, 0, 0]).unwrap();
}
