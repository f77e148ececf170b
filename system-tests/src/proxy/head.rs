//! As much of HTTP/1.1 as the proxy needs: a request in, an answer out.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use reqwest::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName,
    HeaderValue, TRANSFER_ENCODING,
};
use reqwest::{Client, Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Largest head or body that is read.
const MOST: usize = 16 * 1024 * 1024;

/// A request, whole.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

/// Reads the next request of a connection; `None` at its end.
pub(super) async fn read_request(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut bytes = BytesMut::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if !more(stream, &mut bytes).await? {
            return Ok(None);
        }
    };
    let head = bytes.split_to(end);
    bytes.advance(4);
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::other("no request line"));
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or_default();
        let name = HeaderName::try_from(name).map_err(io::Error::other)?;
        let value = HeaderValue::try_from(value.trim()).map_err(io::Error::other)?;
        headers.append(name, value);
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok());
    let length: usize = length.map_or(Ok(0), str::parse).map_err(io::Error::other)?;
    while bytes.len() < length {
        if !more(stream, &mut bytes).await? {
            return Ok(None);
        }
    }
    Ok(Some(Request {
        method: method.parse().map_err(io::Error::other)?,
        target: target.to_owned(),
        headers,
        body: bytes.freeze(),
    }))
}

async fn more(stream: &mut TcpStream, bytes: &mut BytesMut) -> io::Result<bool> {
    if bytes.len() > MOST {
        return Err(io::Error::other("too long"));
    }
    Ok(stream.read_buf(bytes).await? > 0)
}

impl Request {
    /// Asks `server` for it.
    pub(super) async fn forward(&self, client: &Client, server: SocketAddr) -> io::Result<Answer> {
        let mut headers = self.headers.clone();
        for hop in [HOST, CONNECTION, CONTENT_LENGTH] {
            headers.remove(hop);
        }
        let response = client
            .request(
                self.method.clone(),
                format!("http://{server}{}", self.target),
            )
            .headers(headers)
            .body(self.body.clone())
            .send()
            .await
            .map_err(io::Error::other)?;
        let (status, mut headers) = (response.status(), response.headers().clone());
        for hop in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(hop);
        }
        Ok(Answer {
            status,
            headers,
            body: response.bytes().await.map_err(io::Error::other)?,
        })
    }

    /// What two requests must have in common to get one answer.
    pub(super) fn cache_key(&self) -> String {
        let packing = self.headers.get(ACCEPT_ENCODING);
        let packing = packing.and_then(|value| value.to_str().ok());
        format!("{} {}", packing.unwrap_or_default(), self.target)
    }

    /// Whether no kept answer will do.
    pub(super) fn wants_fresh(&self) -> bool {
        self.headers
            .get(CACHE_CONTROL)
            .is_some_and(|value| value.as_bytes() == b"no-cache")
    }
}

impl Answer {
    /// Sends it whole.
    pub(super) async fn send(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&self.head()).await?;
        stream.write_all(&self.body).await
    }

    /// Promises the whole body and sends the first half of it.
    pub(super) async fn send_half(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&self.head()).await?;
        let (half, _) = self.body.split_at(self.body.len() / 2);
        stream.write_all(half).await
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} x\r\n", self.status.as_u16()).into_bytes();
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        head
    }
}
