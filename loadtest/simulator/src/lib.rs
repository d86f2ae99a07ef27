//! A faithful Azure OpenAI resource on loopback: the same paths, headers, bodies, event streams, limits and
//! refusals, with answers of a chosen length and speed and with faults on demand. The demo, the tests, the
//! benches and the load test talk to it. It must never know the gateway.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use simulator::{Action, Deployment, Fault, Resource, Simulator};
//!
//! let resource = Resource::new("aoi-1").deployment(Deployment::new("gpt-4o", "gpt-4o"));
//! let running = Simulator::start(resource).await?;
//! running.control().inject(Fault::new(Action::ResetBeforeHeaders).on("gpt-4o").times(2));
//! # Ok(())
//! # }
//! ```

mod answer;
mod authority;
mod body;
mod chat;
mod clock;
mod completions;
mod connection;
mod control;
mod control_routes;
mod credentials;
mod embeddings;
mod errors;
mod exchange;
mod faults;
mod headers;
mod identity;
mod limits;
mod media;
mod models;
mod port;
mod request;
mod resource;
mod response_store;
mod responses;
mod route;
mod server;
mod service;
mod state;
mod stats;
mod text;
mod tls;
mod tools;
mod tunnel;

pub use authority::{ClientName, Issued, IssuedFiles, TestAuthority};
pub use control::{Control, LastRequest};
pub use faults::{Action, Fault};
pub use identity::{
    Door, Identity, IdentityClient, IdentityControl, IdentityFault, IdentityOptions,
    RunningIdentity, Seen, forge,
};
pub use resource::{Behaviour, Deployment, Kind, Limits, Resource};
pub use server::{Running, Simulator};
pub use stats::{Counts, Stats};
pub use tls::ServerTls;
