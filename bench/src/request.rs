//! Requests as bytes.

use std::io::Write;

/// The constant part of the requests of one caller to one path: everything but the body.
#[derive(Clone, Debug)]
pub struct Template {
    head: Vec<u8>,
}

impl Template {
    /// `method` and `path`, with `headers` as `name: value` lines.
    #[must_use]
    pub fn new(method: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
        for (name, value) in headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        Self {
            head: head.into_bytes(),
        }
    }

    /// A `GET` of `path` by the owner of `key`.
    #[must_use]
    pub fn get(path: &str, key: &str) -> Vec<u8> {
        let mut request = Vec::new();
        Self::new("GET", path, &[("x-api-key", key)]).without_body(&mut request);
        request
    }

    /// A `POST` of JSON to `path` by the owner of `key`.
    #[must_use]
    pub fn post_json(path: &str, key: &str) -> Self {
        let headers = [("x-api-key", key), ("content-type", "application/json")];
        Self::new("POST", path, &headers)
    }

    /// Writes a request without a body over `out`.
    pub fn without_body(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the request with `body` over `out`.
    pub fn with_body(&self, out: &mut Vec<u8>, body: &[u8]) {
        out.clear();
        out.extend_from_slice(&self.head);
        write!(out, "content-length: {}\r\n\r\n", body.len())
            .expect("writing to a Vec cannot fail");
        out.extend_from_slice(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_http_wants() {
        let template = Template::post_json("/echo", "demo");
        let mut request = b"left over".to_vec();
        template.with_body(&mut request, b"{}");
        assert_eq!(
            String::from_utf8(request).unwrap(),
            "POST /echo HTTP/1.1\r\nhost: bench\r\nx-api-key: demo\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        );
        assert_eq!(
            String::from_utf8(Template::get("/x", "k")).unwrap(),
            "GET /x HTTP/1.1\r\nhost: bench\r\nx-api-key: k\r\n\r\n"
        );
    }
}
