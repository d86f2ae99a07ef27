//! The JSON Schema: it accepts every good file, refuses wrong ones, and the copy beside the examples is current.

use serde_json::{Value, json};

use super::{expect, good_files, root};
use gateway::config::schema::schema;

#[test]
fn every_good_file_is_valid_under_the_schema() {
    let schema = schema();
    for path in good_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let value: Value = serde_yaml::from_str(&text).unwrap();
        let mut errors = Vec::new();
        check(&schema, &schema, &value, "", &mut errors);
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_editors_should_underline() {
    let schema = schema();
    let good = json!({ "version": 1, "listen": [{ "address": "127.0.0.1:1" }], "endpoints": {} });
    for (key, wrong) in [
        ("version", json!(2)),
        ("listen", json!([])),
        ("listen", json!([{ "h2c": true }])),
        ("threads", json!("many")),
        ("wieght", json!(1)),
        (
            "endpoints",
            json!({ "a": { "url": "https://a", "deployments": {} } }),
        ),
        ("defaults", json!({ "balance": "least" })),
        ("defaults", json!({ "retry": { "on": ["bad_request"] } })),
        ("defaults", json!({ "circuit_breaker": true })),
    ] {
        let mut value = good.clone();
        value[key] = wrong;
        let mut errors = Vec::new();
        check(&schema, &schema, &value, "", &mut errors);
        assert!(!errors.is_empty(), "{value} is valid");
    }
}

#[test]
fn the_schema_beside_the_examples_is_current() {
    let text = serde_json::to_string_pretty(&schema()).unwrap();
    expect(&root().join("conf/tokenweir.schema.json"), &[text]);
}

#[test]
fn every_key_has_a_description() {
    fn walk(schema: &Value, path: &str) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(
                property["description"].is_string(),
                "{path}.{key} has no description"
            );
        }
    }
    let schema = schema();
    walk(&schema, "");
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        walk(definition, name);
    }
}

/// The part of JSON Schema that ours uses, without `pattern`.
fn check(root: &Value, schema: &Value, value: &Value, path: &str, errors: &mut Vec<String>) {
    let mut fail = |what: &str| errors.push(format!("{path}: {value} against {what}"));
    if let Some(types) = schema.get("type") {
        let own = |name: &Value| match name.as_str().unwrap() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("the schema uses type {other}"),
        };
        if !types
            .as_array()
            .map_or_else(|| own(types), |types| types.iter().any(own))
        {
            fail(&types.to_string());
        }
    }
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(number) = value.as_f64()
        && (bound("minimum").is_some_and(|min| number < min)
            || bound("maximum").is_some_and(|max| number > max))
    {
        fail("its range");
    }
    let size = value.as_array().map(Vec::len);
    if size.is_some_and(|size| {
        schema["minItems"]
            .as_u64()
            .is_some_and(|min| (size as u64) < min)
    }) {
        fail("minItems");
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|words| !words.contains(value))
        || schema.get("const").is_some_and(|word| word != value)
    {
        fail("its words");
    }
    if let Some(branches) = schema["anyOf"]
        .as_array()
        .or_else(|| schema["oneOf"].as_array())
    {
        let fits = |branch: &Value| {
            let mut errors = Vec::new();
            check(root, branch, value, path, &mut errors);
            errors.is_empty()
        };
        if !branches.iter().any(fits) {
            fail("every branch");
        }
    }
    if let Some(pointer) = schema["$ref"].as_str() {
        check(
            root,
            root.pointer(&pointer[1..]).unwrap(),
            value,
            path,
            errors,
        );
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if let Some(schema) = schema.get("items") {
            check(root, schema, item, &format!("{path}[{index}]"), errors);
        }
    }
    let Some(object) = value.as_object() else {
        return;
    };
    for key in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(key.as_str().unwrap()) {
            errors.push(format!("{path}: {key} is missing"));
        }
    }
    for (key, value) in object {
        let path = format!("{path}.{key}");
        match schema["properties"]
            .get(key)
            .or_else(|| schema.get("additionalProperties"))
        {
            Some(Value::Bool(false)) => errors.push(format!("{path}: unknown")),
            Some(schema) => check(root, schema, value, &path, errors),
            None => {}
        }
    }
}
