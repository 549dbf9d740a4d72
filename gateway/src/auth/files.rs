//! Files that only their owner reads: keys, and the folder that holds them.
//!
//! Invariants: a file is there whole or not at all; one that others can read is refused, because what it held is known by now.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use zeroize::Zeroizing;

/// Largest file of a key, bytes.
const FILE_BYTES_MAX: usize = 1 << 16;

/// Makes the folder with mode 0700 where it is not there.
///
/// # Errors
/// Those of the file system, and a folder that others can enter.
pub fn folder(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let found = fs::metadata(path)?;
    if !found.is_dir() {
        return Err(wrong(path, "is no folder"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(wrong(path, "can be entered by others; run `chmod 700` on it"));
    }
    Ok(())
}

/// What is in the file; `None` where there is none.
///
/// # Errors
/// Those of the file system; a file that others can read or that is too large for a key.
pub fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    if found.mode() & 0o077 != 0 {
        return Err(wrong(path, "can be read by others; run `chmod 600` on it"));
    }
    // With room for all of it, so that no growing buffer leaves a copy behind.
    let mut bytes = Zeroizing::new(vec![0; FILE_BYTES_MAX + 1]);
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read(room)? {
            0 => break,
            read => filled += read,
        }
    }
    if filled > FILE_BYTES_MAX {
        return Err(wrong(path, "is too large for a key"));
    }
    bytes.truncate(filled);
    Ok(Some(bytes))
}

/// Writes the file with mode 0600, over what was there. Two that write at once end with one of both.
///
/// # Errors
/// Those of the file system.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft(path, bytes)?;
    let moved = fs::rename(&draft, path);
    if moved.is_err() {
        fs::remove_file(&draft)?;
    }
    moved?;
    sync_folder(path)
}

/// Writes the file with mode 0600 where there is none; `false` when somebody was faster.
///
/// # Errors
/// Those of the file system.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let draft = draft(path, bytes)?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn draft(path: &Path, bytes: &[u8]) -> io::Result<std::path::PathBuf> {
    let draft = path.with_extension(format!("{}.new", uuid::Uuid::new_v4().simple()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        fs::remove_file(&draft)?;
    }
    written.map(|()| draft)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

fn wrong(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_is_written_for_its_owner_alone_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert_eq!(read(&path).unwrap(), None);
        assert!(create(&path, b"one").unwrap());
        assert!(!create(&path, b"two").unwrap());
        assert_eq!(**read(&path).unwrap().unwrap(), *b"one");
        replace(&path, b"three").unwrap();
        assert_eq!(**read(&path).unwrap().unwrap(), *b"three");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_others_can_reach_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("keys");
        folder(&inner).unwrap();
        folder(&inner).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().mode() & 0o777, 0o700);
        let path = inner.join("key");
        create(&path, b"one").unwrap();
        set_mode(&path, 0o640);
        assert!(read(&path).unwrap_err().to_string().contains("chmod 600"));
        set_mode(&inner, 0o755);
        assert!(folder(&inner).unwrap_err().to_string().contains("chmod 700"));
        set_mode(&path, 0o600);
        assert!(folder(&path).unwrap_err().to_string().contains("no folder"));
        fs::write(&path, vec![0; 1 << 17]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("too large"));
    }
}
