//! A folder in which the script runs, and what can be seen of it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use system_tests::process::until;
use tempfile::TempDir;

const SCRIPT: &str = include_str!("../../../../start.sh");
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const SERVICES: [&str; 5] = ["central", "store-s1", "store-s2", "store-s3", "store-s4"];

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
pub(super) struct Site {
    pub(super) dir: TempDir,
    pub(super) ports: [u16; 5],
    pub(super) metrics: [u16; 5],
}

impl Site {
    /// With stand-ins.
    pub(super) fn new() -> Self {
        let site = Self::bare();
        site.program("home/bin/curl", CURL);
        site.program("home/bin/sleep", SLEEP);
        for name in ["central-api", "store-api", "traffic"] {
            site.program(&format!("target/release/{name}"), SERVICE);
        }
        site
    }

    /// The script, and a Cargo that builds nothing.
    pub(super) fn bare() -> Self {
        let (ports, metrics) = free_ports();
        let site = Self {
            dir: TempDir::new().unwrap(),
            ports,
            metrics,
        };
        site.program("start.sh", SCRIPT);
        site.program("home/bin/cargo", "#!/bin/bash\nexit 0\n");
        site
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn program(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn command(&self) -> Command {
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
    pub(super) async fn start(&self) -> Running {
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
    pub(super) async fn until_said(&self, words: &str) {
        until(words, PATIENCE, || async {
            self.lines("errors").iter().any(|line| line.contains(words))
        })
        .await
        .unwrap();
    }

    /// Lines of a file; none if it is not there.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Process ids and names of the services that were started.
    pub(super) fn started(&self) -> Vec<(u32, String)> {
        let parse = |line: String| {
            let (pid, name) = line.split_once(' ').unwrap();
            (pid.parse().unwrap(), name.to_owned())
        };
        self.lines("started").into_iter().map(parse).collect()
    }

    /// How often a service was started.
    pub(super) fn starts(&self, service: &str) -> usize {
        let started = self.started().into_iter();
        started.filter(|(_, name)| name == service).count()
    }

    /// Waits until a service was started so many times.
    pub(super) async fn until_started(&self, service: &str, times: usize) {
        let what = format!("{service} was started {times} times");
        until(&what, PATIENCE, || async { self.starts(service) >= times })
            .await
            .unwrap();
    }

    /// Nothing that was started is left.
    pub(super) fn assert_nothing_left(&self) {
        for (pid, name) in self.started() {
            let alive = Path::new(&format!("/proc/{pid}")).exists();
            assert!(!alive, "{name} is still there");
        }
    }

    pub(super) fn stopped(&self) -> Vec<String> {
        let mut names = self.lines("stopped");
        names.sort();
        names
    }
}

/// The script while it runs; stopped, with all it started, if its test fails.
pub(super) struct Running(Child, PathBuf);

impl Running {
    pub(super) fn end(mut self) -> Output {
        signal("TERM", self.0.id());
        self.result()
    }

    pub(super) fn result(&mut self) -> Output {
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

pub(super) fn signal(name: &str, pid: u32) {
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

pub(super) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
