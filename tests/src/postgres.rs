//! A real Postgres for one test: a cluster of its own in a temporary folder, on a socket in that folder.
//!
//! It ends with the test, however that ends: the shell that started it waits for the end of its standard input, which is
//! a pipe from the test. Root runs it as an ordinary user, because Postgres refuses root. Making a cluster takes seconds,
//! so the first test keeps an unused one for the others.

use std::{
    env,
    fs::{self, File},
    io,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Starting takes a tenth of a second; a machine may be that busy.
const START_MAX: Duration = Duration::from_mins(1);

/// With less room in memory the disk is used, bytes: several tests run at once.
const MEMORY_BYTES_MIN: u64 = 1 << 30;

/// Starts the server behind `$0` on the cluster in `$1`, ends it at the end of the input and, but for a file `keep`,
/// removes everything.
const KEEPER: &str = r#"
"$0" -D "$1/data" -k "$1" -c listen_addresses= -c fsync=off -c autovacuum=off -c shared_buffers=16MB >>"$1/log" 2>&1 &
server=$!
cat >/dev/null
if [ -e "$1/keep" ]; then
    kill -INT $server; wait $server
else
    kill -QUIT $server; wait $server; rm -rf "$1"
fi
"#;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    keeper: Option<Child>,
    databases: AtomicU32,
}

impl Postgres {
    /// A new, empty server. `cache` is a folder that outlives the test, such as cargo's for tests.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn start(cache: &Path) -> Result<Self, String> {
        let programs = programs().ok_or(
            "Postgres is not installed: run `apt-get install -y postgresql`, or set OPENSHELL_WITHOUT_POSTGRES=1 \
             to go without these tests",
        )?;
        let template = template(&programs, cache);
        let folder = folder();
        run(Command::new("cp").arg("-r").arg(template).arg(folder.join("data")));
        give_away(&folder);
        let mut server = Self { programs, folder, keeper: None, databases: AtomicU32::new(0) };
        server.start_again();
        Ok(server)
    }

    /// The URL of an empty database that nobody else uses.
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            return self.url("postgres"); // every cluster has it
        }
        let (name, folder) = (format!("d{number}"), self.folder.to_string_lossy());
        let create = ["-h", &folder, "-U", "openshell", "-T", "template0", &name];
        run(Command::new(self.programs.join("createdb")).args(create));
        self.url(&name)
    }

    fn url(&self, name: &str) -> String {
        format!("postgres:///{name}?host={}&user=openshell", self.folder.display())
    }

    /// Ends the server as a restart of its machine would: connections are cut, what was committed is kept.
    pub fn stop(&mut self) {
        fs::write(self.folder.join("keep"), "").expect("the folder is ours");
        let mut keeper = self.keeper.take().expect("it runs");
        drop(keeper.stdin.take());
        keeper.wait().expect("it ends");
    }

    /// Starts it after [`Postgres::stop`].
    pub fn start_again(&mut self) {
        drop(fs::remove_file(self.folder.join("keep"))); // it is not there the first time
        let mut keeper = as_server("sh");
        keeper.arg("-c").arg(KEEPER).arg(self.programs.join("postgres")).arg(&self.folder);
        self.keeper = Some(keeper.stdin(Stdio::piped()).spawn().expect("a shell starts"));
        let begun = Instant::now();
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.arg("-q").arg("-h").arg(&self.folder);
        while !ready.status().expect("pg_isready starts").success() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < START_MAX, "Postgres did not start:\n{log}");
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Every byte that it keeps on its disk.
    pub fn bytes(&self) -> Vec<u8> {
        let (mut bytes, mut folders) = (Vec::new(), vec![self.folder.join("data")]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("it can be listed") {
                let path = entry.expect("it can be listed").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    // A file of a server that runs may go away.
                    bytes.extend(fs::read(path).unwrap_or_default());
                }
            }
        }
        bytes
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(mut keeper) = self.keeper.take() else {
            drop(fs::remove_dir_all(&self.folder)); // a folder in /tmp is all that could stay
            return;
        };
        drop(keeper.stdin.take());
        drop(keeper.wait()); // nothing follows from how it ended
    }
}

/// The folder of `initdb` and the others: what `PATH` knows, else the newest that Debian has installed.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .collect();
    installed.sort();
    installed.reverse();
    let mut folders = env::split_paths(&path).chain(installed);
    folders.find(|folder| {
        ["initdb", "postgres", "createdb", "pg_isready"]
            .iter()
            .all(|name| folder.join(name).is_file())
    })
}

/// A folder of its own that the server may enter: in memory where there is room, because a cluster is 30 MB in a thousand
/// files, which a busy disk takes seconds to write.
fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
    let within = if free > MEMORY_BYTES_MIN { memory.to_owned() } else { env::temp_dir() };
    let folder = TempDir::with_prefix_in("openshell-postgres-", within);
    let folder = folder.expect("a temporary folder").keep();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
    folder
}

/// A cluster that was never used.
fn template(programs: &Path, cache: &Path) -> PathBuf {
    fs::create_dir_all(cache).expect("the cache can be made");
    let lock = File::create(cache.join("postgres.lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be taken");
    let template = cache.join("postgres-template");
    let version = version(programs);
    if fs::read_to_string(template.join("PG_VERSION")).is_ok_and(|found| found.trim() == version) {
        return template;
    }
    drop(fs::remove_dir_all(&template)); // it is not there the first time
    let folder = folder();
    give_away(&folder);
    let mut make = as_server(programs.join("initdb"));
    make.args([
        "--no-sync",
        "--auth=trust",
        "--username=openshell",
        "--no-locale",
        "--encoding=UTF8",
        "--wal-segsize=1",
    ]);
    run(make.arg("-D").arg(folder.join("data")));
    let beside = cache.join("postgres-template-new");
    drop(fs::remove_dir_all(&beside)); // it is there after a test that was killed
    run(Command::new("cp").arg("-r").arg(folder.join("data")).arg(&beside));
    fs::rename(&beside, &template).expect("the cache is ours");
    drop(fs::remove_dir_all(folder)); // a folder in /tmp is all that could stay
    template
}

/// `15` of `initdb (PostgreSQL) 15.18 (…)`.
fn version(programs: &Path) -> String {
    let told = Command::new(programs.join("initdb")).arg("--version").output().expect("it starts");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let number = told.split(' ').find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    number.and_then(|number| number.split('.').next()).expect("initdb says its version").to_owned()
}

/// A command that is not run as root.
fn as_server(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command
}

/// Who the server runs as, if not as us: `postgres`, else `nobody`.
fn server_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let found = find("postgres").or_else(|| find("nobody"));
    assert!(found.is_some(), "no ordinary user could run Postgres");
    found
}

/// Makes everything in a folder the server's, readable by it alone.
fn give_away(folder: &Path) {
    let Some((user, group)) = server_user() else { return };
    let walk =
        |path: &Path| -> io::Result<()> { std::os::unix::fs::chown(path, Some(user), Some(group)) };
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        walk(&folder).expect("root gives away");
        for entry in fs::read_dir(&folder).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() { folders.push(path) } else { walk(&path).expect("root gives away") }
        }
    }
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", command.get_program().display());
}
