//! What a token says of itself, read strictly and with a limit. Nothing of it is true until its signature has been
//! verified: it only chooses who is asked about that. A field that stands there twice, a date that is no whole number
//! of seconds and a header that must be understood (`crit`) make a token unreadable, for two readers could take
//! it for two things. Headers that say where a key is (`jku`, `x5u`, `jwk`) are never looked at.

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::IgnoredAny};

use super::{Denied, Reason};
use crate::config::compiled::Algorithm;

/// Entra's tokens have one to three KiB, some with many groups have eight.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The end of the year 9999. A later date is one in milliseconds, and its token would never expire.
const DATE_MAX: u64 = 253_402_300_799;

/// A token as it shows itself.
pub(super) struct Shown {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) issuer: String,
    pub(super) audience: Words,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    /// Whether it is there at all, whatever it is.
    #[serde(default, deserialize_with = "there")]
    crit: bool,
}

/// The claims that anybody here asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Claims {
    iss: Option<String>,
    aud: Option<Words>,
    exp: Option<u64>,
    nbf: Option<u64>,
    pub(super) roles: Option<Words>,
    pub(super) scp: Option<Words>,
    pub(super) azp: Option<Words>,
    pub(super) appid: Option<Words>,
    pub(super) oid: Option<Words>,
    pub(super) groups: Option<Words>,
    #[serde(rename = "_claim_names", default)]
    elsewhere: serde_json::Value,
}

impl Claims {
    /// When the token expires; zero, which is long ago, if it does not say so.
    pub(super) fn expiry(&self) -> u64 {
        self.exp.unwrap_or_default()
    }

    /// There are more groups than the issuer writes into a token: it says where to ask instead ("overage").
    pub(super) fn groups_are_elsewhere(&self) -> bool {
        self.elsewhere.get("groups").is_some()
    }
}

/// One string or several. What is neither has no words, so that it fits nothing.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Words {
    One(String),
    Several(Vec<String>),
    Other(IgnoredAny),
}

impl Words {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let words = match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Several(words) => words,
            Self::Other(_) => &[],
        };
        words.iter().map(String::as_str)
    }
}

/// Reads a token.
///
/// # Errors
/// It is none, or one that nobody needs to look at.
pub(super) fn read(token: &str) -> Result<Shown, Denied> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Reason::TooLarge.into());
    }
    // The base64 of every JSON object with a member begins so, and hardly any key does.
    if !token.starts_with("ey") || !token.contains('.') {
        return Err(Denied::NotAToken);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(_signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::Malformed.into());
    };
    let header: Header = part(header)?;
    let is_access_token = header
        .typ
        .as_deref()
        .is_none_or(|typ| typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt"));
    if !is_access_token {
        return Err(Reason::Type.into());
    }
    if header.crit {
        return Err(Reason::CriticalHeader.into());
    }
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::Rs256,
        "ES256" => Algorithm::Es256,
        _ => return Err(Reason::Algorithm.into()),
    };
    let claims: Claims = part(claims)?;
    let dates = [("exp", claims.exp), ("nbf", claims.nbf)];
    for (name, date) in dates {
        match date {
            None => return Err(Reason::MissingClaim(name).into()),
            Some(date) if date > DATE_MAX => return Err(Reason::Malformed.into()),
            Some(_) => {}
        }
    }
    Ok(Shown {
        algorithm,
        kid: header.kid,
        issuer: claims.iss.ok_or(Reason::MissingClaim("iss"))?,
        audience: claims.aud.ok_or(Reason::MissingClaim("aud"))?,
    })
}

/// One part of a token. jsonwebtoken reads the middle one of three without a key, so it is put there: what
/// decodes it is then what decodes it when the token is verified, and the two cannot disagree.
fn part<T: DeserializeOwned>(part: &str) -> Result<T, Reason> {
    jsonwebtoken::dangerous::insecure_decode_claims(format!(".{part}."))
        .map_err(|_| Reason::Malformed)
}

fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}
