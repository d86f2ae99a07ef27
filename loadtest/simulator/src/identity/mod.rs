//! What Entra and the platforms' identity endpoints do for whoever wants tokens or wants to check them: a
//! machine's metadata service, App Service, Azure Arc, Entra's token endpoint, and the documents in which an
//! issuer publishes its keys. Knows nothing of the resources, which check its tokens by the same keys.

mod answer;
mod claims;
mod control;
mod control_routes;
mod documents;
mod doors;
mod faults;
pub mod forge;
mod managed;
mod options;
mod server;
mod service;
mod signing;
mod state;
mod token;

pub(crate) use claims::checked as checked_claims;
pub use control::{IdentityControl, Seen};
pub use doors::Door;
pub use faults::IdentityFault;
pub use options::{IdentityClient, IdentityOptions};
pub use server::{Identity, RunningIdentity};
