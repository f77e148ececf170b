//! A lean HTTP/1.1 client over one keep-alive connection.
//!
//! The load generator shares its two cores with the server it measures, so whatever the client
//! spends is missing from the figure. This one sends bytes that were built beforehand and looks at
//! no more of the answer than status, length and body. It is no general client: no redirects, no
//! TLS, no `Expect`, no pipelining, and one answer must be read before the next request is sent.
//! That is why it is here and not in a service.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer that is taken: a page or a feed answer of a thousand events is far below it.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Room for an ordinary answer; it grows where an answer is larger. Thousands of parked
/// connections are measured, so it starts small.
const FIRST_BYTES: usize = 1024;

/// One connection. After an error it must be dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    body: Vec<u8>,
}

/// An answer, in the connection's own buffer.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// Status line and headers.
    pub head: &'a [u8],
    /// Body, without transfer coding.
    pub body: &'a [u8],
}

impl Response<'_> {
    /// Whether the status says that the request was carried out.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The value of the header `name`, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header_lines(self.head)
            .find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// The integer that follows `"name":` in the body, wherever it stands first. Enough for
    /// answers whose shape is known, at a fraction of the cost of parsing them.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        let label = format!("\"{name}\":");
        let at = find(self.body, label.as_bytes())?.checked_add(label.len())?;
        let rest = self.body.get(at..)?;
        let end = rest
            .iter()
            .position(|byte| !byte.is_ascii_digit() && *byte != b'-')
            .unwrap_or(rest.len());
        std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
    }
}

impl Connection {
    /// Connects, without waiting for more data before a packet is sent.
    ///
    /// # Errors
    /// Whatever the network says.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: Vec::with_capacity(FIRST_BYTES),
            body: Vec::new(),
        })
    }

    /// Sends `request` and reads the answer.
    ///
    /// # Errors
    /// The network's, `UnexpectedEof` if the server closed, `InvalidData` if it does not speak
    /// HTTP/1.1.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Response<'_>> {
        self.stream.write_all(request).await?;
        self.input.clear();
        self.body.clear();
        let head = loop {
            if let Some(head) = Head::parse(&self.input)? {
                break head;
            }
            self.read_more().await?;
        };
        let body = match head.length {
            Length::Known(length) => {
                let total = head.end.saturating_add(length);
                self.input.reserve(total.saturating_sub(self.input.len()));
                while self.input.len() < total {
                    self.read_more().await?;
                }
                self.input.get(head.end..total).unwrap_or_default()
            }
            Length::Chunked => {
                let mut at = head.end;
                while !take_chunks(&self.input, &mut at, &mut self.body)? {
                    self.read_more().await?;
                }
                &self.body
            }
        };
        Ok(Response {
            status: head.status,
            head: self.input.get(..head.end).unwrap_or_default(),
            body,
        })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.input.len() > ANSWER_BYTES {
            return Err(invalid("the answer is too large"));
        }
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Length,
    /// Where the body begins.
    end: usize,
}

impl Head {
    /// The head of `input`, or `None` if it is not all there yet.
    fn parse(input: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = find(input, b"\r\n\r\n").map(|at| at.saturating_add(4)) else {
            return Ok(None);
        };
        let head = input.get(..end).unwrap_or_default();
        let status = head
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(number)
            .and_then(|status| u16::try_from(status).ok())
            .ok_or_else(|| invalid("no HTTP/1.1 status line"))?;
        let mut length = Length::Known(0);
        for (name, value) in header_lines(head) {
            if name.eq_ignore_ascii_case(b"content-length") {
                let bytes = number(value).ok_or_else(|| invalid("content-length"))?;
                length = Length::Known(bytes);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                length = Length::Chunked;
            }
        }
        Ok(Some(Self {
            status,
            length,
            end,
        }))
    }
}

/// Moves whole chunks from `input` into `body`, from `at` on; `true` when the last one is there.
fn take_chunks(input: &[u8], at: &mut usize, body: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let rest = input.get(*at..).unwrap_or_default();
        let Some(line) = find(rest, b"\r\n") else {
            return Ok(false);
        };
        let size = rest
            .get(..line)
            .and_then(|text| std::str::from_utf8(text).ok())
            .and_then(|text| usize::from_str_radix(text.split(';').next()?.trim(), 16).ok())
            .filter(|size| *size <= ANSWER_BYTES)
            .ok_or_else(|| invalid("chunk size"))?;
        let data = line.saturating_add(2);
        // Trailers are not used by anything measured here: the last chunk ends with an empty line.
        let end = data.saturating_add(size).saturating_add(2);
        let Some(chunk) = rest.get(data..end) else {
            return Ok(false);
        };
        let Some(bytes) = chunk.strip_suffix(b"\r\n") else {
            return Err(invalid("chunk end"));
        };
        body.extend_from_slice(bytes);
        *at = at.saturating_add(end);
        if size == 0 {
            return Ok(true);
        }
    }
}

fn header_lines(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = line.get(colon.saturating_add(1)..)?.trim_ascii();
            Some((line.get(..colon)?, value))
        })
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that answers every connection with `answer`, byte by byte, and then closes.
    async fn answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.unwrap();
                assert!(read > 0, "the client asks before it is answered");
                for byte in answer {
                    stream.write_all(&[*byte]).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn an_answer_in_single_bytes_is_read_whole() {
        let address =
            answering(b"HTTP/1.1 200 OK\r\nLog-Head: 7\r\ncontent-length: 5\r\n\r\nhello").await;
        let mut connection = Connection::open(address).await.unwrap();
        let response = connection
            .exchange(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        assert_eq!((response.status, response.body), (200, &b"hello"[..]));
        assert_eq!(response.header("log-head"), Some("7"));
        assert_eq!(response.header("missing"), None);
    }

    #[tokio::test]
    async fn a_chunked_answer_is_put_together() {
        let address = answering(
            b"HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n",
        )
        .await;
        let mut connection = Connection::open(address).await.unwrap();
        let response = connection
            .exchange(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(
            (response.status, response.body),
            (409, &b"abc0123456789"[..])
        );
        assert!(!response.is_success());
    }

    #[tokio::test]
    async fn an_answer_cut_short_is_an_error() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell"[..],
            &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhell"[..],
            &b"HTTP/1.1 20"[..],
            &b""[..],
        ] {
            let mut connection = Connection::open(answering(answer).await).await.unwrap();
            let error = connection
                .exchange(b"GET / HTTP/1.1\r\n\r\n")
                .await
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_http_is_an_error() {
        for answer in [
            &b"SSH-2.0-x\r\n\r\n"[..],
            &b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"[..],
            &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"[..],
            &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n"[..],
        ] {
            let mut connection = Connection::open(answering(answer).await).await.unwrap();
            let error = connection
                .exchange(b"GET / HTTP/1.1\r\n\r\n")
                .await
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{answer:?}");
        }
    }

    #[test]
    fn integers_are_found_by_name() {
        let response = Response {
            status: 200,
            head: b"",
            body: br#"{"newQuantity":-3,"newVersion":12}"#,
        };
        assert_eq!(response.integer("newQuantity"), Some(-3));
        assert_eq!(response.integer("newVersion"), Some(12));
        assert_eq!(response.integer("offset"), None);
    }
}
