//! What a token says in the open, for people who look for a mistake. Not verified, so nothing is decided by it.

use std::fmt;

use jsonwebtoken::dangerous::insecure_decode_claims;
use serde_json::{Map, Value};

use crate::secret::Secret;

/// In the order in which they are shown; `appid` is called `azp` in newer tokens.
const SHOWN: [&str; 8] = ["aud", "iss", "appid", "azp", "oid", "tid", "roles", "exp"];

/// The claims that are no secret. Displays as `aud=https://… iss=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicClaims(Map<String, Value>);

/// The claims of `token`, if it is a JWT.
#[must_use]
pub fn public_claims(token: &Secret) -> Option<PublicClaims> {
    let mut claims: Map<String, Value> = insecure_decode_claims(token.expose()).ok()?;
    claims.retain(|name, _| SHOWN.contains(&name.as_str()));
    Some(PublicClaims(claims))
}

impl fmt::Display for PublicClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = SHOWN
            .iter()
            .filter_map(|name| Some((name, self.0.get(*name)?)));
        for (index, (name, value)) in shown.enumerate() {
            let space = if index == 0 { "" } else { " " };
            match value {
                // Quoted where it would not be one word.
                Value::String(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    write!(f, "{space}{name}={text}")?;
                }
                other => write!(f, "{space}{name}={other}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claims_of_a_token_are_shown_and_nothing_else_of_it() {
        // {"aud":"https://cognitiveservices.azure.com","exp":1700000000,"appid":"an app","roles":["a","b"],"sub":"no"}
        let payload = "eyJhdWQiOiJodHRwczovL2NvZ25pdGl2ZXNlcnZpY2VzLmF6dXJlLmNvbSIsImV4cCI6MTcwMDAwMDAwMCwi\
                       YXBwaWQiOiJhbiBhcHAiLCJyb2xlcyI6WyJhIiwiYiJdLCJzdWIiOiJubyJ9";
        let claims = public_claims(&Secret::new(format!("e30.{payload}.sig"))).unwrap();
        assert_eq!(
            claims.to_string(),
            r#"aud=https://cognitiveservices.azure.com appid="an app" roles=["a","b"] exp=1700000000"#
        );
    }

    #[test]
    fn what_is_no_jwt_has_no_claims() {
        for text in ["", "opaque", "a.b", "a.b.c", "..", "e30.W10.sig"] {
            assert_eq!(public_claims(&Secret::new(text.to_owned())), None, "{text}");
        }
    }
}
