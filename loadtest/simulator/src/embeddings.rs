//! Embeddings: one fixed vector of length 1 for every input, as floats or as base64.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::answer::{Answer, Unary};
use crate::errors::{Refusal, missing_parameter};
use crate::state::Call;
use crate::stats::Usage;

const DIMENSIONS_MAX: usize = 4096;

/// A vector in both encodings, made when first asked for.
pub(crate) struct Vector {
    dimensions: usize,
    floats: OnceLock<String>,
    base64: OnceLock<String>,
}

impl Vector {
    pub(crate) fn new(dimensions: usize) -> Self {
        Self {
            dimensions: dimensions.clamp(1, DIMENSIONS_MAX),
            floats: OnceLock::new(),
            base64: OnceLock::new(),
        }
    }

    fn values(&self) -> impl Iterator<Item = f32> {
        let size = (self.dimensions as f32).sqrt().recip();
        (0..self.dimensions).map(move |index| if index % 3 == 0 { -size } else { size })
    }

    /// A JSON array, or a JSON string of little-endian base64.
    fn json(&self, base64: bool) -> &str {
        if base64 {
            return self.base64.get_or_init(|| {
                let bytes: Vec<u8> = self.values().flat_map(f32::to_le_bytes).collect();
                format!("\"{}\"", STANDARD.encode(bytes))
            });
        }
        self.floats.get_or_init(|| {
            let values: Vec<String> = self.values().map(|value| value.to_string()).collect();
            format!("[{}]", values.join(","))
        })
    }
}

pub(crate) fn embed(call: &Call<'_>) -> Result<Answer, Refusal> {
    let input = call
        .fields
        .input
        .ok_or_else(|| missing_parameter("input"))?;
    let as_base64 = call.fields.encoding_format.as_deref() == Some("base64");
    let other = call.fields.dimensions.map(Vector::new);
    let vector = other
        .as_ref()
        .unwrap_or(&call.deployment.vector)
        .json(as_base64);
    let count = inputs(input);
    let usage = Usage {
        prompt: call.fields.prompt_tokens(),
        completion: 0,
    };
    let mut body = String::with_capacity(count * (vector.len() + 64) + 256);
    body.push_str(r#"{"object":"list","data":["#);
    for index in 0..count {
        if index > 0 {
            body.push(',');
        }
        body.push_str(r#"{"object":"embedding","index":"#);
        body.push_str(&index.to_string());
        body.push_str(r#","embedding":"#);
        body.push_str(vector);
        body.push('}');
    }
    body.push_str(r#"],"model":"#);
    body.push_str(&call.deployment.model_json);
    let tokens = usage.prompt;
    body.push_str(&format!(
        r#","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#
    ));
    Ok(Unary::json(body, usage))
}

/// A string or an array of token ids is one input, an array of these is several.
fn inputs(input: &RawValue) -> usize {
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(input.get()) else {
        return 1;
    };
    match items.first() {
        Some(first) if first.get().starts_with(['"', '[']) => items.len(),
        Some(_) | None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_counted_in_every_form() {
        for (json, count) in [
            (r#""a""#, 1),
            (r#"["a","b"]"#, 2),
            ("[1,2,3]", 1),
            ("[[1,2],[3],[4]]", 3),
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            assert_eq!(inputs(raw), count, "{json}");
        }
    }

    #[test]
    fn both_encodings_hold_the_same_vector() {
        let vector = Vector::new(8);
        let floats: Vec<f32> = serde_json::from_str(vector.json(false)).unwrap();
        let bytes = STANDARD
            .decode(vector.json(true).trim_matches('"'))
            .unwrap();
        let decoded: Vec<f32> = bytes
            .chunks(4)
            .map(|c| f32::from_le_bytes(c.try_into().unwrap()))
            .collect();
        assert_eq!(floats, decoded);
    }
}
