//! Decides which client a verified token means: the first rule that fits. Pure.
//!
//! What is lacking is told with the words of the configuration, never with those of the token.

use std::{fmt::Write as _, sync::Arc};

use super::claims::{Claims, Words};
use crate::{config::compiled::Rule, ids::ClientName};

/// A text for the log has an end, however many rules there are.
const MISSING_CHARS_MAX: usize = 1000;

/// The place of the client in `clients`.
///
/// # Errors
/// No rule fits; what each of them lacks.
pub(super) fn client(
    rules: &[Rule],
    claims: &Claims,
    clients: &[ClientName],
) -> Result<usize, String> {
    let mut missing = String::new();
    for (place, rule) in rules.iter().enumerate() {
        let lacking = lacking(rule, claims);
        if lacking.is_empty() {
            return Ok(rule.client);
        }
        if missing.len() < MISSING_CHARS_MAX {
            let name = clients.get(rule.client).map_or("", |name| name.as_str());
            let lacking = lacking.join(", ");
            let separator = if missing.is_empty() { "" } else { "; " };
            write!(
                missing,
                "{separator}rule {} (client {name}): {lacking}",
                place + 1
            )
            .expect("a String takes every write");
        }
    }
    if rules.is_empty() {
        missing.push_str("the issuer has no rules");
    }
    if let Some((end, _)) = missing.char_indices().nth(MISSING_CHARS_MAX) {
        missing.truncate(end);
        missing.push('…');
    }
    Err(missing)
}

fn lacking(rule: &Rule, claims: &Claims) -> Vec<String> {
    let application = claims.azp.as_ref().or(claims.appid.as_ref());
    let asked = [
        ("roles", &*rule.roles, claims.roles.as_ref()),
        ("scp", &rule.scp, claims.scp.as_ref()),
        ("azp or appid", &rule.azp, application),
        ("oid", &rule.oid, claims.oid.as_ref()),
        ("groups", &rule.groups, claims.groups.as_ref()),
    ];
    let mut lacking = Vec::new();
    for (claim, wanted, found) in asked {
        if wanted.is_empty() || found.is_some_and(|found| has_any(claim, found, wanted)) {
            continue;
        }
        lacking.push(if found.is_some() {
            format!("{claim} has none of {}", wanted.join(" "))
        } else if claim == "groups" && claims.groups_are_elsewhere() {
            "groups are too many to be in the token (overage), so whether it has one of them is unknown: \
             let the issuer put in assigned groups alone, or use roles"
                .to_owned()
        } else {
            format!("{claim} is not in the token")
        });
    }
    lacking
}

fn has_any(claim: &str, found: &Words, wanted: &[Arc<str>]) -> bool {
    let is_wanted = |word: &str| wanted.iter().any(|wanted| **wanted == *word);
    found.iter().any(|words| match claim {
        "scp" => words.split(' ').any(is_wanted),
        _ => is_wanted(words),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(client: usize, claims: &[(&str, &[&str])]) -> Rule {
        let of = |name: &str| -> Vec<Arc<str>> {
            let of = claims.iter().filter(|(claim, _)| *claim == name);
            of.flat_map(|(_, values)| values.iter().map(|value| Arc::from(*value)))
                .collect()
        };
        Rule {
            client,
            roles: of("roles"),
            scp: of("scp"),
            azp: of("azp"),
            oid: of("oid"),
            groups: of("groups"),
        }
    }

    fn decide(rules: &[Rule], claims: Value) -> Result<usize, String> {
        let names = ["a", "b", "c"].map(|name| ClientName::new(name).unwrap());
        let claims: Claims = serde_json::from_value(claims).unwrap();
        client(rules, &claims, &names)
    }

    #[test]
    fn every_claim_of_a_rule_must_fit_and_of_each_one_value() {
        let roles = [("roles", &["Use", "Admin"][..])];
        let both = [("roles", &["Use"][..]), ("oid", &["o-1"][..])];
        let azp = [("azp", &["app-1"][..])];
        let scp = [("scp", &["llm.use"][..])];
        let groups = [("groups", &["g-1"][..])];
        let cases = [
            (&[][..], json!({}), true),
            (&roles, json!({"roles": ["Admin"]}), true),
            (&roles, json!({"roles": ["x", "Use"]}), true),
            (&roles, json!({"roles": "Use"}), true),
            (&roles, json!({"roles": "Use Admin"}), false),
            (&roles, json!({"roles": ["use"]}), false),
            (&roles, json!({"roles": []}), false),
            (&roles, json!({"roles": {"Use": true}}), false),
            (&roles, json!({"roles": [["Use"]]}), false),
            (&roles, json!({"roles": null}), false),
            (&roles, json!({"groups": ["Use"]}), false),
            (&both, json!({"roles": ["Use"], "oid": "o-1"}), true),
            (&both, json!({"roles": ["Use"], "oid": "o-2"}), false),
            (&both, json!({"oid": "o-1"}), false),
            (&azp, json!({"azp": "app-1"}), true),
            (&azp, json!({"appid": "app-1"}), true),
            (&azp, json!({"azp": "app-2", "appid": "app-1"}), false),
            (&azp, json!({}), false),
            (&scp, json!({"scp": "User.Read llm.use"}), true),
            (&scp, json!({"scp": "llm.user"}), false),
            (&scp, json!({"scp": ["User.Read", "llm.use"]}), true),
            (&groups, json!({"groups": ["g-0", "g-1"]}), true),
            (&groups, json!({"groups": ["g-0"]}), false),
            (&groups, json!({"_claim_names": {"groups": "src1"}}), false),
        ];
        for (claims, token, fits) in cases {
            let decided = decide(&[rule(0, claims)], token.clone());
            assert_eq!(decided.is_ok(), fits, "{claims:?} and {token}: {decided:?}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_names_the_client() {
        let rules = [
            rule(2, &[("roles", &["Admin"])]),
            rule(1, &[("roles", &["Use"])]),
            rule(0, &[]),
        ];
        assert_eq!(decide(&rules, json!({"roles": ["Use", "Admin"]})), Ok(2));
        assert_eq!(decide(&rules, json!({"roles": ["Use"]})), Ok(1));
        assert_eq!(decide(&rules, json!({})), Ok(0));
    }

    #[test]
    fn what_is_missing_is_told_rule_by_rule_without_a_word_of_the_token() {
        let rules = [
            rule(0, &[("roles", &["Use", "Admin"]), ("oid", &["o-1"])]),
            rule(1, &[("groups", &["g-1"])]),
        ];
        let token = json!({"roles": ["hostile\nvalue"], "_claim_names": {"groups": "src1"}});
        assert_eq!(
            decide(&rules, token).unwrap_err(),
            "rule 1 (client a): roles has none of Use Admin, oid is not in the token; \
             rule 2 (client b): groups are too many to be in the token (overage), so whether it has one of \
             them is unknown: let the issuer put in assigned groups alone, or use roles"
        );
        assert_eq!(
            decide(&[], json!({})).unwrap_err(),
            "the issuer has no rules"
        );
        let many: Vec<Rule> = (0..500).map(|_| rule(0, &[("oid", &["ö"])])).collect();
        let text = decide(&many, json!({"oid": "x"})).unwrap_err();
        assert!(text.chars().count() <= MISSING_CHARS_MAX + 1, "{text}");
    }
}
