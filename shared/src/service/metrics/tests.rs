use std::time::Duration;

use http::{Method, StatusCode};
use tokio::net::TcpListener;

use super::*;
use crate::service::request_context::{FinishedRequest, RequestObserver};
use crate::service::workers::Workers;
use crate::testing::exposition::Exposition;

fn read(metrics: &Metrics) -> Exposition {
    Exposition::parse(&metrics.text().unwrap()).unwrap()
}

fn finished<'a>(method: &'a Method, route: &'a str, status: u16, us: u64) -> FinishedRequest<'a> {
    FinishedRequest {
        method,
        route,
        status: StatusCode::from_u16(status).unwrap(),
        elapsed: Duration::from_micros(us),
        waited: false,
        told: false,
    }
}

#[test]
fn requests_are_counted_and_timed_by_route_and_class() {
    let http = HttpMetrics::default();
    let metrics = Metrics::of_service("test-api", "1.2.3", &http);
    let route = "/v1/things/{id}";
    // At the very end of a bucket, beyond it, and beyond all.
    for (status, us) in [(200, 250), (201, 251), (204, 99_000_000), (404, 1)] {
        http.began();
        http.finished(&finished(&Method::GET, route, status, us));
    }
    http.began();
    http.finished(&FinishedRequest {
        waited: true,
        ..finished(&Method::GET, route, 200, 25_000_000)
    });
    http.began();
    http.abandoned();
    http.began();
    let odd = Method::from_bytes(b"BREW").unwrap();
    http.began();
    http.finished(&finished(&odd, "-", 405, 1));

    let seen = read(&metrics);
    let of = |name: &str, status: &str, more: &[(&str, &str)]| {
        let labels = [("method", "GET"), ("route", route), ("status", status)];
        seen.value(name, &[&labels[..], more].concat())
    };
    assert_eq!(of("holdfast_http_requests_total", "2xx", &[]), Some(4.0));
    assert_eq!(of("holdfast_http_requests_total", "4xx", &[]), Some(1.0));
    assert_eq!(of("holdfast_http_requests_total", "5xx", &[]), None);
    let timed = "holdfast_http_request_duration_seconds";
    let name = |suffix: &str| format!("{timed}{suffix}");
    assert_eq!(of(&name("_count"), "2xx", &[]), Some(3.0), "one waited");
    for (end, requests) in [
        ("0.0001", 0.0),
        ("0.00025", 1.0),
        ("0.0005", 2.0),
        ("10", 2.0),
    ] {
        let le = [("le", end)];
        assert_eq!(of(&name("_bucket"), "2xx", &le), Some(requests), "{end}");
    }
    let sum = of(&name("_sum"), "2xx", &[]).unwrap();
    assert!((sum - 99.000_501).abs() < 1e-9, "{sum}");
    assert_eq!(
        seen.value("holdfast_http_requests_in_flight", &[]),
        Some(1.0)
    );
    assert_eq!(
        seen.value("holdfast_http_requests_abandoned_total", &[]),
        Some(1.0)
    );
    let methods: Vec<_> = seen.label_values("method").into_iter().collect();
    assert_eq!(methods, ["GET", "other"]);
    let ours = |name: &str| name.starts_with("holdfast_") || name.starts_with("process_");
    assert!(seen.names().all(ours));
    let build = [("service", "test-api"), ("version", "1.2.3")];
    assert_eq!(seen.value("holdfast_build_info", &build), Some(1.0));
}

#[test]
fn what_all_workers_count_is_served_whole() {
    let http = HttpMetrics::default();
    let metrics = Metrics::of_service("test-api", "1", &http);
    let workers = Workers::start(4).unwrap();
    let (done, all) = std::sync::mpsc::channel::<()>();
    for home in workers.handles() {
        let (http, done) = (http.clone(), done.clone());
        home.spawn(async move {
            for us in 0..1_000 {
                http.began();
                http.finished(&finished(&Method::GET, "/x", 200, us));
            }
            drop(done);
        });
    }
    drop(done);
    // Scraped all the while, it is never more than was done, and whole in the end.
    let labels = [("method", "GET"), ("route", "/x"), ("status", "2xx")];
    let count = || read(&metrics).value("holdfast_http_requests_total", &labels);
    let mut last = 0.0;
    while all.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
        let now = count().unwrap_or(0.0);
        assert!(now >= last && now <= 4_000.0, "{now} after {last}");
        last = now;
    }
    assert_eq!(count(), Some(4_000.0));
    assert_eq!(
        read(&metrics).value("holdfast_http_requests_in_flight", &[]),
        Some(0.0)
    );
    workers.stop();
}

#[test]
fn two_services_in_one_process_share_nothing() {
    let services = [(); 2].map(|()| HttpMetrics::default());
    let metrics = services
        .each_ref()
        .map(|http| Metrics::of_service("test-api", "1", http));
    services[0].began();
    let flying = |metrics: &Metrics| read(metrics).value("holdfast_http_requests_in_flight", &[]);
    assert_eq!(metrics.each_ref().map(flying), [Some(1.0), Some(0.0)]);
}

#[test]
fn the_process_is_what_the_kernel_says() {
    let metrics = Metrics::of_service("test-api", "1", &HttpMetrics::default());
    let files: Vec<_> = (0..20)
        .map(|_| std::fs::File::open("/proc/self/stat").unwrap())
        .collect();
    let seen = read(&metrics);
    let value = |name: &str| seen.value(name, &[]).unwrap();
    assert!(value("process_open_fds") >= files.len() as f64);
    assert!(value("process_max_fds") > value("process_open_fds"));
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
    assert!(value("process_threads") >= 1.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
    // Some time since the kernel of this test was written, and not in the future by much.
    assert!(value("process_start_time_seconds") > 1.6e9);
}

const STATES: Family = Family::gauge("test_state", "Which \"one\"\nit is \\.", &["state"]);

#[test]
fn what_is_put_is_served_and_what_is_not_is_not() {
    let metrics = Metrics::of_service("test-api", "1", &HttpMetrics::default());
    metrics.on_scrape(&[&STATES], |into| {
        into.put_state(&STATES, &["a\"b\\c\nd", "on"], "on");
    });
    let seen = read(&metrics);
    // The format wants backslashes and ends of lines escaped.
    let line = "gauge test_state{state}: Which \"one\"\\nit is \\\\.\n";
    assert!(seen.shape().contains(line), "{}", seen.shape());
    assert_eq!(seen.value("test_state", &[("state", "on")]), Some(1.0));
    assert_eq!(
        seen.value("test_state", &[("state", "a\"b\\c\nd")]),
        Some(0.0)
    );
    assert_eq!(seen.value("test_state", &[("state", "off")]), None);
}

#[test]
fn the_reader_of_these_tests_refuses_what_is_wrong() {
    let good = "# HELP a b\n# TYPE a counter\na{x=\"1\"} 2\n";
    assert!(Exposition::parse(good).is_ok());
    let head = "# HELP a b\n# TYPE a histogram\n";
    for bad in [
        "a 1\n".to_owned(),
        good.trim_end().to_owned(),
        format!("{good}{good}"),
        format!("{good}a{{x=\"1\"}} 3\n"),
        format!("{good}b 3\n"),
        good.replace(" 2", " two"),
        good.replace(" 2", " -2"),
        good.replace("x=", "x y="),
        good.replace("a{x=\"1\"} 2\n", ""),
        format!("{head}a_bucket{{le=\"1\"}} 2\na_bucket{{le=\"+Inf\"}} 1\na_sum 1\na_count 1\n"),
        format!("{head}a_bucket{{le=\"1\"}} 1\na_sum 1\na_count 1\n"),
        format!("{head}a_bucket{{le=\"+Inf\"}} 2\na_sum 1\na_count 1\n"),
    ] {
        assert!(Exposition::parse(&bad).is_err(), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_path_is_served_and_nothing_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let metrics = Metrics::of_service("test-api", "1", &HttpMetrics::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let scraped = Scraped::start(Some(listener), metrics);
    let ask = async |line: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    };
    let (head, body) = ask("GET /metrics").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    Exposition::parse(&body).unwrap();
    for (line, status) in [
        ("GET /", "404"),
        ("GET /v1/info", "404"),
        ("POST /metrics", "405"),
    ] {
        let (head, body) = ask(line).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{line}: {head}"
        );
        assert!(body.contains("\"code\""), "{body}");
    }
    scraped.finish().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let host = [127, 0, 0, 1].into();
    let fault = Listeners::open(host, 0, port).unwrap_err().to_string();
    assert_eq!(
        fault,
        format!("cannot listen on 127.0.0.1:{port} (METRICS_PORT)")
    );
    let fault = Listeners::open(host, port, 0).unwrap_err().to_string();
    assert_eq!(fault, format!("cannot listen on 127.0.0.1:{port}"));
    assert!(Listeners::open(host, 0, 0).unwrap().metrics.is_some());
}
