//! The dashboard and the alerts in `conf/`. A real Prometheus scrapes a gateway at work, and finds every series that
//! they ask for. What the alerts say, and when, is tested beside them in the language of Prometheus.

mod prometheus;
mod scene;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tokio::time::Instant;

use self::{
    prometheus::{Prometheus, tool},
    scene::Scene,
};
use crate::support::PATIENCE;

#[test]
fn the_alerts_pass_their_own_tests() {
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "tokenweir.tests.yml"],
        ["test", "rules", "error-budget.tests.yml"],
    ] {
        let Some(mut promtool) = tool("promtool") else {
            return;
        };
        promtool.args(arguments).current_dir(conf("prometheus"));
        let output = promtool.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{arguments:?}:\n{}",
            String::from_utf8_lossy(&said)
        );
    }
}

#[test]
fn every_panel_says_what_it_shows_and_asks_the_data_source_that_was_chosen() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap_or_default();
        assert!(!title.is_empty(), "{panel}");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id twice");
        if panel["type"] == "row" {
            continue;
        }
        let says = panel["description"].as_str().unwrap_or_default();
        assert!(says.ends_with('.'), "{title}: `{says}`");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
    assert!(ids.len() > 50, "the panels were not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_and_every_alert_finds_its_series_in_a_gateway_at_work() {
    let Some(program) = tool("prometheus") else {
        return;
    };
    let scene = Scene::start().await;
    let rules = conf("prometheus").join("tokenweir.rules.yml");
    let prometheus = Prometheus::start(program, scene.gateway.admin, &rules);
    let asked = queries(&dashboard());
    assert!(asked.len() > 60, "the queries were not found");
    found(&scene, &prometheus, asked).await;

    let rules = prometheus.rules().await;
    assert!(rules.len() > 20, "the rules were not read");
    let mut asked = Vec::new();
    for rule in &rules {
        let name = text(&rule["name"]);
        if rule["type"] == "recording" {
            asked.push(Query::new(name, name));
        }
        // An alert is about what should not be, so that it is empty here. What it looks at must be there.
        let selectors = selectors(text(&rule["query"]));
        asked.extend(selectors.iter().map(|selector| Query::new(name, selector)));
    }
    found(&scene, &prometheus, asked).await;
    for rule in prometheus.rules().await {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

/// Keeps the gateway busy until each query has been answered with a number.
async fn found(scene: &Scene, prometheus: &Prometheus, mut asked: Vec<Query>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        scene.work().await;
        let mut missing = Vec::new();
        for query in asked {
            let values = prometheus.query(&query.expression).await;
            if !values.iter().any(|value| value.is_finite()) {
                missing.push(query);
            }
        }
        if missing.is_empty() {
            return;
        }
        let left = missing
            .iter()
            .map(|query| format!("{}: {}\n", query.of, query.expression));
        assert!(
            Instant::now() < deadline,
            "nothing for\n{}",
            left.collect::<String>()
        );
        asked = missing;
    }
}

struct Query {
    /// The panel, variable or rule that asks it.
    of: String,
    expression: String,
}

impl Query {
    fn new(of: &str, expression: &str) -> Self {
        Self {
            of: of.to_owned(),
            expression: expression.to_owned(),
        }
    }
}

/// All that a dashboard asks when everything is chosen.
fn queries(dashboard: &Value) -> Vec<Query> {
    let list = |list: &Value| list["list"].as_array().unwrap().clone();
    let variables = list(&dashboard["templating"]);
    let chosen = |expression: &str| {
        let mut filled = expression
            .replace("$__rate_interval", "10s")
            .replace("$__range", "1h");
        for variable in &variables {
            filled = filled.replace(&format!("${}", text(&variable["name"])), ".*");
        }
        assert!(!filled.contains('$'), "an unknown variable: {expression}");
        filled
    };
    let mut queries = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = chosen(text(&target["expr"]));
            queries.push(Query::new(text(&panel["title"]), &expression));
        }
    }
    for variable in &variables {
        // label_values(SELECTOR, LABEL)
        let Some(definition) = variable["definition"].as_str() else {
            continue;
        };
        let inside = definition.strip_prefix("label_values(").unwrap();
        let (selector, label) = inside.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
        let expression = format!("count by ({label}) ({})", chosen(selector));
        queries.push(Query::new(definition, &expression));
    }
    for annotation in list(&dashboard["annotations"]) {
        let expression = chosen(text(&annotation["expr"]));
        queries.push(Query::new(text(&annotation["name"]), &expression));
    }
    queries
}

/// The gateway's series that an expression selects, without their ranges: `name` or `name{…}`.
fn selectors(expression: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        let word = &rest[start..];
        let end = word.find(|c: char| !is_name(c)).unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        if name.starts_with("tokenweir_") || name.starts_with("process_") {
            let labels = match after.find('}') {
                Some(end) if after.starts_with('{') => &after[..=end],
                Some(_) | None => "",
            };
            found.insert(format!("{name}{labels}"));
        }
        rest = after;
    }
    found
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().expect("panels")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn dashboard() -> Value {
    let file = conf("grafana").join("tokenweir.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn conf(folder: &str) -> PathBuf {
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR"));
    gateway.parent().unwrap().join("conf").join(folder)
}
