//! A new configuration while requests run.

use gateway::config::client_key::{format_key_hash, key_hash};
use rustix::process::Signal;
use simulator::Fault;
use tokio::time::Instant;

use super::{GPT, assert_whole, stream, throttled_for};
use crate::support::{
    Fleet, PATIENCE, Seen,
    provider::{Provider, finish},
    tls::{NAMES, Trust},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_what_changed_and_loses_no_state_and_no_stream() {
    let config = "defaults: { circuit_breaker: { failures: 1, trip: 10m } }\nlog: { level: info }";
    let (provider, mut fleet) = Provider::before(config).await;
    let (running, upstream) = tokio::join!(stream(&fleet), provider.begin());
    fleet.aoi(2).inject(Fault::status(429).on(GPT));
    fleet.aoi(3).inject(Fault::status(500).on("gpt-4o-mini"));
    // Nobody but the second and third has this model.
    assert_eq!(fleet.chat("gpt-4o-mini").await.status(), 200);
    let cooled = fleet.gateway.deployment("aoi-3", "gpt-4o-mini").await;

    let weight = "gpt-4o-mini: { weight: 7 }";
    fleet
        .gateway
        .reload(&[("gpt-4o-mini: {}", weight), ("level: info", "level: debug")]);
    let logged = fleet.gateway.logged();
    for line in [
        "log.level info → debug",
        "aoi-2.gpt-4o-mini weight 1 → 7",
        "aoi-3.gpt-4o-mini weight 1 → 7",
    ] {
        assert!(logged.contains(line), "{line} is missing in\n{logged}");
    }
    let after = fleet.gateway.deployment("aoi-3", "gpt-4o-mini").await;
    assert_eq!(after["weight"], 7);
    assert_eq!(after["state"], cooled["state"]);
    assert_eq!(
        fleet
            .gateway
            .metric("tokenweir_config_last_reload_successful")
            .await,
        1.0
    );
    finish(upstream).await;
    assert_whole(running).await;
    // Said at the new level only.
    fleet.gateway.forgets_the_old_configuration();
}

#[tokio::test(flavor = "multi_thread")]
async fn cool_downs_and_open_breakers_survive_good_and_bad_reloads() {
    let config = "defaults: { circuit_breaker: { failures: 1, trip: 10m } }";
    let mut fleet = Fleet::in_order(config).await;
    let retry_after = throttled_for("600");
    fleet.aoi(1).inject(Fault::new(retry_after).on(GPT));
    fleet.aoi(2).inject(Fault::status(500).on(GPT));
    assert_eq!(fleet.chat(GPT).await.status(), 200);
    let before = [
        fleet.gateway.deployment("aoi-1", GPT).await,
        fleet.gateway.deployment("aoi-2", GPT).await,
    ];
    assert_eq!(
        before.each_ref().map(|now| &now["state"]),
        ["throttling", "error"]
    );
    for round in 0..10 {
        let weight = format!("gpt-4o: {{ weight: {} }}", round % 3 + 1);
        let replacements: &[(&str, &str)] = match round % 2 {
            0 => &[("gpt-4o: {}", &weight)],
            _ => &[
                ("gpt-4o: {}", "gpt-4o: { weight: -1 }"),
                ("open: true", "opne: true"),
            ],
        };
        fleet.gateway.reload(replacements);
        for (endpoint, before) in ["aoi-1", "aoi-2"].into_iter().zip(&before) {
            let now = fleet.gateway.deployment(endpoint, GPT).await;
            assert_eq!(now["state"], before["state"], "round {round}: {now}");
        }
        assert_eq!(fleet.chat(GPT).await.status(), 200);
    }
    let message = "the new configuration is not used, the old one stays";
    let refused = fleet.gateway.logged_events(message);
    assert_eq!(refused.len(), 5, "once for each");
    for event in refused {
        let reason = event["reason"].as_str().unwrap();
        for mistake in [
            "aoi-1.deployments.gpt-4o.weight",
            "aoi-3.deployments.gpt-4o.weight",
            "opne",
        ] {
            assert!(
                reason.contains(mistake),
                "{mistake} is missing in\n{reason}"
            );
        }
    }
    assert_eq!(
        fleet
            .gateway
            .metric("tokenweir_config_last_reload_successful")
            .await,
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_endpoint_finishes_what_it_answers_and_gets_no_more() {
    let (provider, mut fleet) = Provider::before("").await;
    let (running, upstream) = tokio::join!(stream(&fleet), provider.begin());
    // All of its lines at once: the name of its section begins a mapping that is then the second one's.
    let url = fleet.simulators[1].url();
    let text = std::fs::read_to_string(fleet.gateway.config_file()).unwrap();
    let start = text.find("  aoi-1:\n").unwrap();
    let end = text.find("  aoi-2:\n").unwrap();
    assert!(text[end..].contains(&url));
    fleet.gateway.reload(&[(&text[start..end], "")]);
    assert!(fleet.gateway.logged().contains("endpoint aoi-1 removed"));
    for _ in 0..3 {
        assert_eq!(
            fleet.chat(GPT).await.headers()["x-tokenweir-endpoint"],
            "aoi-2"
        );
    }
    finish(upstream).await;
    assert!(Seen::read(running).await.complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn thresholds_apply_at_once() {
    let mut fleet = Fleet::in_order("defaults: { circuit_breaker: { failures: 100 } }").await;
    fleet.aoi(1).inject(Fault::status(500).on(GPT).times(2));
    assert_eq!(fleet.chat(GPT).await.status(), 200);
    assert_eq!(
        fleet.gateway.deployment("aoi-1", GPT).await["state"],
        "healthy"
    );
    fleet.gateway.reload(&[("failures: 100", "failures: 2")]);
    assert_eq!(fleet.chat(GPT).await.status(), 200);
    assert_eq!(
        fleet.gateway.deployment("aoi-1", GPT).await["state"],
        "error"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_said_until_it_is_undone() {
    let fleet = Fleet::start("threads: 2").await;
    let reload = || {
        let output = fleet.gateway.ask(&["reload"]);
        String::from_utf8(output.stdout).unwrap()
    };
    fleet.gateway.rewrite(&[("threads: 2", "threads: 3")]);
    for _ in 0..2 {
        assert_eq!(reload(), "threads 2 → 3: needs restart\n");
    }
    fleet.gateway.rewrite(&[]);
    assert_eq!(reload(), "nothing changes\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_an_address_does_not_hold_up_every_reload() {
    let mut fleet = Fleet::start("").await;
    let weight = |weight: u32| format!("gpt-4o: {{ weight: {weight} }}");
    let url = fleet.simulators[2].url();
    fleet.gateway.reload(&[(&url, "http://name.invalid")]);
    let deadline = Instant::now() + PATIENCE;
    for round in 2.. {
        let weight = weight(round);
        let replacements = [
            (url.as_str(), "http://name.invalid"),
            ("gpt-4o: {}", &weight),
        ];
        fleet.gateway.rewrite(&replacements);
        fleet.gateway.signal(Signal::HUP);
        let message = "the new configuration is in use";
        let event = fleet
            .gateway
            .next_event(|event| event["message"] == message);
        if event["ms"].as_f64().unwrap() < 1000.0 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "it is waited for again and again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_burst_of_signals_the_last_configuration_is_in_use() {
    let mut fleet = Fleet::start("").await;
    for weight in 2..40 {
        let weight = format!("gpt-4o: {{ weight: {weight} }}");
        fleet.gateway.rewrite(&[("gpt-4o: {}", &weight)]);
        fleet.gateway.signal(Signal::HUP);
    }
    while fleet.gateway.deployment("aoi-1", GPT).await["weight"] != 39 {
        fleet
            .gateway
            .next_event(|event| event["message"] == "the new configuration is in use");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_compares_reloads_and_says_what_is_wrong() {
    let mut fleet = Fleet::start("").await;
    let file = fleet.gateway.config_file();
    let file = file.to_str().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    fleet.gateway.rewrite(&[("gpt-4o-mini: {}", "o3: {}")]);
    let expected = [
        "aoi-2.gpt-4o-mini removed",
        "aoi-2.o3 added",
        "note: model gpt-4o-mini is no longer served",
    ];
    let diff = fleet.gateway.ask(&["check", "--diff", "--config", file]);
    assert!(diff.status.success(), "{diff:?}");
    for line in expected {
        assert!(
            text(&diff.stdout).contains(line),
            "{line} is missing in {diff:?}"
        );
    }
    assert_eq!(
        fleet.chat("gpt-4o-mini").await.status(),
        200,
        "nothing is applied"
    );
    let reload = fleet.gateway.ask(&["reload"]);
    assert_eq!(text(&reload.stdout), text(&diff.stdout));
    assert_eq!(fleet.chat("gpt-4o-mini").await.status(), 404);
    assert_eq!(
        text(&fleet.gateway.ask(&["reload"]).stdout),
        "nothing changes\n"
    );

    fleet.gateway.rewrite(&[("open: true", "opne: true")]);
    for arguments in [&["reload"][..], &["check", "--diff", "--config", file]] {
        let refused = fleet.gateway.ask(arguments);
        assert_eq!(refused.status.code(), Some(78), "{refused:?}");
        assert!(
            text(&refused.stderr).contains("did you mean `open`?"),
            "{refused:?}"
        );
    }
    assert_eq!(
        fleet.chat("o3").await.status(),
        404,
        "the simulator has no such deployment"
    );
    let status = fleet.gateway.ask(&["status"]);
    assert!(text(&status.stdout).contains("aoi-2"), "{status:?}");
    // Whoever reaches the address changes nothing.
    let address = format!("http://{}/reload", fleet.gateway.admin);
    let refused = crate::support::client().post(address).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    // The process is gone, and its socket with it or left behind.
    fleet.gateway.signal(Signal::KILL);
    fleet.gateway.ended().await;
    let nobody = fleet.gateway.ask(&["reload"]);
    assert_eq!(nobody.status.code(), Some(69), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_let_in_only_where_the_listeners_are_those_of_the_file() {
    let clients = format!(
        "clients: {{ team-a: {{ keys: [ \"{}\" ] }} }}\n",
        format_key_hash(&key_hash("tw-a"))
    );
    let fleet = Fleet::start(&clients).await;
    let trust = Trust::new();
    let pair = trust.put("listener", &trust.authority.server(&NAMES));
    let plain = "{ address: \"127.0.0.1:0\" }";
    let encrypted =
        format!("{{ address: \"127.0.0.1:0\", tls: {{ certificates: [{{ {pair} }}] }} }}");
    let elsewhere = "{ address: \"127.0.0.2:0\" }";
    let open = (&*clients, "open: true\n");
    for listener in [&encrypted, elsewhere] {
        let listener = (plain, listener);
        // At once, and also when the new listener waits for a restart already.
        for changes in [&[open, listener][..], &[listener], &[listener, open]] {
            fleet.gateway.rewrite(changes);
            let reload = fleet.gateway.ask(&["reload"]);
            let said =
                String::from_utf8_lossy(&[reload.stdout, reload.stderr].concat()).into_owned();
            if changes.len() == 2 {
                assert_eq!(reload.status.code(), Some(78), "{said}");
                assert!(said.contains("`open: true` would count at once"), "{said}");
            } else {
                assert!(
                    reload.status.success() && said.contains("needs restart"),
                    "{said}"
                );
            }
            assert_eq!(fleet.chat(GPT).await.status(), 401, "{changes:?}");
        }
    }
    // The command, for it ends when the reload has: lines of those before stand in the log unread.
    for (changes, status) in [(&[open][..], 200), (&[], 401)] {
        fleet.gateway.rewrite(changes);
        assert!(fleet.gateway.ask(&["reload"]).status.success());
        assert_eq!(fleet.chat(GPT).await.status(), status);
    }
}
