//! The console: a page for operators, whose files are part of the program. It asks the same paths as everybody and
//! knows nothing that they do not say; so its files are no secret, and are shown also where a token is configured.

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) text: &'static str,
}

/// What the page may do, sent with each of its files: ask the listener that it comes from, and nothing else.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! script {
    ($name:literal) => {
        File {
            path: concat!("/console/", $name),
            content_type: SCRIPT,
            text: include_str!(concat!("console/", $name)),
        }
    };
}

static FILES: [File; 20] = [
    File {
        path: "/",
        content_type: HTML,
        text: include_str!("console/index.html"),
    },
    File {
        path: "/console/console.css",
        content_type: CSS,
        text: include_str!("console/console.css"),
    },
    script!("announce.js"),
    script!("card.js"),
    script!("clients.js"),
    script!("config.js"),
    script!("console.js"),
    script!("countdown.js"),
    script!("dom.js"),
    script!("endpoints.js"),
    script!("explain.js"),
    script!("feed.js"),
    script!("filter.js"),
    script!("format.js"),
    script!("history.js"),
    script!("overview.js"),
    script!("pools.js"),
    script!("sparkline.js"),
    script!("summary.js"),
    script!("words.js"),
];

pub(super) fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_page_asks_for_is_served() {
        let page = file("/").unwrap();
        let mut asked = vec!["console/console.css", "console/console.js"];
        for path in &asked {
            assert!(page.text.contains(&format!("\"{path}\"")), "{path}");
        }
        let imports = FILES.iter().flat_map(|file| file.text.split("from \"./"));
        let modules: Vec<String> = imports
            .filter_map(|rest| rest.split_once("\";"))
            .filter(|(name, _)| name.ends_with(".js"))
            .map(|(name, _)| format!("console/{name}"))
            .collect();
        asked.extend(modules.iter().map(String::as_str));
        assert!(asked.len() > 20, "the imports were not found");
        for path in asked {
            assert!(file(&format!("/{path}")).is_some(), "{path}");
        }
    }
}
