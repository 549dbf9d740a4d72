//! From an archive to files in one folder, and nowhere else.
//!
//! Every name is looked up from a descriptor of that folder, beneath it, so that neither the archive nor a link that lies
//! there leads out.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, fchmod, futimens,
        mkdirat, openat2, statat, symlinkat, unlinkat,
    },
    io::Errno,
};
use tar::{Archive, Entry, EntryType};

use super::{ENTRIES_MAX, FilesError, below, name, stays};

/// Where an archive is unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into this folder, which is made if it is not there.
    Folder(PathBuf),
    /// Its single file into this folder, under this name.
    File {
        /// The folder.
        folder: PathBuf,
        /// The name.
        name: OsString,
    },
}

impl Place {
    /// Where a file called `name` goes that is to be put at `to`: into it where that is a folder or ends with a slash, else
    /// it is the file's own path.
    pub fn of_file(to: &Path, name: &OsStr) -> Self {
        let is_folder = to.is_dir() || to.as_os_str().as_encoded_bytes().ends_with(b"/");
        match (is_folder, to.parent(), to.file_name()) {
            (false, Some(parent), Some(own)) => {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                Self::File { folder: parent.to_owned(), name: own.to_owned() }
            }
            _ => Self::File { folder: to.to_owned(), name: name.to_owned() },
        }
    }

    fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) | Self::File { folder, .. } => folder,
        }
    }
}

/// Unpacks an archive. What is there already is replaced, but a folder never by a file.
///
/// # Errors
/// At the first entry that leads out, is no file, folder or link, or cannot be written; what came before it stays.
pub fn unpack(place: &Place, from: impl Read) -> Result<(), FilesError> {
    let folder = place.folder();
    std::fs::create_dir_all(folder)
        .map_err(|source| FilesError::file("make the folder", folder, source))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(folder, flags, Mode::empty())
        .map_err(|source| FilesError::file("open", folder, source))?;
    let root = Root { descriptor: root, path: folder };
    let mut archive = Archive::new(from);
    let mut entries = 0;
    for entry in archive.entries().map_err(FilesError::Archive)? {
        let mut entry = entry.map_err(FilesError::Archive)?;
        entries += 1;
        if entries > ENTRIES_MAX {
            return Err(FilesError::TooMany);
        }
        let named = entry.path().map_err(FilesError::Archive)?.into_owned();
        let path = match place {
            Place::File { name, .. } => {
                if entry.header().entry_type() != EntryType::Regular || entries > 1 {
                    return Err(FilesError::refused(&named, "is not the one file"));
                }
                PathBuf::from(name)
            }
            Place::Folder(_) => below(&named)
                .ok_or_else(|| FilesError::refused(&named, "leads out of the folder"))?,
        };
        if !path.as_os_str().is_empty() {
            root.put(&path, &mut entry)?;
        }
    }
    // Whoever sends must not see its end closed before all was sent: the padding behind the last entry too.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(FilesError::Archive)?;
    Ok(())
}

struct Root<'a> {
    descriptor: OwnedFd,
    path: &'a Path,
}

impl Root<'_> {
    fn put(&self, path: &Path, entry: &mut Entry<'_, impl Read>) -> Result<(), FilesError> {
        let fail = |what| move |source: io::Error| FilesError::file(what, path, source);
        let (parent, own) = (self.parent(path)?, name(path)?);
        match entry.header().entry_type() {
            EntryType::Directory => folder(&parent, own).map_err(fail("make the folder")),
            EntryType::Regular => {
                self.clear(&parent, path, own)?;
                file(&parent, own, entry).map_err(fail("write"))
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(FilesError::Archive)?;
                let target = target.ok_or_else(|| FilesError::refused(path, "leads nowhere"))?;
                if !stays(path, &target) {
                    return Err(FilesError::refused(
                        path,
                        "is a link that leads out of the folder",
                    ));
                }
                self.clear(&parent, path, own)?;
                symlinkat(&*target, &parent, own).map_err(|source| fail("link")(source.into()))
            }
            _ => Err(FilesError::refused(path, "is neither file, folder nor link")),
        }
    }

    /// The folder that `path` lies in, made if it is not there. No link is followed, not even one that stays in the root:
    /// behind it, what a link of the archive points to could not be told from its path.
    fn parent(&self, path: &Path) -> Result<OwnedFd, FilesError> {
        let fail = |source: io::Error| FilesError::file("reach", path, source);
        let mut at = beneath(&self.descriptor, Path::new(".")).map_err(fail)?;
        let mut done = PathBuf::new();
        for part in path.parent().into_iter().flat_map(Path::components) {
            done.push(part);
            at = match beneath(&self.descriptor, &done) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    folder(&at, part.as_os_str()).map_err(fail)?;
                    beneath(&self.descriptor, &done).map_err(fail)?
                }
                other => other.map_err(fail)?,
            };
        }
        Ok(at)
    }

    /// Removes what is there, unless it is a folder.
    fn clear(&self, parent: &OwnedFd, path: &Path, own: &OsStr) -> Result<(), FilesError> {
        let fail = |source: Errno| FilesError::file("replace", path, source);
        let found = match statat(parent, own, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.map_err(fail)?,
        };
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            return Err(FilesError::IsFolder(self.path.join(path).display().to_string()));
        }
        unlinkat(parent, own, AtFlags::empty()).map_err(fail)
    }
}

fn beneath(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(root, path, flags, Mode::empty(), resolve)?)
}

fn folder(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => beneath(parent, Path::new(name)).map(drop),
        Err(error) => Err(error.into()),
    }
}

/// Writes a new file; one that was there is gone, and one that came since is not followed.
fn file(parent: &OwnedFd, name: &OsStr, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
    let mut file = File::from(opened);
    io::copy(entry, &mut file)?;
    let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
    fchmod(&file, Mode::from_raw_mode(mode))?;
    let seconds = entry.header().mtime().ok().and_then(|at| i64::try_from(at).ok());
    if let Some(tv_sec) = seconds {
        let at = Timespec { tv_sec, tv_nsec: 0 };
        // The time of change is a courtesy; a filesystem that has none still has the file.
        futimens(&file, &Timestamps { last_access: at, last_modification: at }).ok();
    }
    Ok(())
}
