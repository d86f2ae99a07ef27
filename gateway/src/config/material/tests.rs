use rcgen::{
    CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, SanType, SignatureAlgorithm, date_time_ymd,
};

use super::*;

/// A certificate and its key.
fn issued(
    algorithm: &'static SignatureAlgorithm,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let mut params = CertificateParams::new(vec!["api.example".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn pair() -> (String, String) {
    issued(&PKCS_ECDSA_P256_SHA256, |_| {})
}

/// The middle of a block, turned around.
fn garbled(pem: &str) -> String {
    let lines = pem.lines().enumerate().map(|(index, line)| match index {
        2 => line.chars().rev().collect(),
        _ => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

#[test]
fn a_certificate_and_its_key_are_read_with_the_chain() {
    let (_, authority) = pair();
    let (authority_certificate, _) = pair();
    for algorithm in [
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
    ] {
        let (certificate, key) = issued(algorithm, |_| {});
        let chain = format!("a comment\n{certificate}\n{authority_certificate}");
        let read = server_certificate(&chain, &key).unwrap();
        assert_eq!(read.cert.len(), 2, "{algorithm:?}");
        // One file may hold all of it.
        let all = format!("{key}{certificate}");
        assert_eq!(server_certificate(&all, &all).unwrap().cert.len(), 1);
    }
    assert_eq!(certificates(&authority_certificate).unwrap().len(), 1);
    assert!(private_key(&authority).is_ok());
}

#[test]
fn what_cannot_be_used_is_said_with_the_file_to_look_at() {
    let (certificate, key) = pair();
    let (other_certificate, other_key) = pair();
    let cut = &certificate[..certificate.len() - 40];
    let cut_key = &key[..key.len() - 40];
    let garbled_certificate = garbled(&certificate);
    let wrong_order = format!("{other_certificate}{certificate}");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \
                         AES-256-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (chain, key, expected) in [
        (
            "",
            &*key,
            "the certificate file has no CERTIFICATE block: it must be PEM",
        ),
        (
            &*key,
            &*key,
            "the certificate file has no CERTIFICATE block: it must be PEM",
        ),
        (cut, &*key, "the certificate file ends inside a block"),
        (
            &*garbled_certificate,
            &*key,
            "CERTIFICATE block 1 of the certificate file is not an X.509 certificate",
        ),
        (
            "-----BEGIN CERTIFICATE-----\n#?\n-----END CERTIFICATE-----\n",
            &*key,
            "the certificate file has a block that is not PEM",
        ),
        (
            &*certificate,
            "",
            "the key file has no PRIVATE KEY block: it must be PEM",
        ),
        (
            &*certificate,
            &*certificate,
            "the key file has no PRIVATE KEY block: it must be PEM",
        ),
        (&*certificate, cut_key, "the key file ends inside a block"),
        (&*certificate, no_key, "the key file holds a key of a kind"),
        (
            &*certificate,
            encrypted,
            "the key file holds an encrypted key: decrypt it",
        ),
        (
            &*certificate,
            old_encrypted,
            "the key file holds an encrypted key: decrypt it",
        ),
        (
            &*certificate,
            &*other_key,
            "the key file holds the key of another certificate",
        ),
        (
            &*wrong_order,
            &*key,
            "the key file holds the key of another certificate",
        ),
    ] {
        let error = server_certificate(chain, key).unwrap_err();
        assert!(
            error.starts_with(expected),
            "{error}\ninstead of: {expected}"
        );
    }
    let error = certificates("no PEM").unwrap_err();
    assert_eq!(error, "the file has no CERTIFICATE block: it must be PEM");
}

#[test]
fn no_error_shows_a_piece_of_a_key() {
    let (certificate, key) = pair();
    let body = key.lines().nth(1).unwrap();
    for key in [
        key.replace("-----END", "-----"),
        key.replace("-----BEGIN PRIVATE KEY-----", &format!("-----BEGIN {body}")),
        key.replace(body, &format!("{body}#")),
        key.replace(body, &body[..40]),
    ] {
        let error = server_certificate(&certificate, &key).unwrap_err();
        for piece in body.as_bytes().chunks(8) {
            let piece = std::str::from_utf8(piece).unwrap();
            assert!(!error.contains(piece), "{error}");
        }
    }
}

#[test]
fn every_name_of_a_certificate_is_found_and_hosts_are_in_lower_case() {
    let (certificate, _) = issued(&PKCS_ECDSA_P256_SHA256, |params| {
        params.distinguished_name.push(DnType::CommonName, "Team A");
        let text = |text: &str| text.try_into().unwrap();
        params.subject_alt_names = vec![
            SanType::DnsName(text("*.Example.com")),
            SanType::URI(text("spiffe://Example.com/Team-A")),
            SanType::Rfc822Name(text("Team.A@Example.com")),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        params.not_after = date_time_ymd(2030, 1, 2);
    });
    let der = certificates(&certificate).unwrap().remove(0);
    let names = certificate_names(&der);
    assert_eq!(
        names,
        [
            CertificateName::Common("Team A".into()),
            CertificateName::Dns("*.example.com".into()),
            CertificateName::Uri("spiffe://Example.com/Team-A".into()),
            CertificateName::Email("team.a@example.com".into()),
        ]
    );
    assert_eq!(not_after(&der), Some(1_893_542_400));
    let broken = CertificateDer::from(b"no certificate".as_slice());
    assert_eq!(
        (certificate_names(&broken), not_after(&broken)),
        (Vec::new(), None)
    );
}
