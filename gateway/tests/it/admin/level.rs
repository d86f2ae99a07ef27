//! How much is logged, where it was changed by hand.

use rustix::process::Signal;

use crate::support::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn a_level_set_by_hand_outlives_a_hand_over_but_not_another_configured_one() {
    let by_hand = "info,gateway=debug";
    let mut fleet = Fleet::start("log: { level: info }").await;
    assert!(fleet.gateway.ask(&["log-level", by_hand]).status.success());
    fleet.gateway.signal(Signal::USR2);
    fleet.gateway.handed_over();
    assert_eq!(fleet.gateway.json("/log").await["level"], by_hand);
    let told = fleet
        .gateway
        .logged_events("an operator has changed the level of the log");
    // Two processes have written, each when it came to it.
    let last = told.iter().max_by_key(|event| event["timestamp"].as_str());
    assert_eq!(last.unwrap()["by"], "hand-over", "{told:?}");

    // It says the same as before: what was set by hand stays, as in one process.
    fleet
        .gateway
        .reload(&[("open: true", "open: true\ndrain_timeout: 5s")]);
    assert_eq!(fleet.gateway.json("/log").await["level"], by_hand);

    fleet.gateway.rewrite(&[("level: info", "level: warn")]);
    let upgrade = fleet.gateway.ask(&["upgrade"]);
    assert!(upgrade.status.success(), "{upgrade:?}");
    fleet.gateway.handed_over();
    assert_eq!(fleet.gateway.json("/log").await["level"], "warn");
}
