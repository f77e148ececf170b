//! `add-store.sh` and `clean-rebuild.sh` change what they should, once, and delete nothing unasked.
//!
//! They run in a folder of their own, with stand-ins for Docker, which notes what it is told, and for
//! curl, for which all is well. The containers themselves are rehearsed by `containers/rehearse.sh`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What the scripts read, from the root of the repository.
const FILES: [&str; 5] = [
    "add-store.sh",
    "clean-rebuild.sh",
    "docker-compose.yml",
    "store.compose.yml",
    ".env.example",
];
const TARGETS: &str = "prometheus/targets-compose/stores";

struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(TempDir::new().unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for file in FILES {
            fs::copy(root.join(file), site.path(file)).unwrap();
        }
        fs::create_dir_all(site.path(TARGETS)).unwrap();
        fs::create_dir(site.path("bin")).unwrap();
        site.program("docker", "#!/bin/bash\necho \"$*\" >>told\n");
        site.program("curl", "#!/bin/bash\nexit 0\n");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a script with nobody who could answer a question.
    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        Command::new("/bin/bash")
            .arg(self.path(script))
            .args(arguments)
            .current_dir("/")
            .env("PATH", path)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The same; it succeeds.
    fn runs(&self, script: &str, arguments: &[&str]) {
        let output = self.run(script, arguments);
        assert!(output.status.success(), "{output:?}");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The value of a setting in `.env`.
    fn setting(&self, name: &str) -> String {
        let env = self.read(".env");
        let mut values = env
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = values.next().unwrap_or_default().to_owned();
        assert_eq!(values.next(), None, "{name} is there twice");
        value
    }
}

#[test]
fn a_store_is_added_once_with_a_key_and_ports_of_its_own() {
    let site = Site::new();
    fs::write(site.path(".env"), "ADMIN_KEYS=a\n").unwrap();
    site.runs("add-store.sh", &["store-s5", "Market Place"]);
    site.runs("add-store.sh", &["store-s6"]);
    let (override_file, env) = (site.read("docker-compose.override.yml"), site.read(".env"));
    for part in [
        "  store-s5:",
        "8087:8083",
        "3014:8083",
        "9087:9083",
        "STORE_NAME: \"Market Place\"",
        "${STORE_S5_KEY:?",
        "  store-s5-data:",
        "  store-s6:",
        "8088:8083",
        "  store-s6-data:",
    ] {
        assert_eq!(
            override_file.matches(part).count(),
            1,
            "{part}: {override_file}"
        );
    }
    let (five, six) = (site.setting("STORE_S5_KEY"), site.setting("STORE_S6_KEY"));
    assert!(five.len() == 48 && six.len() == 48 && five != six);
    let bound = format!(",{five}@store-s5,{six}@store-s6");
    assert_eq!(site.setting("MORE_STORE_KEYS"), bound);
    assert_eq!(site.setting("ADMIN_KEYS"), "a");
    let target = site.read(&format!("{TARGETS}/store-s5.yml"));
    assert_eq!(
        target,
        "- targets: [\"store-s5:9083\"]\n  labels: {store: store-s5}\n"
    );

    // Again: it is there already, as are the four of docker-compose.yml.
    for id in ["store-s5", "store-s1"] {
        site.runs("add-store.sh", &[id]);
    }
    assert_eq!(site.read("docker-compose.override.yml"), override_file);
    assert_eq!(site.read(".env"), env);

    // Interrupted before the last step, it is run again: the key stays.
    fs::remove_file(site.path("docker-compose.override.yml")).unwrap();
    site.runs("add-store.sh", &["store-s5", "Market Place"]);
    assert_eq!(site.read(".env"), env);
}

#[test]
fn what_cannot_be_a_store_changes_nothing() {
    let site = Site::new();
    let missing = site.run("add-store.sh", &["store-s5"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no .env yet"));
    fs::write(site.path(".env"), "").unwrap();
    for arguments in [
        &[][..],
        &["Store"],
        &["-s5"],
        &["a b"],
        &["../s5"],
        &["store-s5", "a\"b"],
        &["store-s5", "$HOME"],
    ] {
        let output = site.run("add-store.sh", arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).lines().count();
        assert_eq!(said, 1, "{output:?}");
    }
    assert_eq!(site.read(".env"), "");
    assert!(!site.path("docker-compose.override.yml").exists());
    assert_eq!(fs::read_dir(site.path(TARGETS)).unwrap().count(), 0);
}

#[test]
fn nothing_is_deleted_unless_it_was_asked_for_and_keys_are_made_once() {
    let site = Site::new();
    let refused = site.run("clean-rebuild.sh", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        !site.read("told").contains("down"),
        "it has deleted something"
    );
    assert!(!site.path(".env").exists());

    site.runs("clean-rebuild.sh", &["--yes"]);
    let told = site.read("told");
    let steps: Vec<_> = told
        .lines()
        .filter(|line| !line.ends_with("version"))
        .collect();
    assert_eq!(
        steps,
        ["compose down --volumes", "compose build", "compose up -d"]
    );
    for name in [
        "ADMIN_KEYS",
        "TILL_KEYS",
        "STORE_S4_KEY",
        "GRAFANA_ADMIN_PASSWORD",
    ] {
        assert_eq!(site.setting(name).len(), 48, "{name}");
    }
    assert_ne!(site.setting("STORE_S1_KEY"), site.setting("STORE_S2_KEY"));
    let mode = fs::metadata(site.path(".env"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let env = site.read(".env");
    site.runs("clean-rebuild.sh", &["--yes"]);
    assert_eq!(site.read(".env"), env, "the keys stay");
}

/// Every setting without a default that the containers need is in `.env.example`, with no value: no
/// installation has the keys of another one.
#[test]
fn no_secret_is_in_the_repository() {
    let site = Site::new();
    let compose = site.read("docker-compose.yml") + &site.read("store.compose.yml");
    let example = site.read(".env.example");
    let needed = compose
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once(":?"));
    let mut count = 0;
    for (name, _) in needed.filter(|(name, _)| !name.contains('}')) {
        assert!(example.contains(&format!("\n{name}=\n")), "{name}");
        count += 1;
    }
    assert!(count >= 7, "only {count} were found");
}
