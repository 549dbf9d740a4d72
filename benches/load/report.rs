//! The report: what was measured, as a table for people and as data for programs.

use std::{fmt::Write as _, fs, time::Duration};

use serde::Serialize;

use crate::{
    children::Resident,
    egress::Cost,
    measure::Bounds,
    memory::{Memories, Memory},
    reload::Reload,
};

/// Everything that was measured in one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: String,
    bounds: Bounds,
    /// CPU time and throughput per mode.
    pub(crate) cpu: Vec<CpuRow>,
    /// Latency.
    pub(crate) latency: Option<Latency>,
    /// Memory.
    pub(crate) memory: Option<Memories>,
    /// Streams under reloads.
    pub(crate) reload: Option<Reload>,
    /// The network of a sandbox.
    pub(crate) egress: Option<Cost>,
}

/// One side of one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    /// Answers.
    pub(crate) requests: u32,
    /// CPU time of the proxy.
    pub(crate) cpu: Duration,
    /// Time that passed.
    pub(crate) wall: Duration,
}

/// Figures of one mode: sums over all rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CpuRow {
    mode: &'static str,
    bytes: usize,
    bare: Sum,
    router: Sum,
    /// CPU time per request of the router over that of the bare proxy, in each round.
    ratios: Vec<f64>,
    /// Their median.
    ratio: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Sum {
    requests: u32,
    cpu_s: f64,
    wall_s: f64,
    cpu_us_per_request: f64,
    requests_per_s: f64,
}

impl Sum {
    fn add(&mut self, side: Side) {
        self.requests += side.requests;
        self.cpu_s += side.cpu.as_secs_f64();
        self.wall_s += side.wall.as_secs_f64();
        self.cpu_us_per_request = self.cpu_s * 1e6 / f64::from(self.requests.max(1));
        self.requests_per_s = f64::from(self.requests) / self.wall_s.max(1e-9);
    }
}

impl CpuRow {
    /// A mode that has not been measured.
    pub(crate) fn new(mode: &'static str) -> Self {
        let (bare, router) = (Sum::default(), Sum::default());
        Self { mode, bytes: 0, bare, router, ratios: Vec::new(), ratio: 0.0 }
    }

    /// Adds a round.
    pub(crate) fn add(&mut self, bytes: usize, bare: Side, router: Side) {
        self.bytes = bytes;
        let each = |side: Side| side.cpu.as_secs_f64() / f64::from(side.requests.max(1));
        self.ratios.push(each(router) / each(bare));
        self.bare.add(bare);
        self.router.add(router);
        let mut sorted = self.ratios.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        self.ratio = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    }

    /// The figures so far.
    pub(crate) fn line(&self) -> String {
        let least = self.ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.ratios.iter().copied().fold(0.0, f64::max);
        format!(
            "{:<14} {:>7} B  bare {:>7.1} us  router {:>7.1} us  ratio {:>5.2} ({least:.2} to {most:.2})  requests/s {:>6.0} {:>6.0} ({:.2})",
            self.mode,
            self.bytes,
            self.bare.cpu_us_per_request,
            self.router.cpu_us_per_request,
            self.ratio,
            self.bare.requests_per_s,
            self.router.requests_per_s,
            self.router.requests_per_s / self.bare.requests_per_s,
        )
    }
}

/// Latency at one request at a time, microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    direct: Quantiles,
    bare: Quantiles,
    swap: Quantiles,
    everything: Quantiles,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Quantiles {
    p50_us: u128,
    p99_us: u128,
}

impl Latency {
    /// Of the times without a proxy, through the bare one, the router that swaps, and the router that does everything.
    pub(crate) fn new(times: [Vec<Duration>; 4]) -> Self {
        let [direct, bare, swap, everything] = times.map(|mut times| {
            times.sort_unstable();
            let at = |percent| {
                times.get(times.len().saturating_mul(percent) / 100).map_or(0, Duration::as_micros)
            };
            Quantiles { p50_us: at(50), p99_us: at(99) }
        });
        Self { direct, bare, swap, everything }
    }

    fn table(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "latency of new prompts of 1 KB, one at a time, us")?;
        let sides = [
            ("no proxy", self.direct),
            ("bare", self.bare),
            ("router, swap", self.swap),
            ("router, all", self.everything),
        ];
        let added = |side: u128, direct: u128| side.saturating_sub(direct);
        let ratio = |side: u128, direct: u128, bare: u128| {
            let number = |value: u128| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
            number(added(side, direct)) / number(added(bare, direct)).max(1.0)
        };
        for (name, side) in sides {
            let (p50, p99) = (self.direct.p50_us, self.direct.p99_us);
            writeln!(
                out,
                "{name:<14} p50 {:>6} (added {:>5}, {:.2} of bare)  p99 {:>6} (added {:>5}, {:.2} of bare)",
                side.p50_us,
                added(side.p50_us, p50),
                ratio(side.p50_us, p50, self.bare.p50_us),
                side.p99_us,
                added(side.p99_us, p99),
                ratio(side.p99_us, p99, self.bare.p99_us),
            )?;
        }
        Ok(())
    }
}

impl Report {
    /// A report without figures.
    pub(crate) fn of_this_machine(bounds: &Bounds) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let name = name.map_or("unknown processor", |(_, name)| name);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            machine: format!("{processors} x {name}"),
            bounds: *bounds,
            cpu: Vec::new(),
            latency: None,
            memory: None,
            reload: None,
            egress: None,
        }
    }

    /// The report for people.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        match self.write(&mut out) {
            Ok(()) => out,
            // Writing to a string cannot fail.
            Err(std::fmt::Error) => String::new(),
        }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Bounds { rounds, connections, threads, .. } = self.bounds;
        writeln!(
            out,
            "{}; {rounds} rounds, {connections} connections, {threads} threads",
            self.machine
        )?;
        for row in &self.cpu {
            writeln!(out, "{}", row.line())?;
        }
        if let Some(latency) = &self.latency {
            latency.table(out)?;
        }
        if let Some(memories) = &self.memory {
            let mib = |resident: Resident| {
                format!("{} MiB ({} own)", resident.all_kib >> 10, resident.own_kib >> 10)
            };
            writeln!(
                out,
                "memory, examples/router/local-first.yaml: idle {}",
                mib(memories.example)
            )?;
            for (name, memory) in [("bare", memories.bare), ("router", memories.router)] {
                let Memory { idle, after_1k, after_100k, quiet } = memory;
                let [idle, one, hundred, quiet] = [idle, after_1k, after_100k, quiet].map(mib);
                writeln!(
                    out,
                    "memory, {name}: idle {idle}, after 10,000 x 1 KB {one}, after 1,000 x 100 KB {hundred}, later {quiet}"
                )?;
            }
        }
        if let Some(cost) = &self.egress {
            writeln!(out, "{}", cost.request.line())?;
            let tunnel = cost.tunnel.line();
            writeln!(out, "new tunnel, TLS on both sides, one request: {tunnel}")?;
            writeln!(out, "spliced bytes, each MB: {}", cost.spliced.line())?;
        }
        if let Some(reload) = &self.reload {
            let Reload { streams, cut, .. } = reload;
            writeln!(
                out,
                "reload under {streams} streams: {cut} cut; largest gap {} ms before, {} ms during; p99 {} ms, {} ms",
                reload.gap_before_ms,
                reload.gap_during_ms,
                reload.p99_before_ms,
                reload.p99_during_ms
            )?;
        }
        Ok(())
    }
}
