//! From a file or a folder to an archive.
//!
//! A folder is listed by its path, and everything that is read is reached from a descriptor of that folder, beneath it and
//! through no link: what somebody replaces meanwhile leads nowhere else.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use ignore::WalkBuilder;
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2, readlinkat},
    io::Errno,
};
use tar::{Builder, EntryType, Header};

use super::{ENTRIES_MAX, FilesError, NAMED_MAX, exactly, name, stays};

/// The folder itself, as an archive names it.
const FOLDER: &str = "./";

/// What of a folder is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// What git would take: neither what `.gitignore` and its like name, nor `.git` itself.
    GitIgnore,
    /// Everything.
    Everything,
}

/// What became of an archive.
#[derive(Debug, Default)]
pub struct Packed {
    /// Files, folders and links in it.
    pub entries: u64,
    /// What was left out, and why; the first few of them.
    left_out: Vec<String>,
    left_out_count: usize,
}

impl Packed {
    /// What was left out, a line each.
    pub fn notes(&self) -> Vec<String> {
        let mut lines = self.left_out.clone();
        if self.left_out_count > lines.len() {
            lines.push(format!("and {} more", self.left_out_count - lines.len()));
        }
        lines
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        self.left_out_count += 1;
        if self.left_out.len() < NAMED_MAX {
            self.left_out.push(format!("left out: {} {why}", path.display()));
        }
    }
}

/// Writes a file, or the contents of a folder, as an archive. Links that lead out of the folder, sockets, pipes and devices
/// are left out.
///
/// # Errors
/// For what cannot be read, and when the archive cannot be written.
pub fn pack(from: &Path, filter: Filter, to: impl Write) -> Result<Packed, FilesError> {
    let mut archive = Builder::new(to);
    archive.follow_symlinks(false);
    let mut packed = Packed::default();
    let found = std::fs::metadata(from).map_err(|source| FilesError::file("find", from, source))?;
    if found.is_dir() {
        begin_folder(&mut archive)?;
        let root = root(from).map_err(|source| FilesError::file("open", from, source))?;
        for entry in walk(from, filter) {
            let entry = entry.map_err(|error| {
                let text = error.to_string();
                FilesError::file(
                    "list",
                    from,
                    error.into_io_error().unwrap_or_else(|| io::Error::other(text)),
                )
            })?;
            let Some(rest) =
                entry.path().strip_prefix(from).ok().filter(|rest| *rest != Path::new(""))
            else {
                continue;
            };
            add(&mut archive, &mut packed, &root, (rest, rest))?;
        }
    } else if found.is_file() {
        // A link that was named is followed; those that are found are not.
        let real = from.canonicalize().map_err(|source| FilesError::file("find", from, source))?;
        let folder = real.parent().unwrap_or(Path::new("/"));
        let root = root(folder).map_err(|source| FilesError::file("open", folder, source))?;
        let own = Path::new(name(&real)?);
        add(&mut archive, &mut packed, &root, (own, Path::new(name(from)?)))?;
    } else {
        return Err(FilesError::refused(from, "is neither file nor folder"));
    }
    let mut to = archive.into_inner().map_err(FilesError::Archive)?;
    to.flush().map_err(FilesError::Archive)?;
    Ok(packed)
}

/// The first entry says that this is a folder, which may be empty or hold a single file.
fn begin_folder(archive: &mut Builder<impl Write>) -> Result<(), FilesError> {
    let mut header = Header::new_gnu();
    header.set_mode(0o755);
    header.set_entry_type(EntryType::Directory);
    header.set_size(0);
    archive.append_data(&mut header, FOLDER, io::empty()).map_err(FilesError::Archive)
}

/// Whether an archive that begins with these bytes, a head at least, is one of a folder and not of a single file.
pub fn begins_with_folder(head: &[u8]) -> bool {
    let Some(first) = head.first_chunk::<512>() else { return false };
    let header = Header::from_byte_slice(first);
    header.entry_type() == EntryType::Directory
        && header.path_bytes().starts_with(FOLDER.as_bytes())
}

fn walk(from: &Path, filter: Filter) -> ignore::Walk {
    let mut walk = WalkBuilder::new(from);
    walk.standard_filters(false).follow_links(false);
    if filter == Filter::GitIgnore {
        walk.git_ignore(true).git_exclude(true).git_global(true).parents(true).require_git(false);
        walk.filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git");
    }
    walk.build()
}

/// Adds what is at `path` beneath the root, under the name that it has in the archive.
fn add(
    archive: &mut Builder<impl Write>,
    packed: &mut Packed,
    root: &OwnedFd,
    (path, named): (&Path, &Path),
) -> Result<(), FilesError> {
    let fail = |what| move |source: Errno| FilesError::file(what, path, source);
    if packed.entries >= ENTRIES_MAX {
        return Err(FilesError::TooMany);
    }
    let place = beneath(root, path, OFlags::PATH | OFlags::NOFOLLOW).map_err(fail("reach"))?;
    let found = fstat(&place).map_err(fail("read"))?;
    let mut header = header(&found);
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            archive.append_data(&mut header, named, io::empty()).map_err(FilesError::Archive)?;
        }
        FileType::Symlink => {
            let target = readlinkat(&place, "", Vec::new()).map_err(fail("read"))?;
            let target = Path::new(OsStr::from_bytes(target.as_bytes()));
            if !stays(named, target) {
                packed.leave_out(named, "is a link that leads out");
                return Ok(());
            }
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, named, target).map_err(FilesError::Archive)?;
        }
        FileType::RegularFile => {
            let (file, length) = open_file(root, path)?;
            header.set_entry_type(EntryType::Regular);
            header.set_size(length);
            archive
                .append_data(&mut header, named, exactly(file, length))
                .map_err(FilesError::Archive)?;
        }
        _ => {
            packed.leave_out(named, "is neither file, folder nor link");
            return Ok(());
        }
    }
    packed.entries += 1;
    Ok(())
}

fn root(folder: &Path) -> Result<OwnedFd, Errno> {
    open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn beneath(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Opens a file that may have become something else since it was looked at.
fn open_file(root: &OwnedFd, path: &Path) -> Result<(File, u64), FilesError> {
    let file = beneath(root, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)
        .map(File::from)
        .map_err(|source| FilesError::file("open", path, source))?;
    let found = file.metadata().map_err(|source| FilesError::file("read", path, source))?;
    if !found.is_file() {
        return Err(FilesError::refused(path, "is no longer a file"));
    }
    Ok((file, found.len()))
}

fn header(found: &Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(found.st_mode & 0o777);
    header.set_mtime(u64::try_from(found.st_mtime).unwrap_or_default());
    // Whose they are is decided where they arrive.
    header.set_uid(0);
    header.set_gid(0);
    header
}
