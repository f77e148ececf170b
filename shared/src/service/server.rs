//! The accept loop.
//!
//! Ours, because `axum::serve` can be held open for ever: it installs no timer, so a client that
//! connects and says nothing, or half a head, stays. Here every connection has a watchdog
//! ([`connection`]): a new one must have sent a whole request head within
//! [`header_read`](ServerOptions::header_read), however slowly it trickles; between requests it may
//! idle for [`idle`](ServerOptions::idle), which is longer than pooled clients keep a connection,
//! so that the client is the one who lets go; an answer that nobody reads is cut after
//! [`write_stall`](ServerOptions::write_stall) without progress. While a request is being handled
//! there is no limit here: a long poll may park as long as its handler lets it, and a slow body is
//! [`extract`](super::extract)'s business.
//!
//! In clear, HTTP/1.1 only, chosen by us and not sniffed: sniffing waits for bytes that a silent client
//! never sends. With [`Tls`] the client chooses HTTP/2 or HTTP/1.1 while it shakes hands, for which it
//! has the time of a request head.
//!
//! What must stay true: connections are bounded (past the bound, new ones wait in the kernel's
//! queue); an error of `accept` never ends the loop; the end is bounded by
//! [`drain`](ServerOptions::drain), however busy.
//!
//! End: stop accepting → tell every connection to finish its request and close → cut what is left
//! at the deadline. Handlers that wait on purpose must watch the same token, or they are what is
//! cut.

mod activity;
mod connection;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::tls::Tls;
use crate::limits;
use connection::{Door, Stages};

/// The bounds of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Open connections.
    pub connections: u32,
    /// Time for a request head, from its first byte, or from the start of the connection.
    pub header_read: Duration,
    /// Bytes of a connection's read buffer, which bounds a request head; at least 8 192.
    pub header_bytes: usize,
    /// Time that a connection may idle between requests.
    pub idle: Duration,
    /// Time that a write may make no progress.
    pub write_stall: Duration,
    /// Time from the stop signal to the end.
    pub drain: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS,
            header_read: limits::HEADER_READ,
            header_bytes: limits::HEADER_BYTES,
            idle: limits::KEEP_ALIVE_IDLE,
            write_stall: limits::WRITE_STALL,
            drain: limits::DRAIN,
        }
    }
}

/// Listens on `address` with room for a burst of new connections; the kernel may allow fewer.
///
/// # Errors
/// The address is taken or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for connections of the life before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::LISTEN_BACKLOG)
}

/// Where connections come in.
#[derive(Debug)]
pub struct Endpoint {
    /// What listens.
    pub listener: TcpListener,
    /// What it speaks TLS with, if it does.
    pub tls: Option<Arc<Tls>>,
}

impl From<TcpListener> for Endpoint {
    fn from(listener: TcpListener) -> Self {
        Self {
            listener,
            tls: None,
        }
    }
}

/// Put into an answer's extensions to have its connection closed instead: the caller gets no answer.
/// For faults on purpose only.
#[derive(Clone, Copy, Debug)]
pub struct DropAnswer;

/// What a server did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServeReport {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that had to be cut at the end of the drain.
    pub cut: usize,
}

/// Something that answers every request: an `axum::Router`, or a service of the same shape that is
/// always ready.
pub trait App:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> App for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Serves `app` at `endpoint` until `shutdown`, and then until the last request is answered or the
/// drain time is over.
///
/// Connections are given to `homes` in turn; with none, they stay in the caller's runtime.
pub async fn serve(
    endpoint: impl Into<Endpoint>,
    app: impl App,
    shutdown: CancellationToken,
    options: ServerOptions,
    homes: &[Handle],
) -> ServeReport {
    raise_open_files();
    let Endpoint { listener, tls } = endpoint.into();
    let mut turns = homes.iter().cycle();
    let slots = Arc::new(Semaphore::new(options.connections as usize));
    let stages = Arc::new(Stages::default());
    let mut report = ServeReport::default();
    loop {
        // The slot first: a connection that cannot be served stays in the kernel's queue.
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            let slot = slot.expect("the semaphore is never closed");
            let (stream, peer) = accept(&listener).await;
            (slot, stream, peer)
        };
        let (slot, stream, peer) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        report.accepted += 1;
        let (app, stages) = (app.clone(), Arc::clone(&stages));
        let door = Door {
            peer,
            tls: tls.clone(),
            options,
        };
        let Some(home) = turns.next() else {
            tokio::spawn(async move {
                connection::drive(stream, door, app, &stages).await;
                drop(slot);
            });
            continue;
        };
        // Each runtime waits for the sockets that were made known to it.
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be handed over");
                continue;
            }
        };
        home.spawn(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => connection::drive(stream, door, app, &stages).await,
                Err(error) => tracing::warn!(%error, "a connection cannot be taken over"),
            }
            drop(slot);
        });
    }
    drop(listener);
    report.cut = drain(&slots, &stages, options).await;
    report
}

async fn drain(slots: &Semaphore, stages: &Stages, options: ServerOptions) -> usize {
    let open = || options.connections as usize - slots.available_permits();
    tracing::info!(connections = open(), "draining");
    stages.drain();
    let finished = timeout(options.drain, slots.acquire_many(options.connections));
    if finished.await.is_ok() {
        return 0;
    }
    let cut = open();
    tracing::warn!(
        connections = cut,
        "the drain time is over; cutting what is left"
    );
    stages.cut();
    // Cut connections end at their next poll, which has been asked for.
    let cutting = timeout(
        Duration::from_secs(1),
        slots.acquire_many(options.connections),
    );
    if cutting.await.is_err() {
        tracing::warn!(connections = open(), "connections survived their cut");
    }
    cut
}

/// The next connection, whatever goes wrong in between.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer is one write; waiting for a fuller packet only adds latency.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                return (stream, peer);
            }
            // The client was gone before we looked: its trouble, not ours.
            Err(error) if is_about_one_connection(&error) => {}
            // Out of files or memory: trying at once again would only burn a core.
            Err(error) => {
                tracing::warn!(%error, pause_ms = pause.as_millis(), "cannot accept");
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A connection is a file, and the usual soft limit of 1 024 files is far below our bound.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "open files allowed"),
        Err(error) => tracing::warn!(%error, "cannot raise the number of open files"),
    }
}
