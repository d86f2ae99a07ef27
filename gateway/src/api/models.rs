//! The answers to `GET …/models`, made by the gateway itself. What it lists is the caller's choice; nothing
//! here shows which endpoints stand behind a model.

use bytes::Bytes;
use serde::Serialize;

use crate::ids::ModelName;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    object: &'static str,
    /// Required by the SDKs, unknown to the gateway.
    created: u64,
    owned_by: &'static str,
}

impl<'a> From<&'a ModelName> for Item<'a> {
    fn from(name: &'a ModelName) -> Self {
        Self {
            id: name.as_str(),
            object: "model",
            created: 0,
            owned_by: "tokenweir",
        }
    }
}

/// The JSON body that lists `names`, in their order.
#[must_use]
pub fn list_body<'a>(names: impl IntoIterator<Item = &'a ModelName>) -> Bytes {
    let data = names.into_iter().map(Item::from).collect();
    to_json(&List {
        object: "list",
        data,
    })
}

/// The JSON body that describes one model.
#[must_use]
pub fn model_body(name: &ModelName) -> Bytes {
    to_json(&Item::from(name))
}

fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("strings and numbers always serialize")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_listed_in_the_openai_shape() {
        let names = [
            ModelName::new("gpt-4o").unwrap(),
            ModelName::new("org/m:1").unwrap(),
        ];
        let expected = concat!(
            r#"{"object":"list","data":["#,
            r#"{"id":"gpt-4o","object":"model","created":0,"owned_by":"tokenweir"},"#,
            r#"{"id":"org/m:1","object":"model","created":0,"owned_by":"tokenweir"}]}"#,
        );
        assert_eq!(list_body(&names), expected);
        assert_eq!(list_body([]), r#"{"object":"list","data":[]}"#);
    }

    #[test]
    fn one_model_is_described_in_the_openai_shape() {
        let name = ModelName::new("gpt-4o").unwrap();
        let expected = r#"{"id":"gpt-4o","object":"model","created":0,"owned_by":"tokenweir"}"#;
        assert_eq!(model_body(&name), expected);
    }
}
