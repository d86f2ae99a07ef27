//! The one integration binary: configuration as data, and promises to users over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod config;
mod routing;
mod sdk;
mod sim;
mod support;
mod tidy;
