//! Central over HTTP.
//!
//! One pooled client for everything. Redirects are followed by hand, and only to the same origin:
//! a store's key must not travel to wherever an answer points. What cannot be told apart is not
//! guessed: an error before anything was sent is [`CallFault::NotSent`], every later one is unknown.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{ACCEPT, ACCEPT_ENCODING, AGE, CONTENT_TYPE, IF_MATCH, LOCATION, VIA};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use futures_util::future::BoxFuture;
use reqwest::{Certificate, Client, Url};
use shared::domain::ids::StoreId;
use shared::limits;
use shared::service::sse::LAST_EVENT_ID;
use shared::service::traces::Span;
use shared::wire::headers;

use super::answer::{fault_of, number, problem_code, read_all, refused, reply, sent, stalling};
use super::contact::ContactNote;
use super::unpack::{self, packing, unpacked};
use super::{
    Call, CallFault, Central, FeedReply, Reply, SnapshotStream, Streamed, SyncFault, feed,
};
use crate::replica::answer::Poll;

/// The type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// Central over HTTP.
#[derive(Clone, Debug)]
pub struct HttpCentral {
    client: Client,
    base: Url,
    key: Option<HeaderValue>,
    plain_timeout: Duration,
    own_name: StoreId,
    contact: Arc<ContactNote>,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// The URL of central is not one.
    #[error("central's URL is not an http(s) URL")]
    Url,
    /// The key has characters that a header cannot have.
    #[error("central's key cannot be sent as a header")]
    Key,
    /// The HTTP client could not be built.
    #[error("cannot build the HTTP client")]
    Client(#[from] reqwest::Error),
}

impl HttpCentral {
    /// A client of the central at `base`, who over TLS must be vouched for by one of `roots`, or, if
    /// there is none, by one that this machine trusts.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn new(
        base: &str,
        key: Option<&str>,
        plain_timeout: Duration,
        own_name: StoreId,
        roots: &[Certificate],
        contact: Arc<ContactNote>,
    ) -> Result<Self, ClientFault> {
        let base: Url = base.parse().map_err(|_| ClientFault::Url)?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(ClientFault::Url);
        }
        let key = key.map(HeaderValue::from_str).transpose();
        let mut key = key.map_err(|_| ClientFault::Key)?;
        if let Some(key) = &mut key {
            key.set_sensitive(true);
        }
        let mut client = Client::builder();
        if !roots.is_empty() {
            client = client.tls_certs_only(roots.iter().cloned());
        }
        let client = client
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits::CONNECT.min(plain_timeout))
            .pool_idle_timeout(limits::CLIENT_IDLE)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self {
            client,
            base,
            key,
            plain_timeout,
            own_name,
            contact,
        })
    }

    fn url(&self, path: &str) -> Result<Url, SyncFault> {
        self.base
            .join(path)
            .map_err(|_| SyncFault::new("a path does not make a URL"))
    }

    fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        let request = self
            .client
            .request(method, url)
            .header(headers::REQUEST_ID, new_id());
        match &self.key {
            Some(key) => request.header(headers::API_KEY, key),
            None => request,
        }
    }

    async fn ask_feed(&self, poll: &Poll) -> Result<FeedReply, SyncFault> {
        let Poll {
            r#gen,
            offset,
            limit,
            wait,
            cursor,
            ..
        } = poll;
        // Sorted, and always the same names: what is the same question is the same URL.
        let cursor = cursor
            .map(|cursor| format!("cursor={cursor}&"))
            .unwrap_or_default();
        let generation = r#gen.map(|of| format!("gen={of}&")).unwrap_or_default();
        let wait = wait.as_secs();
        let path = format!(
            "v1/inventory/events?{cursor}{generation}limit={limit}&offset={offset}&wait={wait}"
        );
        let request = self
            .request(Method::GET, self.url(&path)?)
            .header(ACCEPT_ENCODING, unpack::ACCEPTED);
        let response = request.send().await.map_err(|error| fault_of(&error))?;
        let (status, head) = (response.status(), response.headers().clone());
        let body = read_all(response, limits::FEED_ANSWER_BYTES).await?;
        let body = unpacked(packing(&head)?, body, limits::FEED_ANSWER_BYTES).await?;
        if status == StatusCode::OK {
            let via = head
                .get(VIA)
                .and_then(|via| via.to_str().ok())
                .map(str::to_owned);
            if via.as_deref().is_some_and(|via| names(via, &self.own_name)) {
                return Err(SyncFault::new(
                    "the feed comes from this store itself, in a circle",
                ));
            }
            self.contact.came_via(via);
            let age = number(&head, &AGE).unwrap_or(0);
            let cursor = number(&head, &headers::LOG_CURSOR);
            let (page, events) = feed::parse(&body, cursor, Duration::from_secs(age))?;
            return Ok(FeedReply::Page(page, events));
        }
        match (status, problem_code(&body).as_deref()) {
            (StatusCode::CONFLICT, Some("log_diverged")) => Ok(FeedReply::Diverged),
            (StatusCode::CONFLICT, Some("offset_ahead")) => Ok(FeedReply::Ahead),
            (StatusCode::GONE, Some("offset_gone")) => Ok(FeedReply::Gone),
            (_, code) => Err(refused(status, code, &head)),
        }
    }

    async fn ask_snapshot(&self) -> Result<SnapshotStream, SyncFault> {
        let mut url = self.url(&format!("v1/inventory/snapshot?fresh={}", new_id()))?;
        for _ in 0..4 {
            let request = self
                .request(Method::GET, url.clone())
                .header(ACCEPT_ENCODING, unpack::ACCEPTED)
                .header("cache-control", "no-cache");
            // Central makes a snapshot in a task of its own: if this is too early, the next try finds
            // it made.
            let sent = tokio::time::timeout(self.plain_timeout, request.send()).await;
            let response = sent
                .map_err(|_| SyncFault::new("central did not begin to send a snapshot in time"))?
                .map_err(|error| fault_of(&error))?;
            let status = response.status();
            if status.is_redirection() {
                url = self.redirect(&url, response.headers())?;
                continue;
            }
            let head = response.headers().clone();
            if status != StatusCode::OK {
                let body = read_all(response, limits::REPLY_BYTES)
                    .await
                    .unwrap_or_default();
                return Err(refused(status, problem_code(&body).as_deref(), &head));
            }
            let packing = packing(&head)?;
            let name = url.path_segments().and_then(|mut parts| parts.next_back());
            return Ok(SnapshotStream {
                packing,
                name: name.and_then(|name| name.parse().ok()),
                bytes: stalling(response),
            });
        }
        Err(SyncFault::new("the snapshot is redirected too often"))
    }

    fn redirect(&self, from: &Url, head: &HeaderMap) -> Result<Url, SyncFault> {
        let target = head.get(LOCATION).and_then(|target| target.to_str().ok());
        let target = target.and_then(|target| from.join(target).ok());
        target
            .filter(|target| target.origin() == self.base.origin())
            .ok_or_else(|| SyncFault::new("the snapshot is redirected to another host"))
    }

    async fn pass_on(&self, call: &Call) -> Result<Reply, CallFault> {
        let span = Span::called(
            || format!("{} central", call.method),
            call.traceparent.as_ref(),
        );
        let answered = async {
            let response = sent(self.request_of(call, span.as_ref())?).await?;
            reply(response).await
        };
        let answered = answered.await;
        match (span, &answered) {
            (Some(span), Ok(reply)) => span.answered(reply.status.as_u16()),
            (Some(span), Err(_)) => span.failed("no answer"),
            (None, _) => {}
        }
        answered
    }

    async fn open(&self, call: &Call, last: Option<HeaderValue>) -> Result<Streamed, CallFault> {
        let mut request = self.request_of(call, None)?.header(ACCEPT, EVENT_STREAM);
        if let Some(last) = last {
            request = request.header(LAST_EVENT_ID, last);
        }
        let response = sent(request).await?;
        let kind = response.headers().get(CONTENT_TYPE);
        let streams = kind.is_some_and(|kind| kind.as_bytes().starts_with(EVENT_STREAM.as_bytes()));
        if response.status() == StatusCode::OK && streams {
            let log_gen = response.headers().get(headers::LOG_GEN);
            let log_gen = log_gen.and_then(|value| value.to_str().ok()?.parse().ok());
            let bytes = stalling(response);
            return Ok(Streamed::Going { log_gen, bytes });
        }
        reply(response).await.map(Streamed::Answered)
    }

    fn request_of(
        &self,
        call: &Call,
        span: Option<&Span>,
    ) -> Result<reqwest::RequestBuilder, CallFault> {
        let url = self.base.join(&call.path).map_err(|_| CallFault::NotSent)?;
        let mut request = self.request(call.method.clone(), url);
        let own = span.and_then(Span::traceparent);
        let traceparent = own.or_else(|| call.traceparent.clone());
        for (name, value) in [
            (headers::IDEMPOTENCY_KEY, &call.key),
            (IF_MATCH, &call.if_match),
            (headers::CORRELATION_ID, &call.correlation),
            (headers::TRACEPARENT, &traceparent),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        Ok(request)
    }
}

impl Central for HttpCentral {
    fn poll<'a>(&'a self, poll: &'a Poll) -> BoxFuture<'a, FeedReply> {
        Box::pin(async move {
            match tokio::time::timeout(poll.give_up_after, self.ask_feed(poll)).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(fault)) => FeedReply::Failed(fault),
                Err(_) => FeedReply::Failed(SyncFault::new("central did not answer in time")),
            }
        })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<SnapshotStream, SyncFault>> {
        Box::pin(self.ask_snapshot())
    }

    fn call<'a>(
        &'a self,
        call: &'a Call,
        within: Duration,
    ) -> BoxFuture<'a, Result<Reply, CallFault>> {
        Box::pin(async move {
            tokio::time::timeout(within, self.pass_on(call))
                .await
                .unwrap_or(Err(CallFault::Unknown { timed_out: true }))
        })
    }

    fn stream<'a>(
        &'a self,
        call: &'a Call,
        last: Option<HeaderValue>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Streamed, CallFault>> {
        Box::pin(async move {
            tokio::time::timeout(within, self.open(call, last))
                .await
                .unwrap_or(Err(CallFault::Unknown { timed_out: true }))
        })
    }
}

/// A fresh id for one attempt.
#[must_use]
pub fn new_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Whether a `Via` header names this store.
fn names(via: &str, store: &StoreId) -> bool {
    let received_by = |hop: &str| hop.split_whitespace().nth(1).map(str::to_owned);
    via.split(',')
        .any(|hop| received_by(hop).as_deref() == Some(store.as_str()))
}
