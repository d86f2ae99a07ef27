//! Forges tokens.

use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use simulator::forge::Key;

use super::*;

/// Name and token.
pub(super) type Attack = (String, String);

/// What an attacker has: the public documents, good tokens that were seen somewhere, a key of his own and a site.
pub(super) struct Attacker {
    issuer: IdentityControl,
    pub(super) site: RunningIdentity,
    pub(super) good: String,
}

/// The key that the issuer does not publish.
const OWN: usize = 2;

impl Attacker {
    pub(super) async fn new(stage: &Stage) -> Self {
        Self {
            issuer: stage.issuer(),
            site: issuer(IdentityOptions::default()).await,
            good: stage.token(),
        }
    }

    /// Everything.
    pub(super) fn attacks(&self) -> Vec<Attack> {
        [
            self.without_signature(),
            self.with_a_shared_secret(),
            self.with_another_key(),
            self.with_another_algorithm(),
            self.with_another_header(),
            self.with_odd_headers(),
            self.with_other_claims(),
            self.with_odd_claims(),
        ]
        .concat()
    }

    fn header(&self, changes: Value) -> Value {
        but(header(&self.issuer), changes)
    }

    fn claims(&self, changes: Value) -> Value {
        but(claims(&self.issuer), changes)
    }

    /// What the issuer would sign, signed by whoever.
    fn signed(&self, header: Value, key: Key<'_>) -> String {
        forge::sign(&self.header(header), &claims(&self.issuer), key)
    }

    /// What the issuer did sign, whatever it is.
    fn issued(&self, changes: Value) -> String {
        self.issuer.issue(self.claims(changes))
    }

    /// The issuer's signature below texts that are no objects of ours.
    fn texts(&self, header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|text| forge::encode(text.as_bytes()));
        forge::sign_parts(&header, &claims, Key::Rsa(0))
    }

    fn without_signature(&self) -> Vec<Attack> {
        let parts: Vec<&str> = self.good.split('.').collect();
        let (message, signature) = self.good.rsplit_once('.').unwrap();
        let mut attacks = Vec::new();
        for alg in ["none", "None", "NONE", "nOnE", "none ", "", "null"] {
            let token = self.signed(json!({ "alg": alg }), Key::None);
            attacks.push((format!("alg {alg:?}"), token.clone()));
            attacks.push((
                format!("alg {alg:?}, signed"),
                format!("{token}{signature}"),
            ));
            let open = token.trim_end_matches('.').to_owned();
            attacks.push((format!("alg {alg:?}, two parts"), open));
        }
        for alg in [json!(null), json!(0), json!(["RS256"]), json!({})] {
            let token = self.signed(json!({ "alg": alg }), Key::Rsa(0));
            attacks.push((format!("alg {alg}"), token));
        }
        let shapes = [
            ("nothing signed", format!("{message}.")),
            ("two dots missing", self.good.replace('.', "")),
            ("one part", parts[0].to_owned()),
            ("one part and a dot", format!("{}.", parts[0])),
            ("two parts", message.to_owned()),
            ("four parts", format!("{}.{signature}", self.good)),
            ("encrypted, five parts", format!("{}.{message}.", self.good)),
            ("dots", "ey...".to_owned()),
            ("empty claims", format!("{}..{signature}", parts[0])),
            ("a dot too early", format!(".{}", self.good)),
            (
                "same start as a good one",
                format!("{}.AA.AA", &self.good[..20]),
            ),
            (
                "cut in the middle",
                self.good[..self.good.len() / 2].to_owned(),
            ),
            ("last byte cut", self.good[..self.good.len() - 1].to_owned()),
            ("padded", format!("{}==", self.good)),
            ("a word behind", format!("{} x", self.good)),
            ("a list", format!("{0},{0}", self.good)),
            ("quoted", format!("\"{}\"", self.good)),
            ("bearer twice", format!("Bearer {}", self.good)),
            ("other alphabet", self.good.replacen('.', "+.", 1)),
        ];
        let shapes = shapes.map(|(name, token)| (name.to_owned(), token));
        attacks.extend(shapes);
        attacks
    }

    fn with_a_shared_secret(&self) -> Vec<Attack> {
        let pem = forge::public_key_pem(0);
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).unwrap();
        let modulus = forge::modulus(0);
        let n = forge::encode(&modulus);
        let secrets: [(&str, &[u8]); 8] = [
            ("PEM", pem.as_bytes()),
            ("PEM without the last line end", pem.trim_end().as_bytes()),
            ("DER", der.as_ref()),
            ("modulus", &modulus),
            ("n", n.as_bytes()),
            ("oct key", forge::OCT_SECRET),
            ("nothing", b""),
            ("kid", forge::OCT_KID.as_bytes()),
        ];
        let mut attacks = Vec::new();
        for (name, secret) in secrets {
            for kid in [forge::kid(0), forge::OCT_KID.to_owned()] {
                for alg in ["HS256", "hs256", "HS512", "RS256"] {
                    let header = json!({"alg": alg, "kid": kid});
                    let token = self.signed(header, Key::Secret(secret));
                    attacks.push((format!("{alg} of {kid} with {name}"), token));
                }
            }
        }
        attacks
    }

    fn with_another_key(&self) -> Vec<Attack> {
        let own = Key::Rsa(OWN);
        let url = self.site.control().jwks_url();
        let pem = forge::public_key_pem(OWN).lines();
        let x5c: String = pem.filter(|line| !line.starts_with('-')).collect();
        let jwk = json!({
            "kty": "RSA", "use": "sig", "kid": forge::kid(0), "e": "AQAB",
            "n": forge::encode(&forge::modulus(OWN)),
        });
        let kid = forge::kid(OWN);
        let (message, signature) = self.good.rsplit_once('.').unwrap();
        let other = self.issued(json!({"oid": "somebody else"}));
        let (_, other) = other.rsplit_once('.').unwrap();
        let (start, _) = message.split_once('.').unwrap();
        let more = self.claims(json!({"roles": [ROLE, "Chat.Admin"], "exp": unix_secs() + 99_999}));
        let more = forge::encode(more.to_string().as_bytes());
        let attacks = [
            ("not published", self.signed(json!({"kid": kid}), own)),
            (
                "in the name of a published one",
                self.signed(json!({}), own),
            ),
            ("jku", self.signed(json!({"jku": url}), own)),
            (
                "jku and kid",
                self.signed(json!({"jku": url, "kid": kid}), own),
            ),
            ("x5u", self.signed(json!({"x5u": url, "kid": kid}), own)),
            ("x5c", self.signed(json!({"x5c": [x5c], "kid": kid}), own)),
            (
                "x5c of a published kid",
                self.signed(json!({"x5c": [x5c]}), own),
            ),
            ("jwk", self.signed(json!({"jwk": jwk}), own)),
            (
                "jwk and kid",
                self.signed(json!({"jwk": jwk, "kid": kid}), own),
            ),
            (
                "jwk without kid",
                self.signed(json!({"jwk": jwk, "kid": null}), own),
            ),
            ("kid is a URL", self.signed(json!({"kid": url}), own)),
            ("signature of another token", format!("{message}.{other}")),
            ("changed claims", format!("{start}.{more}.{signature}")),
            ("zeros", format!("{message}.{}", forge::encode(&[0; 256]))),
        ];
        attacks.map(|(name, token)| (name.to_owned(), token)).into()
    }

    fn with_another_algorithm(&self) -> Vec<Attack> {
        let ec = forge::ec_kid();
        let attacks = [
            ("RS256 said, ES256 done", self.signed(json!({}), Key::Ec)),
            (
                "RS256 of the P-256 key",
                self.signed(json!({"kid": ec}), Key::Rsa(0)),
            ),
            (
                "ES256 of the RSA key",
                self.signed(json!({"alg": "ES256"}), Key::Ec),
            ),
            (
                "ES256 of the RSA key, RS256 done",
                self.signed(json!({"alg": "ES256"}), Key::Rsa(0)),
            ),
            (
                "ES256 where it is not configured",
                self.signed(json!({"alg": "ES256", "kid": ec}), Key::Ec),
            ),
            (
                "RS512 said",
                self.signed(json!({"alg": "RS512"}), Key::Rsa(0)),
            ),
            (
                "PS256 said",
                self.signed(json!({"alg": "PS256"}), Key::Rsa(0)),
            ),
            (
                "rs256 said",
                self.signed(json!({"alg": "rs256"}), Key::Rsa(0)),
            ),
        ];
        attacks.map(|(name, token)| (name.to_owned(), token)).into()
    }

    /// The issuer's own signature, below a header that it would not write.
    fn with_another_header(&self) -> Vec<Attack> {
        let kids = [
            json!(""),
            json!(null),
            json!(0),
            json!(true),
            json!([forge::kid(0)]),
            json!({"kid": forge::kid(0)}),
            json!("../../../../dev/null"),
            json!("/etc/passwd"),
            json!("' OR 1=1 --"),
            json!("key; DROP TABLE keys"),
            json!("$(reboot)"),
            json!("\u{0}"),
            json!("*"),
            json!(forge::kid(0).to_lowercase()),
            json!(format!(" {}", forge::kid(0))),
            json!(format!("{}\u{0}", forge::kid(0))),
            json!(format!("{}\n", forge::kid(0))),
            json!("k".repeat(8_000)),
        ];
        let mut attacks: Vec<Attack> = kids
            .map(|kid| {
                let token = self.signed(json!({ "kid": kid }), Key::Rsa(0));
                (format!("kid {:.40}", kid.to_string()), token)
            })
            .into();
        let others = [
            json!({"crit": ["exp"]}),
            json!({"crit": []}),
            json!({"crit": ["b64"], "b64": false}),
            json!({"crit": "exp"}),
            json!({"typ": "JWE"}),
            json!({"typ": "dpop+jwt"}),
            json!({"typ": "logout+jwt"}),
        ];
        attacks.extend(others.map(|changes| {
            let token = self.signed(changes.clone(), Key::Rsa(0));
            (format!("header {changes}"), token)
        }));
        attacks
    }

    /// Below a header that two readers could read differently, or nobody.
    fn with_odd_headers(&self) -> Vec<Attack> {
        let kid = forge::kid(0);
        let good = claims(&self.issuer).to_string();
        let texts = [
            format!(r#"{{"alg":"RS256","alg":"none","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"none","alg":"RS256","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"none","\u0061lg":"RS256","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"RS256","kid":"x","kid":"{kid}"}}"#),
            format!(r#"["RS256","{kid}"]"#),
            format!(r#"{{"alg":"RS256","kid":"{kid}"}}{{}}"#),
            format!("\u{feff}{{\"alg\":\"RS256\",\"kid\":\"{kid}\"}}"),
            "{".repeat(2_000),
            "[".repeat(9_000),
            String::new(),
        ];
        let signed = |text: String| (format!("header {text:.60}"), self.texts(&text, &good));
        texts.map(signed).into()
    }

    /// The issuer's own signature, below claims that are not for this gateway or not for now.
    fn with_other_claims(&self) -> Vec<Attack> {
        let now = unix_secs();
        let (v1, v2) = (self.issuer.issuer_v1(), self.issuer.issuer_v2());
        let other = v2.replace("72f988bf", "72f988b0");
        let changes = [
            json!({"iss": other}),
            json!({"iss": format!("{v2}/")}),
            json!({"iss": v1.trim_end_matches('/')}),
            json!({"iss": v2.to_uppercase()}),
            json!({"iss": format!("{v2}.evil.example")}),
            json!({"iss": v2.replace("https", "http")}),
            json!({"iss": [v2, v1]}),
            json!({"iss": null}),
            json!({"iss": ""}),
            json!({"aud": "api://other"}),
            json!({"aud": "api://gateway/"}),
            json!({"aud": "API://GATEWAY"}),
            json!({"aud": ["api://other", "api://gateway2"]}),
            json!({"aud": []}),
            json!({"aud": {"0": AUDIENCE}}),
            json!({"aud": [[AUDIENCE]]}),
            json!({"aud": null}),
            json!({"aud": ""}),
            json!({"aud": "https://cognitiveservices.azure.com"}),
            json!({"aud": "https://cognitiveservices.azure.com/"}),
            json!({"aud": "https://ai.azure.com"}),
            json!({"exp": now - 120}),
            json!({"exp": now - 61}),
            json!({"exp": 0}),
            json!({"exp": -1}),
            json!({"exp": (now + 600).to_string()}),
            json!({"exp": 1e300}),
            json!({"exp": u64::MAX}),
            json!({"exp": (now + 600) * 1000}),
            json!({"exp": null}),
            json!({"nbf": now + 120}),
            json!({"nbf": u64::MAX}),
            json!({"nbf": "0"}),
            json!({"nbf": -1}),
            json!({"nbf": null}),
        ];
        changes
            .map(|changes| (changes.to_string(), self.issued(changes)))
            .into()
    }

    /// The same below claims that two readers could read differently, or nobody.
    fn with_odd_claims(&self) -> Vec<Attack> {
        let header = header(&self.issuer).to_string();
        let good = claims(&self.issuer).to_string();
        let twice = |claim: &str| {
            (
                claim.to_owned(),
                good.replacen('{', &format!("{{{claim},"), 1),
            )
        };
        let mut texts = [
            r#""iss":"https://evil.example""#,
            r#""aud":"api://other""#,
            r#""aud":"api://gateway""#,
            r#""exp":1"#,
            r#""e\u0078p":99999999999"#,
            r#""nbf":1"#,
            r#""roles":["Chat.Use"]"#,
            r#""r\u006fles":[]"#,
            r#""oid":"x""#,
        ]
        .map(twice)
        .to_vec();
        texts.extend([
            ("nested".to_owned(), self.good.clone()),
            (
                "nested as a string".to_owned(),
                format!("\"{}\"", self.good),
            ),
            ("in a list".to_owned(), format!("[{good}]")),
            ("two objects".to_owned(), format!("{good}{good}")),
            ("cut".to_owned(), good[..good.len() - 1].to_owned()),
            ("nothing".to_owned(), String::new()),
            ("null".to_owned(), "null".to_owned()),
            ("deep".to_owned(), "[".repeat(9_000)),
        ]);
        let signed = |(name, text): (String, String)| (name, self.texts(&header, &text));
        texts.into_iter().map(signed).collect()
    }
}
