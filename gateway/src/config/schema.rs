//! The JSON Schema of the configuration file, made from the raw types: editors check and complete with it.

use serde_json::Value;

use super::raw::Raw;

/// JSON Schema, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Raw);
    schema.insert("title".to_owned(), "Tokenweir".into());
    schema.to_value()
}
