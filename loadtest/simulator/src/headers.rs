//! The headers of answers and refusals as the real services send them.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, RETRY_AFTER, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::errors::whole_seconds;
use crate::limits::{Left, Quota};
use crate::resource::Kind;
use crate::state::{DeploymentState, Shared};

const fn name(text: &'static str) -> HeaderName {
    HeaderName::from_static(text)
}

const fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

/// What decides the headers.
pub(crate) struct About<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) request: &'a HeaderMap,
    pub(crate) deployment: Option<&'a DeploymentState>,
    pub(crate) status: u16,
    pub(crate) quota: &'a Quota,
    /// Time to wait, on refusals that name one.
    pub(crate) wait: Option<Duration>,
}

pub(crate) fn write(about: &About<'_>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(24);
    match about.shared.resource.kind {
        Kind::Azure => azure(about, &mut headers),
        Kind::Openai => {
            headers.insert(name("x-request-id"), request_id());
            headers.insert(name("openai-version"), value("2020-10-01"));
            headers.insert(name("openai-processing-ms"), value("7"));
        }
    }
    quota(about.shared.resource.kind, about.quota, &mut headers);
    if let Some(wait) = about.wait {
        headers.insert(RETRY_AFTER, whole_seconds(wait).into());
        headers.insert(name("retry-after-ms"), millis(wait).into());
    }
    headers
}

fn azure(about: &About<'_>, headers: &mut HeaderMap) {
    headers.insert(name("apim-request-id"), request_id());
    headers.insert(
        STRICT_TRANSPORT_SECURITY,
        value("max-age=31536000; includeSubDomains; preload"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, value("nosniff"));
    if let Some(id) = about.request.get("x-ms-client-request-id") {
        headers.insert(name("x-ms-client-request-id"), id.clone());
    }
    if about.status == 401 {
        return;
    }
    headers.insert(name("x-ms-region"), about.shared.region.clone());
    headers.insert(name("x-request-id"), request_id());
    if let Some(deployment) = about.deployment
        && about.status < 400
    {
        headers.insert(CACHE_CONTROL, value("no-cache, must-revalidate"));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value("*"));
        headers.insert(name("x-accel-buffering"), value("no"));
        headers.insert(name("x-ms-rai-invoked"), value("true"));
        headers.insert(name("azureml-model-session"), value("d008-20241120000000"));
        headers.insert(name("x-ms-deployment-name"), deployment.name_header.clone());
    }
}

fn quota(kind: Kind, quota: &Quota, headers: &mut HeaderMap) {
    match quota {
        Quota::Unlimited => {}
        Quota::Provisioned { utilization } => {
            let text = format!("{utilization:.1}%");
            let utilization = HeaderValue::try_from(text).expect("a number is a valid header");
            headers.insert(name("azure-openai-deployment-utilization"), utilization);
        }
        Quota::Standard { requests, tokens } => {
            if let Some(left) = requests {
                let [limit, remaining, reset] = left_values(kind, left);
                headers.insert(name("x-ratelimit-limit-requests"), limit);
                headers.insert(name("x-ratelimit-remaining-requests"), remaining);
                headers.insert(name("x-ratelimit-reset-requests"), reset);
            }
            if let Some(left) = tokens {
                let [limit, remaining, reset] = left_values(kind, left);
                headers.insert(name("x-ratelimit-limit-tokens"), limit);
                headers.insert(name("x-ratelimit-remaining-tokens"), remaining);
                headers.insert(name("x-ratelimit-reset-tokens"), reset);
            }
        }
    }
}

/// Azure tells the reset in whole seconds, OpenAI as a duration such as `17ms`.
fn left_values(kind: Kind, left: &Left) -> [HeaderValue; 3] {
    let reset = match kind {
        Kind::Azure => whole_seconds(left.reset).into(),
        Kind::Openai => HeaderValue::try_from(format!("{}ms", millis(left.reset)))
            .expect("a number is a valid header"),
    };
    [left.limit.into(), left.remaining.into(), reset]
}

/// Rounded up.
fn millis(wait: Duration) -> u64 {
    wait.as_micros()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(u64::MAX)
}

/// A random UUID.
fn request_id() -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let random = fastrand::u128(..).to_le_bytes();
    let digits = random.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    let places = text
        .iter_mut()
        .enumerate()
        .filter(|(index, _)| !matches!(index, 8 | 13 | 18 | 23));
    for ((_, place), digit) in places.zip(digits) {
        *place = HEX[usize::from(digit)];
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits are a valid header")
}
