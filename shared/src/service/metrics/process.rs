//! The process as the kernel sees it, by the names that every dashboard knows.
//!
//! Our own sixty lines rather than the crate's feature, which counts processor time in whole seconds:
//! a rate of that over a scrape interval is a staircase. Where there is no `/proc` nothing is served.

use std::fs;

use super::reading::{Family, Readings};

const CPU: Family = Family::counter(
    "process_cpu_seconds_total",
    "Processor time that the process has used, user and system, in seconds.",
    &[],
);
const RESIDENT: Family = Family::gauge(
    "process_resident_memory_bytes",
    "Memory of the process that is in RAM, in bytes.",
    &[],
);
const VIRTUAL: Family = Family::gauge(
    "process_virtual_memory_bytes",
    "Address space of the process, in bytes.",
    &[],
);
const THREADS: Family = Family::gauge("process_threads", "Threads of the process.", &[]);
const OPEN_FDS: Family = Family::gauge(
    "process_open_fds",
    "Files, sockets and pipes that the process has open.",
    &[],
);
const MAX_FDS: Family = Family::gauge(
    "process_max_fds",
    "Files, sockets and pipes that the process may have open.",
    &[],
);
const START: Family = Family::gauge(
    "process_start_time_seconds",
    "When the process started, in seconds since 1970.",
    &[],
);

/// What is read here.
pub(super) const FAMILIES: &[&Family] = &[
    &CPU, &RESIDENT, &VIRTUAL, &THREADS, &OPEN_FDS, &MAX_FDS, &START,
];

/// Ticks of `/proc/<pid>/stat` a second: what Linux shows to programs, whatever the kernel's own.
const TICKS: f64 = 100.0;

/// Reads what there is.
pub(super) fn read(into: &mut Readings) {
    let text = |path: &str| fs::read_to_string(path).ok();
    if let Some(stat) = text("/proc/self/stat").as_deref().and_then(Stat::parse) {
        into.put(&CPU, &[], stat.cpu_ticks / TICKS);
        let boot = text("/proc/stat").as_deref().and_then(boot_time);
        if let Some(boot) = boot {
            into.put(&START, &[], boot + stat.start_ticks / TICKS);
        }
    }
    if let Some(status) = text("/proc/self/status") {
        for (family, name, unit) in [
            (&RESIDENT, "VmRSS:", 1024.0),
            (&VIRTUAL, "VmSize:", 1024.0),
            (&THREADS, "Threads:", 1.0),
        ] {
            if let Some(value) = field(&status, name) {
                into.put(family, &[], value * unit);
            }
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is this listing itself.
        into.put(&OPEN_FDS, &[], open.count().saturating_sub(1));
    }
    if let Ok(most) = rlimit::Resource::NOFILE.get_soft() {
        into.put(&MAX_FDS, &[], most);
    }
}

/// What is wanted of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    start_ticks: f64,
}

impl Stat {
    /// The program's name stands in brackets and may hold anything, so the fields are counted from the
    /// last one on: user time is the 12th after it, system time the 13th, the start the 20th.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some(Self {
            cpu_ticks: ticks(11)? + ticks(12)?,
            start_ticks: ticks(19)?,
        })
    }
}

/// The first number of the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// When the machine was started, in seconds since 1970.
fn boot_time(text: &str) -> Option<f64> {
    field(text, "btime ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_does_not_shift_the_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 4 18 4711 20";
        for name in ["central-api", "a) S 9 9 (b", "with space"] {
            let stat = Stat::parse(&format!("42 ({name}) {rest}"));
            let expected = Stat {
                cpu_ticks: 300.0,
                start_ticks: 4711.0,
            };
            assert_eq!(stat, Some(expected), "{name}");
        }
        for text in [
            "",
            "42 (x",
            "42 (x) S 1 2",
            "42 (x) S a b c d e f g h i j k l",
        ] {
            assert_eq!(Stat::parse(text), None, "{text}");
        }
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "Name:\tx\nVmPeak:\t 9 kB\nVmRSS:\t  7 kB\nThreads:\t3\n";
        assert_eq!(field(status, "VmRSS:"), Some(7.0));
        assert_eq!(field(status, "Threads:"), Some(3.0));
        assert_eq!(field(status, "VmSize:"), None);
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1768473000\n"),
            Some(1_768_473_000.0)
        );
    }
}
