//! Names as types. A `ModelName` cannot be passed where an `EndpointName` is meant, and every name that
//! reaches a metric label, a log line or a URL was checked once, when it was parsed.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Longest name accepted anywhere: Azure allows 64 characters for deployments, model names of other
/// providers (`org/model:tag`) are longer.
pub const NAME_CHARS_MAX: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name must not be empty")]
    Empty,
    #[error("a name has at most {NAME_CHARS_MAX} characters")]
    TooLong,
    #[error("`{0}` is not allowed in a name; use letters, digits and {1}")]
    Character(char, &'static str),
    #[error("`{0}` is not a name: it would climb out of the URL path")]
    Dots(String),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $extra:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// # Errors
            /// Says which character, or what else, is wrong with `text`.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text, $extra)?;
                Ok(Self(Arc::from(text)))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        // Lets maps keyed by the name be asked with a borrowed string from a request.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// What a client asks for. Has one pool.
    ModelName,
    "-._:/@+"
);
name!(
    /// One provider resource of the configuration.
    EndpointName,
    "-._"
);
name!(
    /// The provider's name for a model at one endpoint; a path segment or a JSON value upstream.
    DeploymentName,
    "-._:/@+"
);
name!(
    /// Who calls: the holder of gateway keys.
    ClientName,
    "-._@"
);
name!(
    /// How the gateway shows itself to a provider.
    CredentialName,
    "-._"
);

fn check(text: &str, extra: &'static str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.chars().count() > NAME_CHARS_MAX {
        return Err(NameError::TooLong);
    }
    if let Some(bad) = text
        .chars()
        .find(|&c| !(c.is_ascii_alphanumeric() || extra.contains(c)))
    {
        return Err(NameError::Character(bad, extra));
    }
    if text
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Err(NameError::Dots(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_accepted_and_kept() {
        for text in [
            "gpt-4o",
            "text-embedding-3-small",
            "meta/llama-3.1:8b",
            "a",
            "GPT4",
        ] {
            assert_eq!(ModelName::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn names_that_could_change_a_url_or_a_log_line_are_refused() {
        for text in [
            "", "..", "a/../b", "a//b", "/a", "a b", "a\nb", "a?b", "a%2f", "ä", "a\"b",
        ] {
            assert!(ModelName::new(text).is_err(), "{text:?} was accepted");
        }
        assert!(EndpointName::new("a/b").is_err());
        assert_eq!(
            ModelName::new(&"x".repeat(NAME_CHARS_MAX + 1)),
            Err(NameError::TooLong)
        );
    }
}
