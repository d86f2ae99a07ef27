//! `tokenweir.yaml` is the reference: it shows every key, and with the defaults that the program and the schema
//! have.

use std::{fs, time::Duration};

use serde_json::Value;

use super::{Fake, root};
use gateway::{
    config::{self, schema::schema},
    policy::{
        cause::Cause,
        params::{Balance, BreakerParams, CoolDownParams, RetryParams, Timeouts, UsageParams},
    },
};

#[test]
fn the_reference_shows_every_key() {
    let text = reference();
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap().values();
    for definition in definitions.chain([&schema]) {
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            let apim = property["description"]
                .as_str()
                .unwrap()
                .contains("in the words of");
            assert!(
                apim || text.contains(&format!("{key}:")),
                "`{key}` is not in tokenweir.yaml"
            );
        }
    }
}

#[test]
fn the_reference_equals_the_defaults() {
    let full: Value = serde_yaml::from_str(&reference()).unwrap();
    let schema = schema();
    let mut bare = full.clone();
    let mut removed = 0;
    remove_defaults(&schema, &schema, &mut bare, "", &mut removed);
    assert!(removed > 40, "only {removed} keys have a default");
    // JSON is YAML.
    let (full, _) = config::compile(&full.to_string(), &Fake).unwrap();
    let (bare, _) = config::compile(&bare.to_string(), &Fake).unwrap();
    assert_eq!(full, bare);
}

#[test]
fn a_model_without_policy_has_the_built_in_one() {
    let text = fs::read_to_string(root().join("conf/minimal.yaml")).unwrap();
    let (compiled, _) = config::compile(&text, &Fake).unwrap();
    let [model] = compiled.models.as_slice() else {
        panic!("{compiled:?}")
    };
    assert_eq!(model.balance, Balance::default());
    assert_eq!(model.timeouts, Timeouts::default());
    assert_eq!(model.retry, RetryParams::default());
    assert_eq!(model.breaker, BreakerParams::default());
    assert_eq!(model.cool_down, CoolDownParams::default());
    assert_eq!(model.usage, UsageParams::default());
}

#[test]
fn a_model_overrides_single_keys_of_the_defaults() {
    let text = fs::read_to_string(root().join("gateway/tests/it/config/good/layers.yaml")).unwrap();
    let (compiled, _) = config::compile(&text, &Fake).unwrap();
    let [plain, special] = compiled.models.as_slice() else {
        panic!("{compiled:?}")
    };
    assert_eq!(
        (plain.name.as_str(), special.name.as_str()),
        ("plain", "special")
    );

    assert_eq!(plain.timeouts.connect, Duration::from_secs(5));
    assert_eq!(
        (plain.balance, special.balance),
        (Balance::Random, Balance::RoundRobin)
    );
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        read: Duration::from_secs(90),
        ..Timeouts::default()
    };
    assert_eq!(special.timeouts, timeouts);
    assert_eq!(
        (plain.retry.attempts.get(), special.retry.attempts.get()),
        (2, 2)
    );
    assert_eq!(
        (plain.retry.budget_percent, special.retry.budget_percent),
        (20, 50)
    );
    assert_eq!(special.retry.on, [Cause::Throttled]);
    assert!(!plain.breaker.enabled, "`off` under defaults");
    assert!(
        special.breaker.enabled,
        "keys at the model switch it on again"
    );
    assert_eq!(special.breaker.statuses, [429..=429, 500..=503, 599..=599]);
    assert_eq!(special.breaker.interval, BreakerParams::default().interval);
    assert_eq!(special.cool_down.max, Duration::from_secs(30));
    assert_eq!(special.cool_down.min, Duration::from_secs(2));
}

#[test]
fn the_words_of_api_management_mean_the_same_as_ours() {
    let text = fs::read_to_string(root().join("conf/circuit-breaker.yaml")).unwrap();
    let mut ours = text.clone();
    for (theirs, word) in [
        ("count:", "failures:"),
        ("statusCodeRanges:", "statuses:"),
        ("tripDuration:", "trip:"),
        ("acceptRetryAfter:", "accept_retry_after:"),
        ("PT1M", "60s"),
        ("{ min: 429, max: 429 }", "429"),
        ("{ min: 500, max: 599 }", "500-599"),
    ] {
        assert!(ours.contains(theirs), "{theirs} is not in the example");
        ours = ours.replace(theirs, word);
    }
    let (compiled, _) = config::compile(&text, &Fake).unwrap();
    assert_eq!(compiled, config::compile(&ours, &Fake).unwrap().0);
    let [embedding, gpt] = compiled.models.as_slice() else {
        panic!("{compiled:?}")
    };
    assert!(!embedding.breaker.enabled, "`off` at the model");
    assert_eq!(
        (gpt.breaker.failures.get(), gpt.breaker.trip.as_secs()),
        (1, 60)
    );
}

fn reference() -> String {
    fs::read_to_string(root().join("conf/tokenweir.yaml")).unwrap()
}

/// Takes every key out that has a default in the schema, and checks that it was given with just that value.
fn remove_defaults(
    root: &Value,
    schema: &Value,
    value: &mut Value,
    path: &str,
    removed: &mut usize,
) {
    for schema in alternatives(root, schema) {
        for item in value.as_array_mut().into_iter().flatten() {
            remove_defaults(root, &schema["items"], item, path, removed);
        }
        let Some(object) = value.as_object_mut() else {
            continue;
        };
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(default) = property.get("default")
                && let Some(given) = object.remove(key)
            {
                assert_eq!(&given, default, "{path}.{key}");
                *removed += 1;
            }
        }
        for (key, value) in object {
            let below = schema["properties"]
                .get(key)
                .unwrap_or(&schema["additionalProperties"]);
            remove_defaults(root, below, value, &format!("{path}.{key}"), removed);
        }
    }
}

/// The schema itself and what it refers to.
fn alternatives<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let mut all = vec![schema];
    if let Some(pointer) = schema["$ref"].as_str() {
        all.extend(alternatives(root, root.pointer(&pointer[1..]).unwrap()));
    }
    for branch in schema["anyOf"].as_array().into_iter().flatten() {
        all.extend(alternatives(root, branch));
    }
    all
}
