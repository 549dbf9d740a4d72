//! From a spec to what is to be done on this host: which paths exist, what is mounted where, what may be done with it.
//!
//! Runs in the supervisor before anything is isolated, so that a mistake costs nothing. Only looks; changes nothing.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::FileTypeExt},
    path::{Path, PathBuf},
};

use crate::{
    accounts::{self, Identity},
    error::{At, StartError, Step},
    etc,
    spec::{CallerCheck, Compatibility, Limits, Spec, Tcp, Workspace},
};

/// Everything that the first process of a sandbox needs to know.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) host_name: String,
    pub(crate) identity: Identity,
    /// What lies where in the file tree, parents before children.
    pub(crate) places: BTreeMap<PathBuf, Place>,
    /// Where on the host those lie that have another path inside.
    pub(crate) sources: BTreeMap<PathBuf, PathBuf>,
    /// Symbolic links on the way to them.
    pub(crate) links: BTreeMap<PathBuf, PathBuf>,
    /// Sockets of the host below them, each a way out that is covered.
    pub(crate) covered: Vec<PathBuf>,
    /// What Landlock lets programs do where.
    pub(crate) rules: BTreeMap<PathBuf, Access>,
    /// The private files of `/etc`, by their path below it.
    pub(crate) etc: BTreeMap<PathBuf, Vec<u8>>,
    pub(crate) home: PathBuf,
    pub(crate) workdir: PathBuf,
    pub(crate) landlock: Compatibility,
    pub(crate) tcp: Tcp,
    pub(crate) callers: CallerCheck,
    pub(crate) limits: Limits,
    /// Whether a control group waits for this sandbox, and what it holds.
    pub(crate) is_grouped: bool,
    pub(crate) grouped: Grouped,
    /// What the spec asks for and this host lacks.
    pub(crate) notes: Vec<String>,
}

/// What a control group holds for the sandbox as a whole, so that limits of the single process need not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grouped {
    pub(crate) processes: bool,
    pub(crate) memory: bool,
    pub(crate) cpu: bool,
}

impl Grouped {
    pub(crate) fn add(&mut self, controller: &str) {
        match controller {
            "pids" => self.processes = true,
            "memory" => self.memory = true,
            _ => self.cpu = true,
        }
    }
}

/// Something in the file tree of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The same path of the host.
    Host(Access),
    /// An empty folder in memory, with this mode, owned by the agent.
    Scratch(u32),
}

/// What may be done with a path and all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// Names of what is in there may be listed.
    List,
    /// Read and execute.
    Read,
    /// Read, execute, write, create, remove.
    Write,
    /// A device: read, write, control.
    Device,
}

/// What every program needs to run, as far as a host has it.
const BASE: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// The most sockets of the host that are covered; a mount each.
const COVERED_MAX: usize = 256;
/// Devices that every sandbox has.
pub(crate) const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

impl Plan {
    /// Looks at the host.
    ///
    /// # Errors
    /// [`Step::Spec`], [`Step::User`], or [`Step::Paths`] for a path that must be there and is not.
    pub(crate) fn make(spec: &Spec) -> Result<Self, StartError> {
        spec.check()?;
        let identity = accounts::identify(spec)?;
        let workspace = Workspace::find(spec)?;
        let home = match &workspace {
            Some(workspace) => workspace.at.clone(),
            None => Path::new("/home").join(spec.name()),
        };
        let mut plan = Self {
            host_name: spec.name().to_owned(),
            etc: etc::files(spec, &identity, &home)?,
            identity,
            places: BTreeMap::new(),
            sources: BTreeMap::new(),
            links: BTreeMap::new(),
            covered: Vec::new(),
            rules: BTreeMap::new(),
            workdir: spec.workdir.clone().unwrap_or_else(|| home.clone()),
            home,
            landlock: spec.landlock,
            tcp: spec.tcp,
            callers: spec.callers,
            limits: spec.limits,
            is_grouped: false,
            grouped: Grouped::default(),
            notes: Vec::new(),
        };
        plan.add_base()?;
        let listed = |paths: &'_ [PathBuf], access| {
            paths.iter().map(move |path| (path.clone(), access)).collect::<Vec<_>>()
        };
        let mut all = listed(&spec.read_only, Access::Read);
        all.extend(listed(&spec.read_write, Access::Write));
        for (path, access) in all {
            match workspace.as_ref().filter(|workspace| path.starts_with(&workspace.at)) {
                Some(workspace) => plan.add_own(workspace, &path, access)?,
                None => plan.add(&path, access)?,
            }
        }
        if let Some(workspace) = workspace.filter(|own| !plan.places.contains_key(&own.at)) {
            plan.add_own(&workspace, &workspace.at, Access::Write)?;
        }
        if let Some(workdir) = spec.workdir.as_ref().filter(|_| spec.include_workdir) {
            must_be_folder(workdir)?;
            plan.add(workdir, Access::Write)?;
        }
        plan.add_scratch(&spec.scratch);
        plan.hide(&spec.hidden)?;
        plan.drop_links_of_the_host();
        plan.cover_sockets()?;
        Ok(plan)
    }

    /// Whether a sandbox that was built by this plan is what the other one asks for, with its own files in `others` and no
    /// longer in `own`. How well callers must be known is up to the supervisor, as long as they are asked for at all.
    pub(crate) fn stands_for(&self, other: &Self, (own, others): (&Path, &Path)) -> bool {
        let moved = |source: &Path| match source.strip_prefix(own) {
            Ok(rest) => others.join(rest),
            Err(_) => source.to_owned(),
        };
        let same_sources = self.sources.len() == other.sources.len()
            && self.sources.iter().all(|(inside, source)| {
                other.sources.get(inside).is_some_and(|wanted| *wanted == moved(source))
            });
        same_sources
            && self.host_name == other.host_name
            && self.identity == other.identity
            && self.places == other.places
            && self.links == other.links
            && self.covered == other.covered
            && self.rules == other.rules
            && self.etc == other.etc
            && (&self.home, &self.workdir) == (&other.home, &other.workdir)
            && (self.landlock, self.tcp, self.limits) == (other.landlock, other.tcp, other.limits)
            && self.callers.are_known() == other.callers.are_known()
    }

    fn add_base(&mut self) -> Result<(), StartError> {
        for path in BASE.map(PathBuf::from) {
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_symlink() => {
                    let target = fs::read_link(&path).on(Step::Paths, path.display())?;
                    self.links.insert(path, target);
                }
                Ok(_) => self.place(path, Access::Read),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).on(Step::Paths, path.display()),
            }
        }
        // Ours from end to end; what a spec says of them only narrows or repeats it.
        for (path, access) in [
            ("/", Access::List),
            ("/etc", Access::Read),
            ("/proc", Access::Read),
            ("/dev", Access::Read),
        ] {
            self.rules.insert(path.into(), access);
        }
        for device in DEVICES.iter().copied().chain(["pts"]) {
            self.rules.insert(Path::new("/dev").join(device), Access::Device);
        }
        self.rules.insert("/dev/shm".into(), Access::Write);
        Ok(())
    }

    /// The private folders, unless the host's own are asked for.
    fn add_scratch(&mut self, further: &[PathBuf]) {
        for path in further.iter().map(PathBuf::as_path).chain([Path::new("/tmp")]) {
            self.places.insert(path.to_owned(), Place::Scratch(0o1777));
            self.rules.insert(path.to_owned(), Access::Write);
        }
        if self.sources.contains_key(&self.home) {
            return;
        }
        if self.places.keys().any(|path| self.home.starts_with(path)) {
            self.home = "/tmp".into();
            return;
        }
        self.places.insert(self.home.clone(), Place::Scratch(0o700));
        self.rules.insert(self.home.clone(), Access::Write);
    }

    /// Lays empty folders over those of the host that nobody in there may see, and refuses what is listed below them.
    fn hide(&mut self, hidden: &[PathBuf]) -> Result<(), StartError> {
        for path in hidden {
            let Ok(real) = fs::canonicalize(path) else { continue };
            let listed = self.places.iter().find(|(inside, place)| {
                matches!(place, Place::Host(_))
                    && !self.sources.contains_key(*inside)
                    && inside.starts_with(&real)
            });
            if let Some((listed, _)) = listed {
                let what = format!("{} is not for sandboxes", listed.display());
                return Err(StartError::new(Step::Paths, what));
            }
            let above = real.ancestors().find_map(|path| self.places.get(path));
            if matches!(above, Some(Place::Host(_))) {
                self.places.insert(real, Place::Scratch(0o700));
            }
        }
        Ok(())
    }

    /// Links inside a folder of the host come with it; only those whose folder is not there are made anew.
    fn drop_links_of_the_host(&mut self) {
        let inside = |link: &Path| {
            let mut above = link.ancestors().skip(1);
            above.any(|path| {
                matches!(self.places.get(path), Some(Place::Host(_)))
                    || self.links.contains_key(path)
            })
        };
        let come_along: Vec<PathBuf> =
            self.links.keys().filter(|link| inside(link)).cloned().collect();
        for link in come_along {
            self.links.remove(&link);
        }
    }

    /// Finds the sockets that somebody on the host listens on below what is listed. Landlock knows of them from version 9
    /// on, and permissions let the user's own through.
    fn cover_sockets(&mut self) -> Result<(), StartError> {
        let known = fs::read("/proc/net/unix").on(Step::Paths, "/proc/net/unix")?;
        for path in bound_paths(&known) {
            let Ok(real) = fs::canonicalize(path) else { continue };
            let is_socket = fs::metadata(&real).is_ok_and(|found| found.file_type().is_socket());
            if !is_socket {
                continue;
            }
            let elsewhere = self.sources.iter().filter_map(|(inside, source)| {
                real.strip_prefix(source).ok().map(|rest| inside.join(rest))
            });
            let views: Vec<PathBuf> = elsewhere.chain([real.clone()]).collect();
            for view in views {
                let nearest = view.ancestors().find_map(|above| self.places.get(above));
                if matches!(nearest, Some(Place::Host(_))) {
                    self.covered.push(view);
                }
            }
        }
        self.covered.sort_unstable();
        self.covered.dedup();
        if self.covered.len() > COVERED_MAX {
            let what =
                format!("{} sockets of the host lie below what is listed", self.covered.len());
            return Err(StartError::new(Step::Paths, what));
        }
        Ok(())
    }

    /// Adds a path of the host.
    fn add(&mut self, asked: &Path, access: Access) -> Result<(), StartError> {
        if is_ours(asked) {
            return Ok(());
        }
        let real = match fs::canonicalize(asked) {
            Ok(real) => real,
            Err(error) if self.landlock == Compatibility::BestEffort => {
                self.notes.push(format!("{} is left out: {error}", asked.display()));
                return Ok(());
            }
            Err(error) => return Err(error).on(Step::Paths, asked.display()),
        };
        if real.parent().is_none() || is_ours(&real) {
            let what = format!(
                "{} leads to {}, which a sandbox has of its own",
                asked.display(),
                real.display()
            );
            return Err(StartError::new(Step::Paths, what));
        }
        let access = kind(&real, access)?;
        if real != asked {
            self.links.insert(asked.to_owned(), real.clone());
        }
        self.place(real, access);
        Ok(())
    }

    /// Adds a path of the workspace. No link is followed there: who left it may have been a former agent.
    fn add_own(
        &mut self,
        workspace: &Workspace,
        path: &Path,
        access: Access,
    ) -> Result<(), StartError> {
        let rest = path.strip_prefix(&workspace.at).unwrap_or(path);
        let source = if rest.as_os_str().is_empty() {
            workspace.folder.clone()
        } else {
            workspace.folder.join(rest)
        };
        match fs::symlink_metadata(&source) {
            Ok(found) if found.is_dir() || found.is_file() => {}
            Ok(_) => {
                let what = format!("{} is neither folder nor file", path.display());
                return Err(StartError::new(Step::Paths, what));
            }
            Err(error) if self.landlock == Compatibility::BestEffort => {
                self.notes.push(format!("{} is left out: {error}", path.display()));
                return Ok(());
            }
            Err(error) => return Err(error).on(Step::Paths, path.display()),
        }
        self.place(path.to_owned(), access);
        if self.places.contains_key(path) {
            self.sources.insert(path.to_owned(), source);
        }
        Ok(())
    }

    /// Where on the host the thing lies that is at `path` inside.
    pub(crate) fn source<'a>(&'a self, path: &'a Path) -> &'a Path {
        self.sources.get(path).map_or(path, PathBuf::as_path)
    }

    /// Puts a path into the tree, unless what lies above it brings it along with the same access.
    fn place(&mut self, real: PathBuf, access: Access) {
        let known = self.rules.get(&real).copied().unwrap_or(Access::List);
        let access = access.max(known);
        self.rules.insert(real.clone(), access);
        let above = real.ancestors().skip(1).find_map(|path| self.places.get(path));
        if real.starts_with("/etc") && access == Access::Read {
            return;
        }
        if above != Some(&Place::Host(access)) {
            self.places.insert(real, Place::Host(access));
        }
    }
}

impl Workspace {
    /// The workspace with its real folder on the host.
    fn find(spec: &Spec) -> Result<Option<Self>, StartError> {
        let Some(asked) = &spec.workspace else { return Ok(None) };
        must_be_folder(&asked.folder)?;
        let folder = fs::canonicalize(&asked.folder).on(Step::Paths, asked.folder.display())?;
        if is_ours(&asked.at) {
            let what =
                format!("workspace at {}, which a sandbox has of its own", asked.at.display());
            return Err(StartError::new(Step::Spec, what));
        }
        Ok(Some(Self { folder, at: asked.at.clone() }))
    }
}

/// Refuses what is neither folder, file nor device.
fn kind(real: &Path, access: Access) -> Result<Access, StartError> {
    let kind = fs::metadata(real).on(Step::Paths, real.display())?.file_type();
    if kind.is_socket() || kind.is_fifo() || kind.is_block_device() {
        let what =
            format!("{} is no file or folder; it would lead out of the sandbox", real.display());
        return Err(StartError::new(Step::Paths, what));
    }
    if real.starts_with("/dev") {
        return Ok(Access::Device);
    }
    if kind.is_char_device() {
        let what = format!("{} is a device outside /dev", real.display());
        return Err(StartError::new(Step::Paths, what));
    }
    Ok(access)
}

fn must_be_folder(workdir: &Path) -> Result<(), StartError> {
    let found = fs::metadata(workdir).on(Step::Paths, workdir.display())?;
    if found.is_dir() {
        return Ok(());
    }
    Err(StartError::new(Step::Paths, format!("workdir {} is no folder", workdir.display())))
}

/// The names of sockets that are paths, from the kernel's list of them.
fn bound_paths(list: &[u8]) -> impl Iterator<Item = &Path> {
    // The name is the last field, behind seven others, and may hold spaces; no field before it holds a slash.
    let name = |line: &'_ [u8]| line.windows(2).position(|two| two == b" /").map(|at| at + 1);
    list.split(|byte| *byte == b'\n')
        .filter_map(move |line| line.get(name(line)?..))
        .map(|bytes| Path::new(OsStr::from_bytes(bytes)))
}

/// Paths that a sandbox has of its own; those of the host stay outside.
fn is_ours(path: &Path) -> bool {
    let device = path.strip_prefix("/dev").ok();
    let own_device = device.is_some_and(|name| {
        name.as_os_str().is_empty()
            || DEVICES.iter().any(|known| name == Path::new(known))
            || ["pts", "ptmx", "shm", "fd", "stdin", "stdout", "stderr", "mqueue", "console"]
                .iter()
                .any(|known| name.starts_with(known))
    });
    own_device
        || path.starts_with("/proc")
        || path == Path::new("/tmp")
        || path == Path::new("/etc")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(spec: &Spec) -> Plan {
        Plan::make(spec).unwrap()
    }

    #[test]
    fn the_smallest_sandbox_has_programs_and_scratch_and_nothing_of_the_host() {
        let plan = plan(&Spec::default());
        assert_eq!(plan.places.get(Path::new("/usr")), Some(&Place::Host(Access::Read)));
        assert_eq!(plan.places.get(Path::new("/tmp")), Some(&Place::Scratch(0o1777)));
        assert_eq!(plan.places.get(Path::new("/home/sandbox")), Some(&Place::Scratch(0o700)));
        for path in ["/root", "/var", "/run", "/sys", "/proc", "/dev"] {
            assert_eq!(plan.places.get(Path::new(path)), None, "{path}");
        }
        assert_eq!(plan.rules.get(Path::new("/")), Some(&Access::List));
    }

    #[test]
    fn one_plan_stands_for_another_only_where_nothing_that_is_built_differs() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let places = (one.path().canonicalize().unwrap(), two.path().canonicalize().unwrap());
        let spec = |folder: &Path| Spec {
            workspace: Some(Workspace { folder: folder.to_owned(), at: "/sandbox".into() }),
            callers: CallerCheck::Executable,
            ..Spec::default()
        };
        let standing = plan(&spec(&places.0));
        let fits = |change: fn(&mut Spec)| {
            let mut asked = spec(&places.1);
            change(&mut asked);
            standing.stands_for(&plan(&asked), (&places.0, &places.1))
        };
        assert!(fits(|_| {}));
        assert!(fits(|asked| asked.callers = CallerCheck::Code));
        assert!(fits(|asked| drop(asked.environment.insert("A".into(), "b".into()))));
        assert!(!standing.stands_for(&plan(&spec(&places.1)), (&places.1, &places.0)));
        assert!(!fits(|asked| asked.callers = CallerCheck::Off));
        assert!(!fits(|asked| asked.read_only.push("/etc/passwd".into())));
        assert!(!fits(|asked| asked.read_write.push("/var/tmp".into())));
        assert!(!fits(|asked| asked.scratch.push("/var/log".into())));
        assert!(!fits(|asked| asked.name = Some("other".into())));
        assert!(!fits(|asked| asked.ca_pem = Some("PEM".into())));
        assert!(!fits(|asked| asked.landlock = Compatibility::HardRequirement));
        assert!(!fits(|asked| asked.tcp = Tcp::ProxyOnly));
        assert!(!fits(|asked| asked.limits.processes = Some(99)));
        assert!(!fits(|asked| asked.run_as_user = Some("1234".into())));
    }

    #[test]
    fn a_missing_path_is_a_note_or_fatal() {
        let missing = PathBuf::from("/no/such/path");
        let mut spec = Spec { read_only: vec![missing], ..Spec::default() };
        assert!(plan(&spec).notes[0].contains("/no/such/path"));
        spec.landlock = Compatibility::HardRequirement;
        let error = Plan::make(&spec).unwrap_err();
        assert_eq!(error.step, Step::Paths);
    }

    #[test]
    fn a_link_of_the_host_is_followed_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("real");
        fs::create_dir(&real).unwrap();
        let link = real.with_file_name("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let plan = plan(&Spec { read_write: vec![link.clone()], ..Spec::default() });
        assert_eq!(plan.places.get(&real), Some(&Place::Host(Access::Write)));
        assert_eq!(plan.links.get(&link), Some(&real));
    }

    #[test]
    fn a_workspace_has_its_own_place_and_no_link_in_it_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        fs::create_dir(real.join("kept")).unwrap();
        std::os::unix::fs::symlink("/root", real.join("bent")).unwrap();
        let at = PathBuf::from("/sandbox");
        let workspace = Some(Workspace { folder: folder.path().to_owned(), at: at.clone() });
        let kept = at.join("kept");
        let spec = Spec { workspace, read_only: vec![kept.clone()], ..Spec::default() };
        let own = plan(&spec);
        assert_eq!(own.places.get(&at), Some(&Place::Host(Access::Write)));
        assert_eq!(own.source(&at), real);
        assert_eq!(own.places.get(&kept), Some(&Place::Host(Access::Read)));
        assert_eq!(own.source(&kept), real.join("kept"));
        assert_eq!(own.home, at);
        let bent = Spec { read_write: vec![at.join("bent")], ..spec };
        let error = Plan::make(&bent).unwrap_err();
        assert!(error.to_string().contains("neither"), "{error}");
    }

    #[test]
    fn what_is_hidden_is_covered_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let outer = folder.path().canonicalize().unwrap();
        let state = outer.join("state");
        fs::create_dir(&state).unwrap();
        let hidden = vec![state.clone()];
        let spec = Spec { read_write: vec![outer], hidden, ..Spec::default() };
        assert_eq!(plan(&spec).places.get(&state), Some(&Place::Scratch(0o700)));
        let inner = Spec { read_only: vec![state], ..spec };
        let error = Plan::make(&inner).unwrap_err();
        assert!(error.to_string().contains("not for sandboxes"), "{error}");
    }

    #[test]
    fn a_folder_below_one_with_the_same_access_needs_no_mount() {
        let folder = tempfile::tempdir().unwrap();
        let outer = folder.path().canonicalize().unwrap();
        let inner = outer.join("inner");
        fs::create_dir(&inner).unwrap();
        let both =
            plan(&Spec { read_write: vec![outer.clone(), inner.clone()], ..Spec::default() });
        assert_eq!(both.places.get(&inner), None);
        let narrowed = plan(&Spec {
            read_only: vec![inner.clone()],
            read_write: vec![outer.clone()],
            ..Spec::default()
        });
        assert_eq!(narrowed.places.get(&inner), Some(&Place::Host(Access::Read)));
        assert_eq!(narrowed.places.get(&outer), Some(&Place::Host(Access::Write)));
    }

    #[test]
    fn sockets_below_a_listed_folder_are_found() {
        let list = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 15103 /run/a b.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 15104 @/abstract\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 15105\n";
        assert_eq!(bound_paths(list.as_bytes()).collect::<Vec<_>>(), [Path::new("/run/a b.sock")]);
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().canonicalize().unwrap().join("s");
        let _kept = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(plan(&Spec::default()).covered, Vec::<PathBuf>::new());
        let spec = Spec { read_write: vec![folder.path().to_owned()], ..Spec::default() };
        assert_eq!(plan(&spec).covered, [socket]);
    }

    #[test]
    fn sockets_and_what_leads_to_the_kernel_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let _kept = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = Plan::make(&Spec { read_only: vec![socket], ..Spec::default() }).unwrap_err();
        assert!(error.to_string().contains("lead out"), "{error}");
        let link = folder.path().join("p");
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        let error = Plan::make(&Spec { read_write: vec![link], ..Spec::default() }).unwrap_err();
        assert!(error.to_string().contains("of its own"), "{error}");
    }
}
