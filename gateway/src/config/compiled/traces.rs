//! Export of spans.

use std::sync::Arc;

use http::HeaderName;

use crate::secret::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// What spans are posted to: `http://127.0.0.1:4318/v1/traces`.
    pub url: Arc<str>,
    /// Of the traces that begin here.
    pub sample_percent: u32,
    /// Each once; the values fit into a header.
    pub headers: Vec<(HeaderName, Secret)>,
    pub service_name: Arc<str>,
}
