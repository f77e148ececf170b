//! The ceiling as a program, so that it has a process of its own like the services it is compared
//! with. Says where it listens in the way they do.
#![expect(
    clippy::print_stdout,
    reason = "the one line of output is read by whoever started it"
)]

use std::io;

use tokio::net::TcpListener;

/// Two workers: as many as the services get on the machine they are compared on.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let line = serde_json::json!({"message": "listening", "address": address});
    println!("{line}");
    bench::ceiling::serve(listener).await
}
