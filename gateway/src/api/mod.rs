//! What the providers' APIs look like on the wire: paths, bodies, streams, errors. Values in, values out;
//! this folder knows no sockets, no time, no configuration beyond names, and takes no decision about traffic.

pub mod error;

pub mod operation;
pub mod table;

pub mod credential;
pub mod header;
pub mod trace_context;

pub mod body;
pub mod models;

pub mod answer;
pub mod fault;
pub mod limits;
pub mod sse;
pub mod unary;

mod members;

mod query;
