//! The strict check: everything that a process may execute comes from where the sandbox cannot write.
//!
//! `LD_PRELOAD`, a copied program, a library beside it: all show as executable mappings of files. Not seen: what an
//! interpreter reads as data, and code that a program writes into its own memory, as just-in-time compilers do.

use std::{os::fd::BorrowedFd, sync::OnceLock};

use proxy::egress::Unidentified;
use rustix::{
    fs::{Mode, OFlags, openat},
    io::{Errno, read},
};

/// The most bytes of one list; a mapping takes a hundred, and the kernel bounds their number at 65,530.
const LIST_BYTES_MAX: usize = 16 << 20;
/// Memory that is shared and has no file, as `mmap` makes it.
const SHARED_MEMORY: &[u8] = b"/dev/zero (deleted)";

/// The check, with the mounts of the sandbox: nobody in there can change them.
#[derive(Debug, Default)]
pub(super) struct Code(OnceLock<Mounts>);

impl Code {
    /// Checks the process behind a folder of `/proc`.
    ///
    /// # Errors
    /// [`Unidentified::Writable`] with the path of the code; [`Unidentified::System`].
    pub(super) fn check(&self, process: BorrowedFd<'_>) -> Result<(), Unidentified> {
        let system = |error: Errno| Unidentified::System(format!("mappings: {error}"));
        let mounts = if let Some(mounts) = self.0.get() {
            mounts
        } else {
            let mounts = Mounts::read(&list(process, "mountinfo").map_err(system)?);
            self.0.get_or_init(|| mounts)
        };
        let maps = list(process, "maps").map_err(system)?;
        match maps.split(|byte| *byte == b'\n').find_map(|line| mounts.writable_code(line)) {
            None => Ok(()),
            Some(path) => Err(Unidentified::Writable(String::from_utf8_lossy(path).into_owned())),
        }
    }
}

fn list(process: BorrowedFd<'_>, name: &str) -> Result<Vec<u8>, Errno> {
    let file = openat(process, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut whole = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let length = read(&file, chunk.as_mut_slice())?;
        if length == 0 {
            return Ok(whole);
        }
        whole.extend_from_slice(chunk.get(..length).unwrap_or_default());
        if whole.len() > LIST_BYTES_MAX {
            return Err(Errno::FBIG);
        }
    }
}

/// Where something is mounted, and whether that may be written.
#[derive(Debug, Default)]
struct Mounts(Vec<(Vec<u8>, bool)>);

impl Mounts {
    /// Reads `/proc/PID/mountinfo`; of several mounts at one place the last lies on top.
    fn read(text: &[u8]) -> Self {
        let mount = |line: &[u8]| {
            let mut fields = line.split(|byte| *byte == b' ').skip(4);
            let (at, options) = (fields.next()?, fields.next()?);
            let is_read_only = options.split(|byte| *byte == b',').any(|option| option == b"ro");
            Some((unescape(at), !is_read_only))
        };
        Self(text.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    /// The path of a mapping that may be executed and lies where the sandbox can write, or nowhere.
    fn writable_code<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        // address permissions offset device inode path; the path is set off by spaces and may hold some.
        let mut rest = line;
        let mut field = || {
            let (field, after) = rest.split_at(rest.iter().position(|byte| *byte == b' ')?);
            rest = after.trim_ascii_start();
            Some(field)
        };
        let (_address, permissions) = (field()?, field()?);
        let (_offset, _device, _inode) = (field()?, field()?, field()?);
        let path = rest;
        let is_code = permissions.get(2) == Some(&b'x');
        let has_file = !path.is_empty() && !path.starts_with(b"[") && path != SHARED_MEMORY;
        (is_code && has_file && self.is_writable(path)).then_some(path)
    }

    /// The root of a sandbox holds folders and links alone, so what seems to lie there, a `memfd` for example, lies nowhere.
    fn is_writable(&self, path: &[u8]) -> bool {
        let holds = |at: &[u8]| {
            path.strip_prefix(at).is_some_and(|below| below.is_empty() || below.starts_with(b"/"))
        };
        let nearest = self.0.iter().filter(|(at, _)| holds(at)).max_by_key(|(at, _)| at.len());
        nearest.is_none_or(|(_, is_writable)| *is_writable)
    }
}

/// Spaces and their like come as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.first_chunk::<3>().filter(|_| *byte == b'\\');
        let code = digits.and_then(|digits| str::from_utf8(digits).ok());
        if let Some(code) = code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            plain.push(code);
            rest = after.get(3..).unwrap_or_default();
        } else {
            plain.push(*byte);
            rest = after;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"1 0 0:5 / / ro,nosuid - tmpfs tmpfs rw\n\
        2 1 8:1 /usr /usr ro,nosuid,nodev - ext4 /dev/a rw\n\
        3 1 0:6 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw\n\
        4 1 8:1 /w /a\\040b rw,relatime - ext4 /dev/a rw\n\
        5 4 8:1 /w/ro /a\\040b/ro ro,relatime - ext4 /dev/a rw\n";

    fn found(path: &str) -> bool {
        let line = format!("7f00-7f01 r-xp 00000000 08:01 17                 {path}");
        Mounts::read(MOUNTS).writable_code(line.as_bytes()) == Some(path.as_bytes())
    }

    #[test]
    fn code_is_judged_by_the_mount_it_lies_on() {
        for path in ["/usr/lib/x.so", "/a b/ro/x.so", "/usr/bin/gone (deleted)"] {
            assert!(!found(path), "{path}");
        }
        for path in [
            "/tmp/x.so",
            "/a b/x.so",
            "/a b/rough/x.so",
            "/tmp/y (deleted)",
            "/memfd:/usr/lib/x.so (deleted)",
            "/memfd:x (deleted)",
            "/SYSV00000000 (deleted)",
            "/usrlocal",
        ] {
            assert!(found(path), "{path}");
        }
    }

    #[test]
    fn data_and_memory_without_a_file_are_no_reason() {
        let mounts = Mounts::read(MOUNTS);
        for line in [
            "7f00-7f01 r--p 00000000 08:01 17 /tmp/x.so",
            "7f00-7f01 rwxp 00000000 00:00 0 ",
            "7f00-7f01 r-xp 00000000 00:00 0                  [vdso]",
            "7f00-7f01 rwxs 00000000 00:01 9 /dev/zero (deleted)",
            "",
            "x",
        ] {
            assert_eq!(mounts.writable_code(line.as_bytes()), None, "{line}");
        }
    }
}
