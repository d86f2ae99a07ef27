//! The one integration binary: configuration as data, and promises to users over real sockets.

mod config;
