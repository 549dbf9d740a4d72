//! Executables: whether one is still what its path names, and whether its content is what was first used under that path.
//!
//! The file that is read is the one that runs, opened through the process, never through its path. Hashing is not done while
//! a `connect()` waits; what is needed for it is kept open until then.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use proxy::egress::Unidentified;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2},
    io::Errno,
};
use sha2::{Digest as _, Sha256};

/// The most paths whose content is trusted. Beyond it no new one is: forgetting one would be trusting anew.
const TRUSTED_MAX: usize = 16384;
/// The most executables that are kept open until they are hashed; further ones are hashed at once.
const OPEN_MAX: usize = 64;
const CHUNK_BYTES: usize = 64 * 1024;
/// What the kernel puts behind the path of a file that has none any more.
const DELETED: &str = " (deleted)";

/// A file with its content, as far as one look tells: a write, a rename and a new link change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl FileKey {
    pub(super) fn of(found: &Stat) -> Self {
        Self {
            device: found.st_dev,
            inode: found.st_ino,
            size: found.st_size,
            modified: (found.st_mtime, found.st_mtime_nsec),
            changed: (found.st_ctime, found.st_ctime_nsec),
        }
    }

    fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// An executable that runs.
#[derive(Debug)]
pub(super) struct Binary {
    /// As the sandbox sees it; absolute, without links.
    pub(super) path: String,
    key: FileKey,
    /// Until it is hashed.
    file: Mutex<Option<OwnedFd>>,
    hash: OnceLock<Result<[u8; 32], Unidentified>>,
    /// The content that was first used under this path, by whichever file.
    trusted: Arc<OnceLock<[u8; 32]>>,
    waiting: Arc<AtomicUsize>,
}

impl Binary {
    /// Whether [`Binary::verified`] answers at once.
    pub(super) fn is_hashed(&self) -> bool {
        self.hash.get().is_some()
    }

    /// Its SHA-256, which is the one first seen under its path. Reads the whole file, once.
    ///
    /// # Errors
    /// [`Unidentified::Changed`], [`Unidentified::System`] when it cannot be read.
    pub(super) fn verified(&self) -> Result<[u8; 32], Unidentified> {
        self.hash.get_or_init(|| self.hash_now()).clone()
    }

    fn hash_now(&self) -> Result<[u8; 32], Unidentified> {
        let file = self.file.lock().take();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let file = file.ok_or_else(|| unknown(&self.path, "it is closed"))?;
        let mut file = File::from(file);
        let hash = hash(&mut file).map_err(|error| unknown(&self.path, error))?;
        let after = fstat(&file).map_err(|error| unknown(&self.path, error))?;
        let is_what_was_seen = FileKey::of(&after) == self.key;
        if is_what_was_seen && *self.trusted.get_or_init(|| hash) == hash {
            Ok(hash)
        } else {
            Err(Unidentified::Changed(self.path.clone()))
        }
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        if self.file.lock().take().is_some() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn hash(file: &mut File) -> io::Result<[u8; 32]> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut hasher = Sha256::new();
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(length) => hasher.update(chunk.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn unknown(path: &str, error: impl std::fmt::Display) -> Unidentified {
    Unidentified::System(format!("{path}: {error}"))
}

/// Every executable that was seen, by its path.
#[derive(Debug, Default)]
pub(super) struct Binaries {
    known: HashMap<String, Arc<Binary>>,
    waiting: Arc<AtomicUsize>,
}

impl Binaries {
    /// The executable of the process whose folder in `/proc` is given, with `seen` and `path` just read there.
    ///
    /// # Errors
    /// [`Unidentified::NoFile`] for one that has no path, [`Unidentified::Changed`] for one whose path leads elsewhere,
    /// [`Unidentified::System`].
    pub(super) fn admit(
        &mut self,
        process: BorrowedFd<'_>,
        key: FileKey,
        path: &str,
    ) -> Result<Arc<Binary>, Unidentified> {
        check_path(process, key, path)?;
        if let Some(known) = self.known.get(path)
            && known.key == key
        {
            return Ok(Arc::clone(known));
        }
        let trusted = self.known.get(path).map(|known| Arc::clone(&known.trusted));
        if trusted.is_none() && self.known.len() >= TRUSTED_MAX {
            return Err(Unidentified::System(format!(
                "{TRUSTED_MAX} executables are known already"
            )));
        }
        let file = openat(process, "exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| unknown(path, error))?;
        if !fstat(&file).is_ok_and(|found| FileKey::of(&found) == key) {
            return Err(Unidentified::Changed(path.to_owned()));
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        let binary = Arc::new(Binary {
            path: path.to_owned(),
            key,
            file: Mutex::new(Some(file)),
            hash: OnceLock::new(),
            trusted: trusted.unwrap_or_default(),
            waiting: Arc::clone(&self.waiting),
        });
        if waiting > OPEN_MAX {
            // Kept with the executable, for whoever asks next.
            drop(binary.verified());
        }
        self.known.insert(path.to_owned(), Arc::clone(&binary));
        Ok(binary)
    }
}

/// Whether the path still leads to this file, in the tree of that process.
fn check_path(process: BorrowedFd<'_>, key: FileKey, path: &str) -> Result<(), Unidentified> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        openat(process, "root", folder, Mode::empty()).map_err(|error| unknown(path, error))?;
    match file_at(&root, path) {
        Ok(found) if found.is_same_file(&key) => Ok(()),
        Ok(_) | Err(Errno::LOOP) => Err(Unidentified::Changed(path.to_owned())),
        Err(Errno::NOENT | Errno::NOTDIR) => {
            let former = path.strip_suffix(DELETED).unwrap_or(path);
            match file_at(&root, former) {
                Ok(_) => Err(Unidentified::Changed(former.to_owned())),
                Err(_) => Err(Unidentified::NoFile(former.to_owned())),
            }
        }
        Err(error) => Err(unknown(path, error)),
    }
}

fn file_at(root: impl AsFd, path: &str) -> Result<FileKey, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let file = openat2(root, path, flags, Mode::empty(), resolve)?;
    Ok(FileKey::of(&fstat(&file)?))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        path::{Path, PathBuf},
    };

    use super::*;

    /// Something that looks like the folder of a process in `/proc`, in front of a file.
    struct Pretence {
        folder: tempfile::TempDir,
        file: PathBuf,
    }

    impl Pretence {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().canonicalize().unwrap().join("tool");
            fs::write(&file, "one").unwrap();
            symlink("/", folder.path().join("root")).unwrap();
            symlink(&file, folder.path().join("exe")).unwrap();
            Self { folder, file }
        }

        fn look(&self) -> (File, FileKey) {
            let process = File::open(self.folder.path()).unwrap();
            let found = rustix::fs::stat(self.folder.path().join("exe")).unwrap();
            (process, FileKey::of(&found))
        }

        fn admit(&self, binaries: &mut Binaries, path: &Path) -> Result<Arc<Binary>, Unidentified> {
            let (process, key) = self.look();
            binaries.admit(process.as_fd(), key, path.to_str().unwrap_or_default())
        }
    }

    #[test]
    fn content_is_trusted_on_first_use_for_good() {
        let (pretence, mut binaries) = (Pretence::new(), Binaries::default());
        let first = pretence.admit(&mut binaries, &pretence.file).unwrap();
        assert!(!first.is_hashed());
        let one = first.verified().unwrap();
        assert_eq!(one[..4], [0x76, 0x92, 0xc3, 0xad]); // SHA-256 of "one"
        fs::write(&pretence.file, "two").unwrap();
        let second = pretence.admit(&mut binaries, &pretence.file).unwrap();
        assert!(matches!(second.verified(), Err(Unidentified::Changed(_))));
        fs::write(&pretence.file, "one").unwrap();
        let third = pretence.admit(&mut binaries, &pretence.file).unwrap();
        assert_eq!(third.verified(), Ok(one));
    }

    #[test]
    fn the_same_file_is_hashed_once() {
        let (pretence, mut binaries) = (Pretence::new(), Binaries::default());
        let first = pretence.admit(&mut binaries, &pretence.file).unwrap();
        assert!(first.verified().is_ok());
        let second = pretence.admit(&mut binaries, &pretence.file).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn a_path_that_leads_elsewhere_or_nowhere_is_refused() {
        let (pretence, mut binaries) = (Pretence::new(), Binaries::default());
        let other = pretence.file.with_file_name("other");
        fs::write(&other, "one").unwrap();
        let found = pretence.admit(&mut binaries, &other);
        assert!(matches!(found, Err(Unidentified::Changed(_))), "{found:?}");
        let gone = pretence.file.with_file_name("gone (deleted)");
        let found = pretence.admit(&mut binaries, &gone);
        assert!(matches!(found, Err(Unidentified::NoFile(_))), "{found:?}");
        let replaced = pretence.file.with_file_name("tool (deleted)");
        let found = pretence.admit(&mut binaries, &replaced);
        assert!(matches!(found, Err(Unidentified::Changed(_))), "{found:?}");
    }

    #[test]
    fn what_waits_to_be_hashed_is_bounded() {
        let (pretence, mut binaries) = (Pretence::new(), Binaries::default());
        let mut kept = Vec::new();
        for number in 0..OPEN_MAX + 2 {
            fs::write(&pretence.file, number.to_string()).unwrap();
            let own = Binaries { waiting: Arc::clone(&binaries.waiting), ..Binaries::default() };
            let mut own = std::mem::replace(&mut binaries, own);
            kept.push(pretence.admit(&mut own, &pretence.file).unwrap());
        }
        assert!(!kept.first().unwrap().is_hashed());
        assert!(kept.last().unwrap().is_hashed());
        drop(kept);
        assert_eq!(binaries.waiting.load(Ordering::Relaxed), 0);
    }
}
