//! What a scanner says of a listener.

use std::{fs, time::Duration};

use gateway::clock::unix_now;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use simulator::Issued;

use crate::{
    sdk::toolchain::{Ran, Sdk},
    support::{
        Gateway,
        tls::{NAMES, Trust},
    },
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Of the profile, all that ring has.
const SUITES: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

#[tokio::test(flavor = "multi_thread")]
async fn listeners_have_mozillas_intermediate_profile_with_either_kind_of_key() {
    let trust = Trust::new();
    let (rsa_authority, rsa) = rsa();
    let pairs = [
        trust.put("ecdsa", &trust.authority.server(&NAMES)),
        trust.put("rsa", &rsa),
    ];
    let trusted = trust.folder().join("trusted.pem");
    let both = trust.authority.certificate_pem() + &rsa_authority;
    fs::write(&trusted, both).unwrap();
    let listeners = pairs.map(|pair| {
        format!("{{ address: \"127.0.0.1:0\", tls: {{ certificates: [{{ {pair} }}] }} }}")
    });
    let mut gateway = Gateway::start(&format!(
        "open: true\nlisten: [{}]\nendpoints:\n  \
         one: {{ url: \"http://127.0.0.1:9\", credential: none, deployments: {{ gpt-4o: {{}} }} }}\n",
        listeners.join(", ")
    ));
    let targets: Vec<String> = gateway
        .logged_events("listening")
        .iter()
        .map(|event| {
            let (_, port) = event["address"].as_str().unwrap().split_once(':').unwrap();
            format!("localhost:{port}")
        })
        .collect();
    assert_eq!(targets.len(), 2);
    let mut arguments = vec![
        "-m",
        "sslyze",
        "--mozilla_config=intermediate",
        "--certinfo_ca_file",
        trusted.to_str().unwrap(),
    ];
    arguments.extend(targets.iter().map(String::as_str));
    let Ran::Passed(output) = Sdk::Sslyze.call(&arguments, &[]).await else {
        return;
    };
    // It is content with a listener that cannot be reached, too.
    for target in &targets {
        let verdict = format!("{target}: OK - Compliant.");
        assert!(output.contains(&verdict), "{output}");
    }
    // And with one that offers less.
    for suite in SUITES {
        assert!(output.contains(suite), "no {suite}:\n{output}");
    }
}

/// An authority, and a server's certificate of it: ring, which the simulator has, makes no keys for RSA.
fn rsa() -> (String, Issued) {
    let key = |pem| KeyPair::from_pem(pem).unwrap();
    let params = |name| {
        let mut params = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + (unix_now() - DAY);
        params.not_after = epoch + (unix_now() + 90 * DAY);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut authority = params("Test authority of RSA");
    authority.subject_alt_names.clear();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority =
        CertifiedIssuer::self_signed(authority, key(include_str!("../../keys/rsa-one.pem")));
    let authority = authority.unwrap();
    let mut server = params(NAMES[0]);
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = key(include_str!("../../keys/rsa-two.pem"));
    let issued = Issued {
        chain_pem: server.signed_by(&key, &authority).unwrap().pem(),
        key_pem: key.serialize_pem(),
    };
    (authority.pem(), issued)
}
