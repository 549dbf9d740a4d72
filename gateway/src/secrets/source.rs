//! Where master keys come from: a file that only its owner reads, or a command that prints them.
//!
//! A command is how a key service or a keyring of the system is asked, such as
//! `command:secret-tool lookup service openshell`. The file is made where there is none.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
    time::Duration,
};

use domain::limits::{KEY_COMMAND_MS_MAX, KEY_TEXT_BYTES_MAX};
use thiserror::Error;
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};
use zeroize::Zeroizing;

use super::keys::{KeyId, Keys};

/// Where the master keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file of mode 0600.
    File(PathBuf),
    /// A line for the shell that prints the keys to its standard output.
    Command(String),
}

/// Why there are no master keys. Nothing of a key is in it.
#[derive(Debug, Error)]
pub enum KeysError {
    /// A file could not be made, read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "others may read {path} (mode {mode:03o}); run `chmod 600` on it, and rotate the key if it was seen"
    )]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The path is no file.
    #[error("{0} is no file")]
    NoFile(PathBuf),
    /// The command could not be started or read.
    #[error("the command for the master key cannot be run")]
    Run(#[source] io::Error),
    /// The command failed; it has said why on our standard error.
    #[error("the command for the master key ended with {0}")]
    Failed(std::process::ExitStatus),
    /// The command took too long.
    #[error("the command for the master key gave nothing within {} s", KEY_COMMAND_MS_MAX / 1000)]
    Late,
    /// More text than keys can be.
    #[error("that is more than {KEY_TEXT_BYTES_MAX} bytes, no master key")]
    Long,
    /// The text is not UTF-8.
    #[error("that is no text")]
    NoText,
    /// A line that is no key.
    #[error("line {line} is no key of 32 bytes in hex or base64")]
    Line {
        /// From 1.
        line: usize,
    },
    /// A line with a key that stood there already.
    #[error("line {line} repeats a key")]
    Twice {
        /// From 1.
        line: usize,
    },
    /// No line with a key.
    #[error("no key is there")]
    None,
    /// More keys than anyone rotates.
    #[error("more than {} keys", domain::limits::MASTER_KEYS_MAX)]
    Many,
    /// The system has no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// Another rotation is under way.
    #[error("the master key is being replaced already")]
    Rotating,
    /// The keys of a command are not ours to change.
    #[error(
        "the keys come from a command: let it print the new key before the old one, then say so here"
    )]
    Foreign,
}

impl FromStr for KeySource {
    type Err = KeysError;

    /// `command:LINE`, `file:PATH` or `PATH`.
    fn from_str(text: &str) -> Result<Self, KeysError> {
        if let Some(line) = text.strip_prefix("command:") {
            return if line.trim().is_empty() {
                Err(KeysError::None)
            } else {
                Ok(Self::Command(line.to_owned()))
            };
        }
        let path = text.strip_prefix("file:").unwrap_or(text);
        if path.is_empty() { Err(KeysError::None) } else { Ok(Self::File(path.into())) }
    }
}

impl KeySource {
    /// The keys. A file that is not there is made, with one new key in it.
    ///
    /// # Errors
    /// When the file cannot be made or read or others may read it, when the command fails, or when what it gives is no key.
    pub async fn load(&self) -> Result<Keys, KeysError> {
        match self {
            Self::File(path) => from_file(path),
            Self::Command(line) => from_command(line).await,
        }
    }

    /// Puts a new key in front of those of the file, which go on opening what they sealed.
    ///
    /// # Errors
    /// [`KeysError::Foreign`] for a command; else when the file cannot be read or replaced.
    pub fn add(&self) -> Result<Keys, KeysError> {
        let path = self.file()?;
        let keys = from_file(path)?.with_new()?;
        replace(path, &keys)?;
        Ok(keys)
    }

    /// Drops the keys behind `current` from the file. For when nothing is sealed under them any more.
    ///
    /// # Errors
    /// As [`KeySource::add`]; [`KeysError::None`] when `current` is not in the file, which then stays as it is.
    pub fn retire(&self, current: &KeyId) -> Result<Keys, KeysError> {
        let path = self.file()?;
        let keys = from_file(path)?.up_to(current).ok_or(KeysError::None)?;
        replace(path, &keys)?;
        Ok(keys)
    }

    /// Keeps every other rotation away from the file, also those of other processes, until it is dropped.
    ///
    /// # Errors
    /// [`KeysError::Rotating`] when another one is under way.
    pub fn hold(&self) -> Result<File, KeysError> {
        let mut name = self.file()?.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|source| KeysError::File { action: "lock", path, source })?;
        file.try_lock().map_err(|_| KeysError::Rotating)?;
        Ok(file)
    }

    fn file(&self) -> Result<&Path, KeysError> {
        match self {
            Self::File(path) => Ok(path),
            Self::Command(_) => Err(KeysError::Foreign),
        }
    }
}

fn from_file(path: &Path) -> Result<Keys, KeysError> {
    match read(path) {
        Err(KeysError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            make(path)?;
            read(path)
        }
        result => result,
    }
}

fn read(path: &Path) -> Result<Keys, KeysError> {
    let failed = |source| KeysError::File { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(KeysError::NoFile(path.to_owned()));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Readable { path: path.to_owned(), mode });
    }
    // All the room at once: growing would leave bytes of a key behind.
    let mut text = Zeroizing::new(Vec::with_capacity(KEY_TEXT_BYTES_MAX + 1));
    let most = KEY_TEXT_BYTES_MAX as u64 + 1;
    file.take(most).read_to_end(&mut text).map_err(failed)?;
    parse(&text)
}

fn parse(text: &[u8]) -> Result<Keys, KeysError> {
    if text.len() > KEY_TEXT_BYTES_MAX {
        return Err(KeysError::Long);
    }
    Keys::parse(std::str::from_utf8(text).map_err(|_| KeysError::NoText)?)
}

/// Makes the file with a new key. If another process was first, its key stays.
fn make(path: &Path) -> Result<(), KeysError> {
    let folder = folder_of(path);
    let failed = |action, source| KeysError::File { action, path: path.to_owned(), source };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| KeysError::File { action: "make", path: folder.to_owned(), source })?;
    let beside = written_beside(path, &Keys::random()?)?;
    // A link never replaces what is there, unlike a rename.
    let linked = fs::hard_link(&beside, path);
    let removed = fs::remove_file(&beside);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(|source| failed("make", source)),
    }?;
    removed.map_err(|source| failed("tidy up beside", source))?;
    sync_folder(path)
}

/// Replaces the file as a whole: whoever reads it sees the old or the new keys.
fn replace(path: &Path, keys: &Keys) -> Result<(), KeysError> {
    let beside = written_beside(path, keys)?;
    fs::rename(&beside, path).map_err(|source| KeysError::File {
        action: "replace",
        path: path.to_owned(),
        source,
    })?;
    sync_folder(path)
}

/// A new file beside `path` that holds the keys and is on the disk.
fn written_beside(path: &Path, keys: &Keys) -> Result<PathBuf, KeysError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", uuid::Uuid::new_v4().simple()));
    let beside = path.with_file_name(name);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(keys.text().as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| {
        drop(fs::remove_file(&beside)); // it may not even be there
        KeysError::File { action: "write", path: beside.clone(), source }
    })?;
    Ok(beside)
}

fn sync_folder(path: &Path) -> Result<(), KeysError> {
    let folder = folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| KeysError::File {
        action: "write",
        path: folder.to_owned(),
        source,
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

async fn from_command(line: &str) -> Result<Keys, KeysError> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(KeysError::Run)?;
    let mut output =
        child.stdout.take().ok_or(KeysError::None)?.take(KEY_TEXT_BYTES_MAX as u64 + 1);
    let told = async {
        let mut text = Zeroizing::new(Vec::with_capacity(KEY_TEXT_BYTES_MAX + 1));
        output.read_to_end(&mut text).await.map_err(KeysError::Run)?;
        if text.len() > KEY_TEXT_BYTES_MAX {
            return Err(KeysError::Long); // it would wait for us to read on; dropping it ends it
        }
        let status = child.wait().await.map_err(KeysError::Run)?;
        if !status.success() {
            return Err(KeysError::Failed(status));
        }
        parse(&text)
    };
    timeout(Duration::from_millis(KEY_COMMAND_MS_MAX), told).await.map_err(|_| KeysError::Late)?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[tokio::test]
    async fn a_file_is_made_for_its_owner_alone_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/master.key");
        let source: KeySource = path.to_str().unwrap().parse().unwrap();
        let first = source.load().await.unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(source.load().await.unwrap().current(), first.current());
        assert_eq!(entries(path.parent().unwrap()), 1);
    }

    #[tokio::test]
    async fn two_that_make_the_file_at_once_get_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let load = || {
            let path = path.clone();
            std::thread::spawn(move || from_file(&path).unwrap().current().to_string())
        };
        let ids: Vec<_> = (0..8).map(|_| load()).collect();
        let ids: Vec<_> = ids.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(entries(folder.path()), 1);
    }

    #[tokio::test]
    async fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let source = KeySource::File(path.clone());
        source.load().await.unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = source.load().await.unwrap_err();
        assert!(matches!(error, KeysError::Readable { mode: 0o640, .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(matches!(
            KeySource::File(folder.path().to_owned()).load().await,
            Err(KeysError::NoFile(_))
        ));
    }

    #[tokio::test]
    async fn a_file_that_is_full_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let old = Keys::random().unwrap();
        for text in ["", "my diary\n", &"x".repeat(KEY_TEXT_BYTES_MAX + 9)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let source = KeySource::File(path.clone());
            assert!(source.load().await.is_err());
            assert!(source.add().is_err() && source.retire(old.current()).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[tokio::test]
    async fn a_key_is_added_in_front_and_the_others_retire() {
        let folder = tempfile::tempdir().unwrap();
        let source = KeySource::File(folder.path().join("k"));
        let old = source.load().await.unwrap();
        let both = source.add().unwrap();
        assert_eq!(source.load().await.unwrap().ids().nth(1), Some(old.current()));
        let new = source.retire(both.current()).unwrap();
        assert_eq!(new.ids().collect::<Vec<_>>(), [both.current()]);
        assert_eq!(mode(&folder.path().join("k")), 0o600);
        assert_eq!(entries(folder.path()), 1);
    }

    #[tokio::test]
    async fn no_key_goes_that_is_in_force_or_newer() {
        let folder = tempfile::tempdir().unwrap();
        let source = KeySource::File(folder.path().join("k"));
        source.load().await.unwrap();
        let second = source.add().unwrap();
        let third = source.add().unwrap();
        assert!(source.retire(Keys::random().unwrap().current()).is_err());
        assert_eq!(source.load().await.unwrap().ids().count(), 3);
        let kept = source.retire(second.current()).unwrap();
        assert_eq!(kept.ids().collect::<Vec<_>>(), [third.current(), second.current()]);
    }

    #[tokio::test]
    async fn a_command_gives_the_keys_and_its_failures_are_told() {
        let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let load =
            async |line: &str| format!("command:{line}").parse::<KeySource>().unwrap().load().await;
        let keys = load(&format!("printf '%s\\n' {hex}")).await.unwrap();
        assert_eq!(keys.current(), Keys::parse(hex).unwrap().current());
        assert!(
            matches!(load("exit 3").await, Err(KeysError::Failed(status)) if status.code() == Some(3))
        );
        assert!(matches!(load(&format!("echo {hex}; exit 1")).await, Err(KeysError::Failed(_))));
        assert!(matches!(load("true").await, Err(KeysError::None)));
        assert!(matches!(load("yes").await, Err(KeysError::Long)));
        assert!(matches!(load("printf '\\377\\n'").await, Err(KeysError::NoText)));
        assert!(matches!(KeySource::Command("true".into()).add(), Err(KeysError::Foreign)));
    }

    #[test]
    fn a_source_is_written_as_a_path_or_a_command() {
        let source = |text: &str| text.parse::<KeySource>().unwrap();
        assert_eq!(source("file:/k"), KeySource::File("/k".into()));
        assert_eq!(source("k"), KeySource::File("k".into()));
        assert_eq!(source("command:echo a:b"), KeySource::Command("echo a:b".into()));
        assert!("".parse::<KeySource>().is_err() && "command: ".parse::<KeySource>().is_err());
    }
}
