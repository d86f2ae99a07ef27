//! Tokenweir load-balances LLM traffic over many Azure OpenAI and OpenAI-compatible endpoints.
//!
//! Modules in reading order; `ARCHITECTURE.md` beside this crate draws the whole.

pub mod admin;
pub mod api;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod course;
pub mod hand_over;
pub mod ids;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod orders;
pub mod policy;
pub mod pool;
pub mod proxy;
pub mod reload;
pub mod resolve;
pub mod secret;
pub mod server;
pub mod snapshot;
pub mod state;
pub mod traces;
pub mod upkeep;
mod upstream_tls;
