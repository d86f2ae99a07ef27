use tracing::{dispatcher, event};

use super::*;
use crate::log::{form::Form, writer::Lines};

struct World {
    control: Control,
    lines: Lines,
}

impl World {
    /// What is logged in `during`, with `configured` as filter at first.
    fn with(configured: &str, during: impl FnOnce(&Self)) {
        let lines = Lines::default();
        let events = Events::new(lines.clone(), Form::Text { colours: false });
        let (control, subscriber) = Control::over(configured, events).unwrap();
        let world = Self { control, lines };
        dispatcher::with_default(&subscriber.into(), || during(&world));
    }

    /// Levels and targets of what was logged, of one event of each level from each of some modules.
    fn logged(&self) -> Vec<String> {
        macro_rules! events {
            ($($target:literal)*) => {$(
                event!(target: $target, Level::ERROR, "x");
                event!(target: $target, Level::WARN, "x");
                event!(target: $target, Level::INFO, "x");
                event!(target: $target, Level::DEBUG, "x");
                event!(target: $target, Level::TRACE, "x");
            )*};
        }
        events!("gateway::pool" "access" "h2::codec" "rustls::conn" "pingora_proxy" "pingora_core::apps::http_app");
        self.take()
    }

    fn take(&self) -> Vec<String> {
        let text = self.lines.take_waiting();
        let short = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            let (level, target) = (words.next()?, words.next()?);
            Some(format!("{level} {}", target.trim_end_matches(':')))
        };
        text.lines().filter_map(short).collect()
    }
}

/// Nothing deeper than this comes from anywhere, whatever is asked for.
const DEEPEST: [&str; 12] = [
    "ERROR gateway::pool",
    "WARN gateway::pool",
    "INFO gateway::pool",
    "DEBUG gateway::pool",
    "TRACE gateway::pool",
    "ERROR access",
    "WARN access",
    "INFO access",
    "ERROR h2::codec",
    "WARN h2::codec",
    "INFO h2::codec",
    "ERROR rustls::conn",
];

#[test]
fn the_level_changes_while_it_runs_and_no_library_becomes_talkative() {
    World::with("warn,gateway=info", |world| {
        let shallow = [0, 1, 2, 5, 6, 8, 9, 11].map(|place| DEEPEST[place]);
        assert_eq!(world.logged(), shallow);
        for (filter, expected) in [
            ("trace", DEEPEST.to_vec()),
            (
                "off,h2=trace,rustls=debug,pingora_proxy=trace",
                DEEPEST[8..].to_vec(),
            ),
            ("off, gateway::pool=trace", DEEPEST[..5].to_vec()),
            (
                "INFO,access=off,h2=error",
                [0, 1, 2, 8, 11].map(|place| DEEPEST[place]).to_vec(),
            ),
            ("off", vec![]),
        ] {
            world.control.set(filter).unwrap();
            assert_eq!(world.logged(), expected, "{filter}");
            assert_eq!(world.control.current(), filter);
        }
    });
}

#[test]
fn a_level_set_by_hand_stays_until_the_configuration_says_another_one() {
    World::with("info", |world| {
        let control = &world.control;
        control.set("debug").unwrap();
        control.follow("info").unwrap();
        assert_eq!(control.current(), "debug");
        control.follow("warn").unwrap();
        assert_eq!(control.current(), "warn");
        control.set("debug").unwrap();
        control.follow("info").unwrap();
        assert_eq!(control.current(), "info");
    });
}

#[test]
fn a_bad_filter_is_refused_with_all_that_is_wrong_and_changes_nothing() {
    World::with("info", |world| {
        for (filter, problems) in [
            ("", &["unknown level ``"][..]),
            ("inof", &["did you mean `info`?"]),
            ("gateway=debgu,hyper=wran", &["`debug`", "`warn`"]),
            ("info,=debug", &["`` is not the name of a module"]),
            ("[span]=debug", &["`[span]` is not the name of a module"]),
            ("gateway=debug=info", &["`gateway=debug` is not"]),
            ("gateway debug=info", &["`gateway debug` is not"]),
        ] {
            let refused = world.control.set(filter).unwrap_err().to_string();
            for problem in problems {
                assert!(refused.contains(problem), "{filter}: {refused}");
            }
        }
        assert_eq!(world.control.current(), "info");
        assert_eq!(world.logged().len(), 10);
    });
}

#[test]
fn a_record_of_the_log_crate_has_its_own_target_and_no_more_fields() {
    use tracing_log::log::{Level as LogLevel, Record};
    World::with("info", |world| {
        let record = Record::builder()
            .level(LogLevel::Warn)
            .target("pingora_core::server")
            .file(Some("server.rs"))
            .line(Some(1))
            .args(format_args!("hello\nworld"))
            .build();
        tracing_log::format_trace(&record).unwrap();
        let text = world.lines.take_waiting();
        assert!(
            text.ends_with(" WARN pingora_core::server: hello\\u000aworld\n"),
            "{text}"
        );
    });
}
