//! The answer of a door: a status, headers and mostly JSON.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;

use crate::body::AnswerBody;

/// An answer, ready to send; doors return it as the error of what they refuse, too.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    /// A page for people.
    pub(super) fn page(status: u16) -> Self {
        let page = "<!DOCTYPE html><html><head><title>Service unavailable</title></head></html>";
        Self::new(status, "text/html", page.to_owned())
    }

    fn new(status: u16, content_type: &'static str, body: String) -> Self {
        let headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (
                CACHE_CONTROL,
                HeaderValue::from_static("no-store, no-cache"),
            ),
        ];
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// Sets a header, unless it is none.
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.retain(|(other, _)| *other != name);
            self.headers.push((name, value));
        }
        self
    }

    pub(super) fn send(self) -> Response<AnswerBody> {
        let mut response = Response::new(AnswerBody::whole(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().extend(self.headers);
        response
    }
}
