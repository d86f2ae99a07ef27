//! What stands under which path of the admin listeners. The OpenAPI document says the same to machines; a test holds
//! them together.

use http::Method;
use percent_encoding::percent_decode_str;

use super::console;
use crate::policy::reason::Switch;

pub(super) const OPENAPI: &str = include_str!("openapi.json");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Healthz,
    Readyz,
    Status,
    Explain,
    Config,
    Events,
    Identity,
    Metrics,
    Log,
    OpenApi,
}

const PAGES: [(&str, Page); 10] = [
    ("/healthz", Page::Healthz),
    ("/readyz", Page::Readyz),
    ("/status", Page::Status),
    ("/explain", Page::Explain),
    ("/config", Page::Config),
    ("/events", Page::Events),
    ("/identity", Page::Identity),
    ("/metrics", Page::Metrics),
    (LOG, Page::Log),
    ("/openapi.json", Page::OpenApi),
];

impl Page {
    /// Shown to everybody, also where a token is configured: what balancers and supervisors ask.
    pub(super) fn is_public(self) -> bool {
        match self {
            Self::Healthz | Self::Readyz => true,
            Self::Status
            | Self::Explain
            | Self::Config
            | Self::Events
            | Self::Identity
            | Self::Metrics
            | Self::Log
            | Self::OpenApi => false,
        }
    }

    /// Made by a worker on the way. The others grow with the configuration, and have to be made aside.
    pub(super) fn is_small(self) -> bool {
        match self {
            Self::Healthz | Self::Readyz | Self::Events | Self::Log | Self::OpenApi => true,
            Self::Status | Self::Explain | Self::Config | Self::Identity | Self::Metrics => false,
        }
    }
}

/// What concerns the process; see [`crate::orders`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Reload,
    Upgrade,
    Compare,
}

/// Read by GET, changed by POST.
const LOG: &str = "/log";

const COMMANDS: [(&str, Command); 3] = [
    ("/reload", Command::Reload),
    ("/upgrade", Command::Upgrade),
    ("/compare", Command::Compare),
];

const SWITCHES: [(&str, Switch); 3] = [
    ("disable", Switch::Disabled),
    ("enable", Switch::Enabled),
    ("drain", Switch::Drained),
];

/// What is done by a POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    Order(Command),
    Switch {
        endpoint: String,
        to: Switch,
    },
    /// How much is logged.
    Level,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// Of the console.
    File(&'static console::File),
    Page(Page),
    Deed(Deed),
    WrongMethod,
    Nothing,
}

pub(super) fn route(method: &Method, path: &str) -> Route {
    let page = PAGES.iter().find(|(name, _)| *name == path);
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if let Some(file) = console::file(path) {
        return if reads {
            Route::File(file)
        } else {
            Route::WrongMethod
        };
    }
    match (page, deed(path)) {
        (Some(&(_, page)), _) if reads => Route::Page(page),
        (_, Some(deed)) if *method == Method::POST => Route::Deed(deed),
        (None, None) => Route::Nothing,
        (_, _) => Route::WrongMethod,
    }
}

/// For who asked for something else.
pub(super) fn listed() -> String {
    let pages: Vec<_> = PAGES.iter().map(|(path, _)| *path).collect();
    format!("not found; there are / (the console), {}", pages.join(", "))
}

fn deed(path: &str) -> Option<Deed> {
    if let Some(&(_, command)) = COMMANDS.iter().find(|(name, _)| *name == path) {
        return Some(Deed::Order(command));
    }
    if path == LOG {
        return Some(Deed::Level);
    }
    let (endpoint, verb) = path.strip_prefix("/endpoints/")?.split_once('/')?;
    let (_, to) = SWITCHES.iter().find(|(name, _)| *name == verb)?;
    let endpoint = percent_decode_str(endpoint).decode_utf8().ok()?;
    Some(Deed::Switch {
        endpoint: endpoint.into_owned(),
        to: *to,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_openapi_document_names_every_path_and_no_other() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let paths = document["paths"].as_object().unwrap();
        let mut named = BTreeSet::new();
        for (path, methods) in paths {
            let is_method = |key: &&String| *key != "parameters";
            for method in methods.as_object().unwrap().keys().filter(is_method) {
                named.insert(format!("{method} {path}"));
                let asked = path.replace("{name}", "aoi-1");
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let route = route(&method, &asked);
                let answers = matches!(route, Route::Page(_) | Route::Deed(_));
                assert!(answers, "{method} {path}: {route:?}");
            }
        }
        let pages = PAGES.iter().map(|(path, _)| format!("get {path}"));
        let commands = COMMANDS.iter().map(|(path, _)| format!("post {path}"));
        let switches = SWITCHES
            .iter()
            .map(|(verb, _)| format!("post /endpoints/{{name}}/{verb}"));
        let level = [format!("post {LOG}")];
        let answered: BTreeSet<_> = pages.chain(commands).chain(switches).chain(level).collect();
        assert_eq!(named, answered);
    }

    #[test]
    fn every_path_has_its_methods_and_an_odd_one_is_nothing() {
        let switch = |endpoint: &str, to| {
            Route::Deed(Deed::Switch {
                endpoint: endpoint.to_owned(),
                to,
            })
        };
        for (method, path, expected) in [
            (Method::GET, "/status", Route::Page(Page::Status)),
            (Method::HEAD, "/healthz", Route::Page(Page::Healthz)),
            (Method::POST, "/status", Route::WrongMethod),
            (Method::GET, "/reload", Route::WrongMethod),
            (
                Method::POST,
                "/reload",
                Route::Deed(Deed::Order(Command::Reload)),
            ),
            (
                Method::POST,
                "/endpoints/aoi-1/drain",
                switch("aoi-1", Switch::Drained),
            ),
            (
                Method::POST,
                "/endpoints/a%2Fb/enable",
                switch("a/b", Switch::Enabled),
            ),
            (Method::PUT, "/endpoints/aoi-1/drain", Route::WrongMethod),
            (Method::POST, "/endpoints/aoi-1/explode", Route::Nothing),
            (Method::POST, "/endpoints/aoi-1", Route::Nothing),
            (Method::GET, "/", Route::File(console::file("/").unwrap())),
            (Method::POST, "/", Route::WrongMethod),
            (Method::GET, "/console", Route::Nothing),
            (Method::GET, "/status/", Route::Nothing),
        ] {
            assert_eq!(route(&method, path), expected, "{method} {path}");
        }
    }
}
