//! What tokens cost.

use std::fmt;

/// What a million tokens cost, in millionths of the currency: exact, and so comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub u64);

impl Rate {
    /// Millionths of the currency.
    #[must_use]
    pub fn per_token(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// For a million tokens, as it is written in the configuration.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:06}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    pub prompt: Rate,
    /// For the part of the prompt that the provider had cached.
    pub cached: Rate,
    pub completion: Rate,
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            prompt,
            cached,
            completion,
        } = self;
        write!(
            f,
            "prompt {prompt}, cached {cached}, completion {completion}"
        )
    }
}
