//! `start.sh` starts all or nothing, what ends by itself it starts again, and what it started it stops.
//!
//! The script runs in a folder of its own, with stand-ins for Cargo, curl, sleep and the services: a
//! service says in a file that it was started and that it was asked to stop, and counts as healthy
//! while its mark is there. A pause says how long it should be, and is short unless it is to be held.
//! So what is tested is the script's own logic, in a second or two. That it starts a system which works
//! is seen once, with the real programs, in [`real`].

mod real;
mod site;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use self::site::{SERVICES, Site, errors, signal};

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
