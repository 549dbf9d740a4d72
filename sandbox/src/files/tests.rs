use std::{fs, os::unix::fs::symlink};

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// An archive with one entry, written past every check of the library.
fn archive(kind: EntryType, path: &[u8], target: &str, text: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(u64::try_from(text.len()).unwrap());
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    let mut archive = Builder::new(Vec::new());
    archive.append(&header, text).unwrap();
    archive.into_inner().unwrap()
}

fn refused(kind: EntryType, path: &[u8], target: &str) -> String {
    let root = folder();
    let inner = root.path().join("inner");
    let bytes = archive(kind, path, target, b"");
    let error = unpack(&Place::Folder(inner), bytes.as_slice()).unwrap_err();
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "something lies outside");
    error.to_string()
}

#[test]
fn a_tree_comes_out_as_it_went_in() {
    let (from, to) = (folder(), folder());
    let at = |name: &str| from.path().join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/b/script"), "text").unwrap();
    fs::set_permissions(at("a/b/script"), std::os::unix::fs::PermissionsExt::from_mode(0o750))
        .unwrap();
    symlink("b/script", at("a/link")).unwrap();
    symlink("/etc/passwd", at("a/out")).unwrap();
    symlink("../../x", at("a/up")).unwrap();
    let mut bytes = Vec::new();
    let packed = pack(from.path(), Filter::Everything, &mut bytes).unwrap();
    assert_eq!((packed.entries, packed.notes().len()), (4, 2), "{:?}", packed.notes());
    assert!(begins_with_folder(&bytes));
    unpack(&Place::Folder(to.path().join("new")), bytes.as_slice()).unwrap();
    let came = to.path().join("new/a");
    assert_eq!(fs::read_to_string(came.join("link")).unwrap(), "text");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(came.join("b/script")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o750);
    assert!(!came.join("out").exists() && !came.join("up").exists());
}

/// Takes an archive, and puts a link in the place of a folder as soon as that folder's own entry has come.
struct Swap {
    taken: Vec<u8>,
    folder: PathBuf,
    to: PathBuf,
    done: bool,
}

impl Write for Swap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.taken.extend(bytes);
        if self.taken.len() >= 1024 && !std::mem::replace(&mut self.done, true) {
            fs::rename(&self.folder, self.folder.with_extension("gone"))?;
            symlink(&self.to, &self.folder)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_folder_that_becomes_a_link_while_it_is_packed_leads_nowhere() {
    let (from, elsewhere) = (folder(), folder());
    let inner = from.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("file"), "own").unwrap();
    fs::write(elsewhere.path().join("file"), "secret").unwrap();
    let to = elsewhere.path().to_owned();
    let mut swap = Swap { taken: Vec::new(), folder: inner, to, done: false };
    let packed = pack(from.path(), Filter::Everything, &mut swap);
    assert!(swap.done);
    assert!(packed.is_err(), "{packed:?}");
    assert!(!String::from_utf8_lossy(&swap.taken).contains("secret"));
}

#[test]
fn what_git_ignores_stays() {
    let from = folder();
    let write = |name: &str, text: &str| {
        let path = from.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for (name, text) in [
        (".gitignore", "target/\n*.log\n"),
        ("sub/.gitignore", "!kept.log\n"),
        ("target/big", ""),
        ("a.log", ""),
        ("sub/kept.log", ""),
        (".git/config", ""),
        (".env", ""),
    ] {
        write(name, text);
    }
    let names = |filter| {
        let mut bytes = Vec::new();
        pack(from.path(), filter, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap();
        let mut names: Vec<String> = entries
            .skip(1)
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(Filter::GitIgnore),
        [".env", ".gitignore", "sub", "sub/.gitignore", "sub/kept.log"]
    );
    assert!(names(Filter::Everything).contains(&".git/config".to_owned()));
}

#[test]
fn entries_that_lead_out_are_refused() {
    for path in [&b"../x"[..], b"/x", b"a/../../x"] {
        assert!(refused(EntryType::Regular, path, "").contains("leads out"));
    }
    for target in ["/etc", "..", "a/../../b"] {
        assert!(refused(EntryType::Symlink, b"l", target).contains("leads out"), "{target}");
    }
    for kind in [EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo] {
        assert!(refused(kind, b"x", "y").contains("neither"), "{kind:?}");
    }
}

#[test]
fn a_link_that_lies_there_leads_nowhere() {
    let (root, outside) = (folder(), folder());
    symlink(outside.path(), root.path().join("bent")).unwrap();
    let bytes = archive(EntryType::Regular, b"bent/x", "", b"text");
    let error = unpack(&Place::Folder(root.path().to_owned()), bytes.as_slice()).unwrap_err();
    assert!(error.to_string().contains("reach"), "{error}");
    symlink(".", root.path().join("self")).unwrap();
    let bytes = archive(EntryType::Symlink, b"self/a/x", "../../out", b"");
    unpack(&Place::Folder(root.path().to_owned()), bytes.as_slice()).unwrap_err();
    // A file takes the place of the link, not of what the link names.
    let bytes = archive(EntryType::Regular, b"bent", "", b"text");
    unpack(&Place::Folder(root.path().to_owned()), bytes.as_slice()).unwrap();
    assert_eq!(fs::read_to_string(root.path().join("bent")).unwrap(), "text");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_file_goes_where_it_is_told_and_never_over_a_folder() {
    let (from, to) = (folder(), folder());
    let file = from.path().join("f.txt");
    fs::write(&file, "text").unwrap();
    let mut bytes = Vec::new();
    pack(&file, Filter::GitIgnore, &mut bytes).unwrap();
    assert!(!begins_with_folder(&bytes));
    let put = |at: PathBuf| unpack(&Place::of_file(&at, OsStr::new("f.txt")), bytes.as_slice());
    put(to.path().to_owned()).unwrap();
    put(to.path().join("g.txt")).unwrap();
    put(to.path().join("new/")).unwrap();
    for name in ["f.txt", "g.txt", "new/f.txt"] {
        assert_eq!(fs::read_to_string(to.path().join(name)).unwrap(), "text", "{name}");
    }
    fs::create_dir(to.path().join("h")).unwrap();
    fs::create_dir(to.path().join("h/f.txt")).unwrap();
    let error = put(to.path().join("h")).unwrap_err();
    assert!(matches!(error, FilesError::IsFolder(_)), "{error}");
}

#[test]
fn links_through_links_do_not_lead_out() {
    let inside = |at: &str, target: &str| stays(Path::new(at), Path::new(target));
    assert!(inside("a/l", "../b") && inside("l", "a/b") && inside("l", "."));
    // `d` may be a link to its own folder: then `d/..` is the folder above.
    assert!(!inside("l", "d/..") && !inside("a/l", "d/../x") && !inside("l", ".."));
}

proptest! {
    #[test]
    fn no_archive_at_all_writes_outside(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let root = folder();
        drop(unpack(&Place::Folder(root.path().join("inner")), bytes.as_slice()));
        prop_assert!(fs::read_dir(root.path()).unwrap().count() <= 1);
    }

    #[test]
    fn a_link_that_stays_never_climbs_above_its_folder(parts in proptest::collection::vec("\\.\\.|\\.|a", 0..8)) {
        let target: PathBuf = parts.iter().collect();
        let at = Path::new("a/b/link");
        if stays(at, &target) {
            let climbs = parts.iter().take_while(|part| part.as_str() != "a").filter(|part| *part == "..");
            prop_assert!(climbs.count() <= 2);
            // Behind a name, which may be a link itself, nothing climbs.
            let named = parts.iter().skip_while(|part| part.as_str() != "a");
            prop_assert!(named.into_iter().all(|part| part != ".."));
        }
    }
}
