//! Ten thousand connections that send as little as keeps them open.

use std::net::SocketAddr;
use std::time::Duration;

use shared::limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::program::{Program, SOON, Wire, read, sale};

const TRICKLING: usize = 10_000;
/// Connections that are opened at a time; the kernel's queue of new ones is not what is tested.
const AT_ONCE: usize = 50;
const UPDATES: usize = 200;
/// What a waiting connection may cost at most: two buffers of 8 KiB, and its futures, which are large
/// in a test build. It is 20 kB.
const MEMORY_KB: u64 = TRICKLING as u64 * 32;
/// What a busy machine may add to the server's own limits.
const SLACK: Duration = Duration::from_secs(15);

/// Goal: whoever sends a byte a second costs a socket and little else, and not for ever. Method:
/// half send a request's head and half its body; beside them a client on one connection works as
/// usual. That connection is the control: it lasts longer than the others may, and is not closed.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_that_send_a_byte_a_second_do_not_stop_a_normal_client() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path()).await;
    program.create("A", 1_000_000).await;
    let mut trickling = JoinSet::new();
    for group in 0..TRICKLING / AT_ONCE {
        let opened = (0..AT_ONCE).map(|_| TcpStream::connect(program.address));
        for stream in futures_util::future::join_all(opened).await {
            trickling.spawn(trickle(stream.unwrap(), group % 2 == 1, program.address));
        }
    }
    let mut normal = Wire::open(program.address).await;
    for number in 0..UPDATES {
        assert_eq!(ask(&mut normal, &sale(&format!("n-{number}"))).await, 200);
        assert_eq!(ask(&mut normal, &read("/v1/inventory/A")).await, 200);
    }
    let memory = program.resident_kb();
    assert!(memory < MEMORY_KB, "{memory} kB");
    // All are closed by the server, and the normal client is served until then and after.
    let mut looks = interval(Duration::from_secs(1));
    let mut closed = 0;
    while closed < TRICKLING {
        tokio::select! {
            ended = trickling.join_next() => {
                ended.unwrap().unwrap();
                closed += 1;
            }
            _ = looks.tick() => assert_eq!(ask(&mut normal, &read("/v1/inventory/A")).await, 200),
        }
    }
    assert_eq!(ask(&mut normal, &sale("last")).await, 200);
    let memory = program.resident_kb();
    assert!(memory < MEMORY_KB, "{memory} kB");
}

async fn ask(normal: &mut Wire, request: &[u8]) -> u16 {
    assert!(normal.send(request).await, "the normal client was closed");
    // `answer` has its own deadline.
    normal
        .answer()
        .await
        .expect("the normal client was closed")
        .status
}

/// Sends a byte a second until the server has had enough, which must be in time.
async fn trickle(mut stream: TcpStream, body: bool, address: SocketAddr) {
    let began = Instant::now();
    let limit = if body {
        limits::BODY_READ
    } else {
        limits::HEADER_READ
    };
    if body {
        let head = format!(
            "POST /v1/inventory/updates HTTP/1.1\r\nhost: {address}\r\nx-api-key: demo\r\n\
             content-type: application/json\r\ncontent-length: 100000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
    } else {
        stream
            .write_all(b"GET / HTTP/1.1\r\nx-slow: ")
            .await
            .unwrap();
    }
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answer = [0; 4_096];
    let over = async {
        loop {
            tokio::select! {
                read = stream.read(&mut answer) => match read {
                    Ok(0) | Err(_) => return,
                    // The server says why before it closes.
                    Ok(_) => {}
                },
                _ = tick.tick() => if stream.write_all(b"x").await.is_err() {
                    return;
                },
            }
        }
    };
    let within = limit + SLACK;
    timeout(within, over)
        .await
        .expect("still open past its limit");
    assert!(
        began.elapsed() + SOON >= limit,
        "closed long before its limit"
    );
}
