//! One question to Stripe, and what kind of answer came.
//!
//! Nothing is retried here and nothing is guessed: an error before anything was sent is
//! [`Fault::NotSent`], every later one is a doubt. No redirect is followed: the secret key must not
//! travel to wherever an answer points. No text of Stripe's reaches a log beyond an error's code,
//! and errors of the HTTP client, which name addresses, reach nobody.

use bytes::BytesMut;
use futures_util::StreamExt as _;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode};
use reqwest::{Response, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use shared::domain::ids::CorrelationId;
use shared::limits;
use shared::wire::headers;

use super::answer::{ErrorBody, Words};
use crate::payments::outcome::Ending;
use crate::payments::{Doubt, NotSent, Text};

/// The version of the API that this was written for.
const VERSION: HeaderValue = HeaderValue::from_static("2024-06-20");

/// Why the client cannot be made. Shows neither address nor key.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// The address is none.
    #[error("the payment provider's URL is not an http(s) URL")]
    Url,
    /// The key has characters that a header cannot have.
    #[error("the payment provider's key cannot be sent as a header")]
    Key,
    /// The HTTP client could not be built.
    #[error("cannot build the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// The way to Stripe. Its `Debug` does not show the key: the header is marked as sensitive.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
}

/// A question.
pub(super) struct Ask<'a> {
    method: Method,
    path: &'a str,
    form: &'a [(&'static str, String)],
    key: Option<&'a str>,
}

impl<'a> Ask<'a> {
    pub(super) const fn get(path: &'a str, form: &'a [(&'static str, String)]) -> Self {
        Self {
            method: Method::GET,
            path,
            form,
            key: None,
        }
    }

    pub(super) const fn post(
        path: &'a str,
        form: &'a [(&'static str, String)],
        key: Option<&'a str>,
    ) -> Self {
        Self {
            method: Method::POST,
            path,
            form,
            key,
        }
    }
}

/// Why there is no object in the answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// This call did nothing.
    NotSent(NotSent),
    /// The connection broke, before or in the answer.
    Lost,
    /// An answer that is not Stripe's.
    Garbled,
    /// 5xx. What is replayed was the first answer to this key.
    Server { status: u16, replayed: bool },
    /// Another call with this key, or on this object, is under way.
    InProgress,
    /// This key was used with other parameters.
    KeyReused,
    /// The bank said no.
    Card { code: Text, message: Text },
    /// The request is not one that can be done.
    Invalid { code: Text, message: Text },
}

impl Fault {
    /// The same as a doubt about whatever was asked for.
    pub(super) const fn doubt(&self) -> Doubt {
        match self {
            Self::Server { status, .. } => Doubt::ServerError(*status),
            Self::InProgress => Doubt::InProgress,
            Self::KeyReused => Doubt::KeyReused,
            Self::Lost | Self::NotSent(_) => Doubt::ConnectionLost,
            Self::Garbled | Self::Card { .. } | Self::Invalid { .. } => Doubt::Garbled,
        }
    }

    /// The same as the end of a call that has done nothing else.
    pub(super) fn ending<E: Ending>(&self) -> E {
        match self {
            Self::NotSent(reason) => E::not_sent(reason.clone()),
            other => E::unknown(other.doubt()),
        }
    }
}

impl Client {
    pub(super) fn new(base: &str, key: &SecretString) -> Result<Self, ClientFault> {
        // A base URL is joined with paths, so it must end like a folder.
        let slash = if base.ends_with('/') { "" } else { "/" };
        let base: Url = format!("{base}{slash}")
            .parse()
            .map_err(|_| ClientFault::Url)?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(ClientFault::Url);
        }
        let bearer = format!("Bearer {}", key.expose_secret());
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| ClientFault::Key)?;
        authorization.set_sensitive(true);
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits::CONNECT)
            .pool_idle_timeout(limits::CLIENT_IDLE)
            .tcp_nodelay(true)
            .build()
            .map_err(ClientFault::Client)?;
        Ok(Self {
            http,
            base,
            authorization,
        })
    }

    /// Asks, and reads the object that is the answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        ask: Ask<'_>,
        correlation: Option<&CorrelationId>,
    ) -> Result<T, Fault> {
        let is_get = ask.method == Method::GET;
        // An id of Stripe's stands in the path, and Stripe's answers are not to be trusted with it.
        let url = self.base.join(ask.path).map_err(|_| Fault::Garbled)?;
        if url.origin() != self.base.origin() {
            return Err(Fault::Garbled);
        }
        let mut request = self
            .http
            .request(ask.method, url)
            .header(AUTHORIZATION, &self.authorization)
            .header("stripe-version", VERSION)
            .header(
                headers::REQUEST_ID,
                format!("{:032x}", rand::random::<u128>()),
            );
        request = if is_get {
            request.query(ask.form)
        } else {
            request.form(ask.form)
        };
        if let Some(key) = ask.key {
            request = request.header(headers::IDEMPOTENCY_KEY, key);
        }
        if let Some(correlation) = correlation {
            request = request.header(headers::CORRELATION_ID, correlation.as_str());
        }
        let response = request.send().await.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                Fault::NotSent(NotSent::Unreachable)
            } else {
                Fault::Lost
            }
        })?;
        let status = response.status();
        let replayed = response.headers().get(headers::IDEMPOTENT_REPLAYED);
        let replayed = replayed.is_some_and(|value| value == "true");
        if status.is_server_error() {
            let status = status.as_u16();
            return Err(Fault::Server { status, replayed });
        }
        let body = read_all(response).await?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_| Fault::Garbled);
        }
        let error: Result<ErrorBody, _> = serde_json::from_slice(&body);
        Err(refused(status, error.ok().map(|body| body.error)))
    }
}

/// What a 4xx means. Only an answer in Stripe's own words may be a refusal for good: a page of
/// something in between says nothing.
fn refused(status: StatusCode, words: Option<Words>) -> Fault {
    let code = words.as_ref().map(Words::code);
    match (status, words) {
        (StatusCode::TOO_MANY_REQUESTS, words) => {
            // Somebody else has the object: an earlier call of ours, most likely.
            let locked = words.is_some_and(|words| words.code.as_deref() == Some("lock_timeout"));
            if locked {
                Fault::InProgress
            } else {
                Fault::NotSent(NotSent::Throttled)
            }
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
            let code = code.unwrap_or_else(|| Text::new(status.as_str()));
            tracing::error!(%status, %code, "the payment provider does not accept our key (PAYMENT_KEY)");
            Fault::NotSent(NotSent::Refused(code))
        }
        (StatusCode::CONFLICT, _) => Fault::InProgress,
        (_, Some(words)) => match words.kind.as_str() {
            "card_error" => Fault::Card {
                code: words.code(),
                message: words.message(),
            },
            "idempotency_error" => {
                tracing::error!("the payment provider knows a payment's key for another request");
                Fault::KeyReused
            }
            "invalid_request_error" => Fault::Invalid {
                code: words.code(),
                message: words.message(),
            },
            _ => Fault::Garbled,
        },
        (_, None) => Fault::Garbled,
    }
}

/// Reads a body of bounded size.
async fn read_all(response: Response) -> Result<BytesMut, Fault> {
    let mut body = BytesMut::new();
    let mut stream = response.bytes_stream();
    while let Some(part) = stream.next().await {
        body.extend_from_slice(&part.map_err(|_| Fault::Lost)?);
        if body.len() > limits::PAYMENT_ANSWER_BYTES {
            return Err(Fault::Garbled);
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_key_is_in_no_debug_and_no_error() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let key = SecretString::from("sk_test_hidden");
        let client = Client::new("https://pay.example", &key).unwrap();
        assert!(!format!("{client:?}").contains("hidden"), "{client:?}");
        assert_eq!(client.base.as_str(), "https://pay.example/");
        let bad = SecretString::from("sk_hidden\n");
        let fault = Client::new("https://pay.example", &bad).unwrap_err();
        assert!(!format!("{fault:?} {fault}").contains("hidden"));
        assert!(matches!(
            Client::new("ftp://x", &key),
            Err(ClientFault::Url)
        ));
    }
}
