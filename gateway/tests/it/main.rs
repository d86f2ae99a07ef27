//! The one integration binary: configuration as data, and promises to users over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

// Who may ask, and what is refused before anybody is asked.
mod access;
// What operators see and do.
mod admin;
// Bodies of every size and form.
mod bodies;
// Dashboards and alerts.
mod boards;
mod canary;
// Who a caller is, and everything that somebody tries who is nobody.
mod callers;
mod config;
// The page for operators, in a real browser.
mod console;
// How the gateway shows itself to providers.
mod credentials;
mod edges;
// What operators read afterwards.
mod logs;
// What happens over many requests.
mod failover;
// One table of everything that can go wrong with one request.
mod faults;
// Answers that the gateway looks at before the client does.
mod held;
// One table of incidents, and what each of the gateway's pages says about them.
mod incidents;
// A process that operators trust: reload, stop, hand-over, what systemd is told.
mod process;
// What Prometheus sees.
mod metrics;
mod routing;
mod sdk;
mod sim;
mod streaming;
mod support;
mod tidy;
// What every request costs.
mod tokens;
// On both sides.
mod tls;
// Of requests, for whoever follows them through many programs.
mod traces;
