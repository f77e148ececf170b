//! `start.sh` starts all or nothing, what ends by itself it starts again, and what it started it stops.
//!
//! The script runs in a folder of its own, with stand-ins for Cargo, curl, sleep and the services: a
//! service says in a file that it was started and that it was asked to stop, and counts as healthy
//! while its mark is there. A pause says how long it should be, and is short unless it is to be held.
//! So what is tested is the script's own logic, in a second or two.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use system_tests::process::until;
use tempfile::TempDir;

const SCRIPT: &str = include_str!("../../../start.sh");
const PATIENCE: Duration = Duration::from_secs(60);
const SERVICES: [&str; 5] = ["central", "store-s1", "store-s2", "store-s3", "store-s4"];

/// Stands in for both services. `STORE_ID` tells which one it is; it ends at once if it is named in
/// the file `broken`.
const SERVICE: &str = r#"#!/bin/bash
name="${STORE_ID:-central}"
trap 'rm -f "healthy-$PORT"; echo "$name" >>stopped; exit 0' TERM
echo "$$ $name" >>started
if grep -qs "$name" broken; then echo "its complaint" >&2; exit 1; fi
touch "healthy-$PORT"
while :; do sleep 0.02; done
"#;

/// Stands in for curl: the health of a port is a file.
const CURL: &str = r#"#!/bin/bash
url="${!#}"
port="${url#http://127.0.0.1:}"
test -e "healthy-${port%%/*}"
"#;

/// Stands in for sleep. Whole seconds are the pauses before a service is started again: they are noted,
/// and last while there is a file `hold`.
const SLEEP: &str = r#"#!/bin/bash
case "$1" in
    *.*) ;;
    *)
        echo "$1" >>pauses
        echo "$$ pause" >>started
        while [ -e hold ]; do /usr/bin/sleep 0.02; done
        ;;
esac
exec /usr/bin/sleep 0.02
"#;

/// A folder with the script and the stand-ins.
struct Site {
    dir: TempDir,
    ports: [u16; 5],
    metrics: [u16; 5],
}

impl Site {
    fn new() -> Self {
        let (ports, metrics) = free_ports();
        let site = Self {
            dir: TempDir::new().unwrap(),
            ports,
            metrics,
        };
        site.program("start.sh", SCRIPT);
        site.program("home/bin/cargo", "#!/bin/bash\nexit 0\n");
        site.program("home/bin/curl", CURL);
        site.program("home/bin/sleep", SLEEP);
        for name in ["central-api", "store-api", "traffic"] {
            site.program(&format!("target/release/{name}"), SERVICE);
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self) -> Command {
        let [central, stores @ ..] = self.ports;
        let [scraped, scraped_stores @ ..] = self.metrics;
        let list = |ports: [u16; 4]| ports.map(|port| port.to_string()).join(" ");
        let mut command = Command::new("/bin/bash");
        command
            .arg(self.path("start.sh"))
            // Another folder: the script has to find its own.
            .current_dir("/")
            .env("CARGO_HOME", self.path("home"))
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env("CENTRAL_PORT", central.to_string())
            .env("STORE_PORTS", list(stores))
            .env("CENTRAL_METRICS_PORT", scraped.to_string())
            .env("STORE_METRICS_PORTS", list(scraped_stores))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the script and waits until it says that everything runs.
    async fn start(&self) -> Running {
        let [output, errors] = ["output", "errors"].map(|name| {
            let file = fs::File::create(self.path(name));
            file.unwrap()
        });
        let child = self.command().stdout(output).stderr(errors).spawn();
        let errors = self.path("errors");
        let running = Running(child.unwrap(), errors);
        let output = self.path("output");
        until("the script says that all runs", PATIENCE, || async {
            fs::read_to_string(&output)
                .unwrap()
                .contains("Ctrl-C stops")
        })
        .await
        .unwrap();
        running
    }

    /// Waits until the script complains in these words.
    async fn until_said(&self, words: &str) {
        until(words, PATIENCE, || async {
            self.lines("errors").iter().any(|line| line.contains(words))
        })
        .await
        .unwrap();
    }

    /// Lines of a file; none if it is not there.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Process ids and names of the services that were started.
    fn started(&self) -> Vec<(u32, String)> {
        let parse = |line: String| {
            let (pid, name) = line.split_once(' ').unwrap();
            (pid.parse().unwrap(), name.to_owned())
        };
        self.lines("started").into_iter().map(parse).collect()
    }

    /// How often a service was started.
    fn starts(&self, service: &str) -> usize {
        let started = self.started().into_iter();
        started.filter(|(_, name)| name == service).count()
    }

    /// Waits until a service was started so many times.
    async fn until_started(&self, service: &str, times: usize) {
        let what = format!("{service} was started {times} times");
        until(&what, PATIENCE, || async { self.starts(service) >= times })
            .await
            .unwrap();
    }

    /// Nothing that was started is left.
    fn assert_nothing_left(&self) {
        for (pid, name) in self.started() {
            let alive = Path::new(&format!("/proc/{pid}")).exists();
            assert!(!alive, "{name} is still there");
        }
    }

    fn stopped(&self) -> Vec<String> {
        let mut names = self.lines("stopped");
        names.sort();
        names
    }
}

/// The script while it runs; stopped, with all it started, if its test fails.
struct Running(Child, PathBuf);

impl Running {
    fn end(mut self) -> Output {
        signal("TERM", self.0.id());
        self.result()
    }

    fn result(&mut self) -> Output {
        Output {
            status: self.0.wait().unwrap(),
            stdout: Vec::new(),
            stderr: fs::read(&self.1).unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            signal("TERM", self.0.id());
            drop(self.0.wait());
        }
    }
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(status.unwrap().success(), "{pid} cannot be signalled");
}

/// Ports of the services and of their metrics, all different: held until all are chosen.
fn free_ports() -> ([u16; 5], [u16; 5]) {
    let free = || [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let listeners = [free(), free()];
    let [services, metrics] = listeners.each_ref().map(|listeners| {
        let ports = listeners.each_ref();
        ports.map(|listener| listener.local_addr().unwrap().port())
    });
    (services, metrics)
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_stop_signal_stops_everything_that_was_started() {
    let site = Site::new();
    let output = site.start().await.end();
    assert_eq!(output.status.code(), Some(143), "{}", errors(&output));
    let names: Vec<String> = site.started().into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, SERVICES, "central first, then the shops in order");
    assert_eq!(site.stopped(), SERVICES, "each was asked, none was killed");
    site.assert_nothing_left();
    assert_eq!(errors(&output), "");
}

#[tokio::test]
async fn what_was_frozen_is_stopped_too() {
    let site = Site::new();
    let running = site.start().await;
    let (pid, _) = site.started()[0].clone();
    signal("STOP", pid);
    let output = running.end();
    assert_eq!(site.stopped(), SERVICES, "each was asked, none was killed");
    site.assert_nothing_left();
    assert_eq!(errors(&output), "");
}

#[tokio::test]
async fn what_it_prints_can_be_tried() {
    let site = Site::new();
    let running = site.start().await;
    let printed = fs::read_to_string(site.path("output")).unwrap();
    for port in site.ports {
        assert!(printed.contains(&format!("http://127.0.0.1:{port}")));
    }
    for port in site.metrics {
        assert!(printed.contains(&format!("http://127.0.0.1:{port}/metrics")));
    }
    assert!(printed.contains("THESE ARE DEMO KEYS"));
    assert_eq!(printed.matches("  curl -s ").count(), 3);
    running.end();
}

#[tokio::test]
async fn a_port_in_use_is_one_line_and_nothing_is_started() {
    let mut site = Site::new();
    for place in 0..4 {
        // Chosen and held in one: a port that is given back may be somebody else's at once.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().port();
        let ports = match place {
            0 | 1 => &mut site.ports,
            _ => &mut site.metrics,
        };
        ports[place % 2 * 4] = taken;
        let output = site.command().output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let errors = errors(&output);
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(
            errors.contains(&format!("port {taken} is in use")),
            "{errors}"
        );
        assert_eq!(site.started(), []);
    }
}

#[tokio::test]
async fn a_missing_tool_is_one_line_that_names_it() {
    let site = Site::new();
    fs::remove_file(site.path("home/bin/curl")).unwrap();
    fs::create_dir(site.path("few")).unwrap();
    for tool in ["dirname", "readlink", "id"] {
        symlink(format!("/usr/bin/{tool}"), site.path("few").join(tool)).unwrap();
    }
    let output = site
        .command()
        .env("PATH", site.path("few"))
        .output()
        .unwrap();
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("please install: gcc curl"), "{errors}");
    assert_eq!(site.started(), []);
}

#[tokio::test]
async fn a_service_that_does_not_start_is_named_and_the_others_are_stopped() {
    let site = Site::new();
    fs::write(site.path("broken"), "store-s3").unwrap();
    let output = site.command().output().unwrap();
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("its complaint"), "{errors}");
    assert!(errors.contains("store-s3 did not start"), "{errors}");
    assert_eq!(site.started().len(), 4, "store-s4 was never started");
    assert_eq!(site.stopped(), ["central", "store-s1", "store-s2"]);
    site.assert_nothing_left();
}

#[tokio::test]
async fn what_ends_by_itself_is_started_again_while_the_others_go_on() {
    for place in [0, 2] {
        let site = Site::new();
        let running = site.start().await;
        let (pid, name) = site.started()[place].clone();
        signal("KILL", pid);
        site.until_started(&name, 2).await;
        for other in SERVICES.into_iter().filter(|other| *other != name) {
            assert_eq!(site.starts(other), 1, "{other} was left alone");
        }
        let output = running.end();
        let errors = errors(&output);
        assert_eq!(output.status.code(), Some(143), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains(&format!("{name} has ended")), "{errors}");
        assert_eq!(
            site.stopped(),
            SERVICES,
            "the one that was started again too"
        );
        assert_eq!(site.lines("pauses"), ["1"]);
        site.assert_nothing_left();
    }
}

#[tokio::test]
async fn what_ends_again_and_again_is_left_alone_while_the_others_go_on() {
    let site = Site::new();
    let running = site.start().await;
    fs::write(site.path("broken"), "central").unwrap();
    let (central, _) = site.started()[0].clone();
    signal("KILL", central);
    site.until_said("central ends again and again").await;
    // The script still looks after the others.
    let (shop, name) = site.started()[2].clone();
    signal("KILL", shop);
    site.until_started(&name, 2).await;
    let pauses = site.lines("pauses");
    assert_eq!(pauses[..5], ["1", "2", "4", "8", "15"], "{pauses:?}");
    assert_eq!(site.starts("central"), 6);
    let output = running.end();
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(143), "{errors}");
    assert!(errors.contains("the shops go on"), "{errors}");
    assert_eq!(site.stopped(), SERVICES[1..]);
    site.assert_nothing_left();
}

#[tokio::test]
async fn if_nothing_is_left_that_could_be_started_the_script_ends() {
    let site = Site::new();
    let mut running = site.start().await;
    fs::write(site.path("broken"), SERVICES.join(" ")).unwrap();
    for (pid, _) in site.started() {
        signal("KILL", pid);
    }
    let output = running.result();
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("nothing runs any more"), "{errors}");
    for name in SERVICES {
        assert_eq!(site.starts(name), 6, "{name}");
    }
    site.assert_nothing_left();
}

#[tokio::test]
async fn a_stop_signal_in_a_pause_starts_nothing_more() {
    let site = Site::new();
    let running = site.start().await;
    fs::write(site.path("hold"), "").unwrap();
    let (pid, _) = site.started()[0].clone();
    signal("KILL", pid);
    site.until_started("pause", 1).await;
    let output = running.end();
    assert_eq!(output.status.code(), Some(143), "{}", errors(&output));
    assert_eq!(site.starts("central"), 1);
    assert_eq!(site.stopped(), SERVICES[1..]);
    site.assert_nothing_left();
}

/// Whoever does not answer has not ended.
#[tokio::test]
async fn what_is_frozen_is_not_started_again() {
    let site = Site::new();
    let running = site.start().await;
    let (frozen, _) = site.started()[0].clone();
    signal("STOP", frozen);
    // One that ended is noticed, after the other was looked at.
    let (shop, name) = site.started()[4].clone();
    signal("KILL", shop);
    site.until_started(&name, 2).await;
    assert_eq!(site.starts("central"), 1);
    running.end();
    site.assert_nothing_left();
}
