//! Prices: of a model, and of a deployment where it differs.

use std::sync::Arc;

use crate::config::{
    compiled::{Price, Rate},
    diagnostics::{At, Diagnostics},
    raw::{Raw, RawPrice},
};

const CURRENCY: &str = "USD";

/// The code of the currency that all prices are in.
pub(super) fn currency(raw: &Raw, diagnostics: &mut Diagnostics) -> Arc<str> {
    let Some(text) = raw.currency.as_deref() else {
        return CURRENCY.into();
    };
    if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let message =
            format!("found `{text}`, expected the three capital letters of a currency, as `USD`");
        diagnostics.error(At::ROOT.key("currency"), message);
    }
    text.into()
}

/// `None` where nothing has a price.
pub(super) fn compile(
    raw: Option<&RawPrice>,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Price> {
    let raw = raw?;
    let mut needed = |key, amount: Option<crate::config::raw::Amount>| {
        if amount.is_none() {
            diagnostics.missing(
                at.key(key),
                "missing, write what a million tokens cost; 0 for nothing",
            );
        }
        Rate(amount.map_or(0, |amount| amount.0))
    };
    let prompt = needed("prompt", raw.prompt);
    let completion = needed("completion", raw.completion);
    Some(Price {
        prompt,
        cached: raw.cached.map_or(prompt, |amount| Rate(amount.0)),
        completion,
    })
}
