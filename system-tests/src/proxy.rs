//! What may stand between a store and central, and what it may do there.
//!
//! A proxy on a port of its own, written on bare TCP so that it can do what no proper server does:
//! take a request and say nothing, answer with noise, end in the middle of a body. Its fault is
//! changed while it runs and holds for connections that are open already. It counts what it spoilt,
//! which is how a test knows that its fault was in effect.
//!
//! Left out: chunked requests and pipelining; our client sends neither.

mod cache;
mod head;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::cache::Cache;
use self::head::{Answer, Request, read_request};

/// The path of the feed, which caches and cuts are about.
const FEED: &str = "/v1/inventory/events";

/// What the proxy does with requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Passes them on.
    None,
    /// Takes them and says nothing, as a router does that has forgotten the connection. One that
    /// was caught in it stays dead when all is well again, and nobody is told.
    Silence,
    /// Passes them on after a while.
    Delay(Duration),
    /// Answers with these bytes, which need not be HTTP, and closes.
    Noise(Bytes),
    /// Passes them on and closes in the middle of the answer's body.
    Cut,
    /// Answers every question to the feed with this answer, whatever was asked.
    Replay(Answer),
    /// Keeps every answer of the feed for ever and gives it for the same URL, whatever its headers
    /// say.
    Hoard,
    /// Keeps what its headers allow for as long as they allow, and asks once for those who ask the
    /// same at the same time.
    Collapse,
}

/// A running proxy; dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    fault: watch::Sender<Fault>,
    spoilt: AtomicU64,
    cache: Cache,
    client: Client,
}

impl Proxy {
    /// A proxy before `target`, on a free port.
    ///
    /// # Errors
    /// No port, or no client.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(io::Error::other)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            fault: watch::Sender::new(Fault::None),
            spoilt: AtomicU64::new(0),
            cache: Cache::default(),
            client,
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            accepting: accepting.abort_handle(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Behaves like this from now on. Returns how much it had spoilt until now.
    pub fn set(&self, fault: Fault) -> u64 {
        self.shared.fault.send_replace(fault);
        self.spoilt()
    }

    /// Requests that did not get central's own, present answer.
    #[must_use]
    pub fn spoilt(&self) -> u64 {
        self.shared.spoilt.load(Ordering::SeqCst)
    }

    /// The newest answer of the feed that was passed on.
    #[must_use]
    pub fn last_of_feed(&self) -> Option<Answer> {
        self.shared.cache.newest()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&shared)));
        }
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Ok(Some(request)) = read_request(&mut stream).await {
        let kept_open = shared.handle(&mut stream, &request).await;
        if !kept_open.unwrap_or(false) {
            return;
        }
    }
}

impl Shared {
    /// Answers one request; whether the connection may go on.
    async fn handle(&self, stream: &mut TcpStream, request: &Request) -> io::Result<bool> {
        let is_feed = request.target.starts_with(FEED);
        let fault = self.fault.borrow().clone();
        let answer = match fault {
            Fault::Silence => return self.say_nothing(stream).await,
            Fault::Noise(bytes) => {
                self.count();
                stream.write_all(&bytes).await?;
                return Ok(false);
            }
            Fault::Replay(old) if is_feed => {
                self.count();
                return old.send(stream).await.map(|()| true);
            }
            Fault::Delay(delay) => {
                self.count();
                tokio::time::sleep(delay).await;
                self.ask(request).await?
            }
            Fault::Hoard if is_feed => self.hoard(request).await?,
            Fault::Collapse if request.method == reqwest::Method::GET => {
                self.collapse(request).await?
            }
            Fault::None | Fault::Cut | Fault::Replay(_) | Fault::Hoard | Fault::Collapse => {
                self.ask(request).await?
            }
        };
        // The fault may have come while central was being asked.
        let fault = self.fault.borrow().clone();
        match fault {
            Fault::Silence => self.say_nothing(stream).await,
            Fault::Cut => {
                self.count();
                answer.send_half(stream).await?;
                Ok(false)
            }
            Fault::None
            | Fault::Delay(_)
            | Fault::Noise(_)
            | Fault::Replay(_)
            | Fault::Hoard
            | Fault::Collapse => {
                if is_feed && answer.status == reqwest::StatusCode::OK {
                    self.cache.note(&answer);
                }
                answer.send(stream).await.map(|()| true)
            }
        }
    }

    fn count(&self) {
        self.spoilt.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes everything and says nothing until the other side hangs up.
    async fn say_nothing(&self, stream: &mut TcpStream) -> io::Result<bool> {
        self.count();
        let mut taken = [0; 1024];
        while stream.read(&mut taken).await? > 0 {}
        Ok(false)
    }

    async fn ask(&self, request: &Request) -> io::Result<Answer> {
        request.forward(&self.client, self.target).await
    }

    async fn hoard(&self, request: &Request) -> io::Result<Answer> {
        if let Some(old) = self.cache.of(&request.target) {
            self.count();
            return Ok(old);
        }
        let answer = self.ask(request).await?;
        if answer.status == reqwest::StatusCode::OK {
            self.cache.keep(&request.target, &answer);
        }
        Ok(answer)
    }

    async fn collapse(&self, request: &Request) -> io::Result<Answer> {
        let slot = self.cache.slot(&request.cache_key());
        // Held while central is asked: whoever asks the same waits for this answer.
        let mut kept = slot.lock().await;
        if let Some(fresh) = kept.as_ref().and_then(cache::Kept::fresh)
            && !request.wants_fresh()
        {
            self.count();
            return Ok(fresh);
        }
        let answer = self.ask(request).await?;
        *kept = cache::Kept::of(&answer);
        Ok(answer)
    }
}
