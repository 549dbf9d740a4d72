//! `resolv.conf(5)`: which servers are asked, and under which names. What is not understood is passed over, as everywhere.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::Duration,
};

use tokio::{fs::File, io::AsyncReadExt as _};

/// How much of the file is read, bytes.
const BYTES_MAX: u64 = 64 << 10;
/// As many as the C library takes.
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 6;
const DOTS_MAX: usize = 15;
const ATTEMPTS_MAX: u32 = 5;
const TIMEOUT_SECONDS_MAX: u64 = 30;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conf {
    pub(super) servers: Vec<IpAddr>,
    search: Vec<String>,
    dots: usize,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) use_tcp: bool,
}

impl Default for Conf {
    fn default() -> Self {
        Self {
            servers: vec![Ipv4Addr::LOCALHOST.into()],
            search: Vec::new(),
            dots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            use_tcp: false,
        }
    }
}

impl Conf {
    /// A file that is not there says nothing.
    pub(super) async fn read(path: &Path) -> Self {
        let mut text = Vec::new();
        match File::open(path).await {
            Ok(file) => {
                if let Err(error) = file.take(BYTES_MAX).read_to_end(&mut text).await {
                    tracing::warn!(%error, "the file of resolvers cannot be read");
                }
            }
            Err(error) => tracing::debug!(%error, "there is no file of resolvers"),
        }
        Self::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Self {
        let mut conf = Self { servers: Vec::new(), ..Self::default() };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < SERVERS_MAX => {
                    // A zone of a link-local address names a device, which no socket here is bound to.
                    conf.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => {
                    let plain = |word: &str| word.trim_end_matches('.').to_owned();
                    conf.search = words.map(plain).filter(|word| !word.is_empty()).collect();
                    conf.search.truncate(SEARCH_MAX);
                }
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers = Self::default().servers;
        }
        conf
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        match (name, value.parse::<u64>()) {
            ("ndots", Ok(dots)) => {
                self.dots = usize::try_from(dots).unwrap_or(DOTS_MAX).min(DOTS_MAX);
            }
            ("timeout", Ok(seconds)) => {
                self.timeout = Duration::from_secs(seconds.clamp(1, TIMEOUT_SECONDS_MAX));
            }
            ("attempts", Ok(attempts)) => {
                self.attempts = u32::try_from(attempts).unwrap_or(1).clamp(1, ATTEMPTS_MAX);
            }
            ("use-vc", _) => self.use_tcp = true,
            _ => {}
        }
    }

    /// The names that are asked for, in turn.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        let searched = self.search.iter().map(|end| format!("{name}.{end}"));
        let whole = std::iter::once(name.to_owned());
        if name.split('.').count() > self.dots {
            whole.chain(searched).collect()
        } else {
            searched.chain(whole).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_writes_is_understood() {
        let conf = Conf::parse(
            "# a remark\nnameserver 10.96.0.10\nnameserver fd00::a\nnameserver nonsense\n\
             search ns.svc.cluster.local svc.cluster.local. \noptions ndots:5 timeout:1 attempts:99 edns0 use-vc\n",
        );
        let servers: Vec<IpAddr> = ["10.96.0.10", "fd00::a"].map(|one| one.parse().unwrap()).into();
        assert_eq!((&conf.servers, conf.attempts, conf.use_tcp), (&servers, 5, true));
        assert_eq!(conf.timeout, Duration::from_secs(1));
        assert_eq!(
            conf.candidates("db.other"),
            ["db.other.ns.svc.cluster.local", "db.other.svc.cluster.local", "db.other"]
        );
    }

    #[test]
    fn a_name_with_dots_is_asked_for_as_it_is_first() {
        let conf = Conf::parse("search example.net\n");
        assert_eq!(conf.candidates("a.example"), ["a.example", "a.example.example.net"]);
        assert_eq!(conf.candidates("a"), ["a.example.net", "a"]);
        assert_eq!(conf.servers, Conf::default().servers);
    }

    #[test]
    fn nonsense_is_passed_over() {
        assert_eq!(
            Conf::parse("\0\nnameserver\noptions ndots timeout:x\nsearch\n"),
            Conf::default()
        );
    }
}
