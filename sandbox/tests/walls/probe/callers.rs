//! Ways to connect as somebody else.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    net::{SocketAddr, TcpStream},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
};

use rustix::net::{AddressFamily, SocketType};

use super::{Outcome, connect};
use crate::calls::{inherited, map_code, map_memory, memory_file, name_thread};

pub(super) fn run(name: &str, words: &[&str]) -> Outcome {
    match (name, words) {
        ("script", [_]) => connect("192.0.2.1:80"),
        ("disguised", [to]) => disguised(to),
        ("from-memory", [to]) => from_memory(to),
        ("without-a-file", [to]) => without_a_file(to),
        ("under-another-file", [to]) => under_another_file(to),
        ("then-exec", [to]) => then_exec(to),
        ("hand-on", [to, heir]) => hand_on(to, heir),
        ("connect-on", [to, descriptor]) => connect_on(to, descriptor),
        ("hand-down", [to, heir @ ..]) => hand_down(to, heir),
        ("wait", []) => wait(),
        ("mapped-code", [to, file]) => mapped_code(to, file),
        ("own-code", [to]) => own_code(to),
        ("many", [to, count]) => many(to, count),
        _ => Err(format!("no probe {name} {words:?}")),
    }
}

/// Under the names of another program, in every place that a program can write.
fn disguised(to: &str) -> Outcome {
    name_thread(c"curl");
    let error = std::process::Command::new("/proc/self/exe")
        .arg0("/usr/bin/curl")
        .args(["probe", "connect", to])
        .exec();
    Err(error.to_string())
}

/// From a file that is memory alone.
fn from_memory(to: &str) -> Outcome {
    let run = || {
        let mut file = memory_file(c"curl")?;
        io::copy(&mut File::open("/proc/self/exe")?, &mut file)?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Err(std::process::Command::new(path).args(["probe", "connect", to]).exec())
    };
    run().map_err(|error: io::Error| error.to_string())
}

fn own_file() -> Result<std::path::PathBuf, String> {
    std::env::current_exe().map_err(|error| error.to_string())
}

fn without_a_file(to: &str) -> Outcome {
    fs::remove_file(own_file()?).map_err(|error| error.to_string())?;
    connect(to)
}

fn under_another_file(to: &str) -> Outcome {
    let own = own_file()?;
    fs::remove_file(&own)
        .and_then(|()| fs::copy("/bin/sh", &own))
        .map_err(|error| error.to_string())?;
    connect(to)
}

/// A connection that outlives the next `exec`.
fn inheritable(to: &str) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(to).map_err(|error| error.to_string())?;
    rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::empty())
        .map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Connects, and then becomes a program that is permitted.
fn then_exec(to: &str) -> Outcome {
    let _stream = inheritable(to)?;
    Err(std::process::Command::new("/bin/sleep").arg("100").exec().to_string())
}

/// Connects, and leaves the connection to another program as well.
fn hand_down(to: &str, heir: &[&str]) -> Outcome {
    let mut stream = inheritable(to)?;
    let (program, words) = heir.split_first().ok_or("no heir")?;
    let mut child = std::process::Command::new(program)
        .args(words)
        .spawn()
        .map_err(|error| error.to_string())?;
    // Until the other end has seen what it wanted.
    let ended = stream.read_to_string(&mut String::new());
    child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
    ended.map(|_| String::new()).map_err(|error| error.to_string())
}

/// Fails to connect, and hands the socket on to another program, which does.
fn hand_on(to: &str, heir: &str) -> Outcome {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)
        .map_err(|error| error.to_string())?;
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    if rustix::net::connect(&socket, &nobody) != Err(rustix::io::Errno::CONNREFUSED) {
        return Err("somebody is there".to_owned());
    }
    let descriptor = socket.as_raw_fd().to_string();
    let words = ["probe", "connect-on", to, &descriptor];
    Err(std::process::Command::new(heir).args(words).exec().to_string())
}

fn connect_on(to: &str, descriptor: &str) -> Outcome {
    let socket = File::from(inherited(descriptor.parse().map_err(|_| "a number".to_owned())?));
    let to: SocketAddr = to.parse().map_err(|_| "an address".to_owned())?;
    rustix::net::connect(&socket, &to).map_err(|error| error.to_string())?;
    rustix::io::read(&socket, &mut [0; 8]).map_err(|error| error.to_string())?;
    Ok(String::new())
}

fn wait() -> Outcome {
    let limit = rustix::fs::Timespec { tv_sec: 100, tv_nsec: 0 };
    let waited = rustix::event::poll(&mut [], Some(&limit));
    waited.map(|_| String::new()).map_err(|error| error.to_string())
}

/// With code from a file, as a loader maps it.
fn mapped_code(to: &str, file: &str) -> Outcome {
    let file = File::open(file).map_err(|error| error.to_string())?;
    map_code(&file).map_err(|error| error.to_string())?;
    connect(to)
}

/// With code that it writes itself.
fn own_code(to: &str) -> Outcome {
    map_memory().map_err(|error| error.to_string())?;
    connect(to)
}

/// From as many threads at once.
fn many(to: &str, count: &str) -> Outcome {
    let count: usize = count.parse().map_err(|_| "count is a number".to_owned())?;
    let start = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    connect(to)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "panic".to_owned())?).collect()
    })
}
