//! Each door of the identity simulator: what it answers and what it refuses.

mod keys;
mod on_demand;

use serde_json::{Value, json};
use simulator::{Door, Identity, IdentityClient, IdentityOptions, RunningIdentity, forge};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::{read_all, request};

const RESOURCE: &str = "https://cognitiveservices.azure.com";
const IMDS: &str = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices.azure.com";
const APP: &str = "/msi/token?api-version=2019-08-01&resource=https://cognitiveservices.azure.com";
const ARC: &str = "/arc/metadata/identity/oauth2/token?api-version=2020-06-01&resource=https://cognitiveservices.azure.com";
const METADATA: &str = "metadata: true\r\n";
const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

/// A machine with an identity of its own and another one, which is an application with a secret too.
fn options() -> IdentityOptions {
    IdentityOptions {
        tenant: "tenant-1".to_owned(),
        clients: vec![
            IdentityClient::new("client-1", "object-1").system_assigned(),
            IdentityClient::new("client-2", "object-2")
                .secret("s3cr&t")
                .resource_id("/subscriptions/1/id-2"),
        ],
        app_service_header: "header-1".to_owned(),
        ..IdentityOptions::default()
    }
}

async fn start(options: IdentityOptions) -> RunningIdentity {
    Identity::start(options).await.expect("a free port")
}

/// Head and body of an answer, which may be none.
async fn raw(
    identity: &RunningIdentity,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> String {
    let mut socket = TcpStream::connect(identity.addr())
        .await
        .expect("the simulator listens");
    let headers = format!("connection: close\r\n{headers}");
    let request = request(method, path, &headers, body);
    socket
        .write_all(request.as_bytes())
        .await
        .expect("the simulator reads");
    read_all(socket).await.0
}

/// Status, head and body of an answer.
async fn call(
    identity: &RunningIdentity,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String, Value) {
    let answer = raw(identity, method, path, headers, body).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head[9..12].parse().expect("a status");
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    (status, head.to_owned(), body)
}

async fn get(identity: &RunningIdentity, path: &str, headers: &str) -> (u16, String, Value) {
    call(identity, "GET", path, headers, "").await
}

/// The claims of the answer's token, after a look at its signer.
fn claims(identity: &RunningIdentity, answer: &Value) -> Value {
    let token = answer["access_token"].as_str().expect("a token");
    let (header, claims) = forge::decode(token).expect("a JWT");
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["kid"], identity.control().current_kid());
    claims
}

#[tokio::test]
async fn a_machine_gets_tokens_of_the_identity_that_it_names() {
    let identity = start(options()).await;
    let cases = [
        ("", "client-1", "object-1"),
        ("&client_id=client-2", "client-2", "object-2"),
        ("&object_id=object-2", "client-2", "object-2"),
        (
            "&msi_res_id=%2Fsubscriptions%2F1%2Fid-2",
            "client-2",
            "object-2",
        ),
        ("&client_id=client-1", "client-1", "object-1"),
    ];
    for (query, client, object) in cases {
        let (status, _, answer) = get(&identity, &format!("{IMDS}{query}"), METADATA).await;
        assert_eq!(status, 200, "{query}: {answer}");
        let fields = answer.as_object().unwrap();
        assert!(fields.values().all(Value::is_string), "{answer}");
        assert_eq!(answer["expires_in"], "3600");
        assert_eq!(answer["resource"], RESOURCE);
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(answer["client_id"], client, "{query}");
        let claims = claims(&identity, &answer);
        assert_eq!(
            claims["exp"].to_string(),
            answer["expires_on"].as_str().unwrap()
        );
        assert_eq!(claims["iss"], "https://sts.windows.net/tenant-1/");
        let named = ["aud", "appid", "oid", "tid", "ver"].map(|name| claims[name].clone());
        assert_eq!(
            named,
            [RESOURCE, client, object, "tenant-1", "1.0"],
            "{query}"
        );
    }
    assert_eq!(identity.control().requests(Door::Imds), 5);
}

#[tokio::test]
async fn a_metadata_service_refuses_what_the_real_one_refuses() {
    let identity = start(options()).await;
    let proxied = "metadata: true\r\nx-forwarded-for: 10.0.0.1\r\n";
    let path = "/metadata/identity/oauth2/token";
    let cases = [
        (IMDS.to_owned(), "", "metadata header"),
        (IMDS.to_owned(), "metadata: True\r\n", "metadata header"),
        (IMDS.to_owned(), proxied, "X-Forwarded-For"),
        (
            format!("{path}?resource={RESOURCE}"),
            METADATA,
            "'api-version'",
        ),
        (
            format!("{path}?api-version=2019-08-01&resource={RESOURCE}"),
            METADATA,
            "not supported",
        ),
        (
            format!("{path}?api-version=2018-02-01"),
            METADATA,
            "'resource'",
        ),
        (format!("{IMDS}%2F.default"), METADATA, "AADSTS500011"),
        (
            format!("{IMDS}&client_id=nobody"),
            METADATA,
            "Identity not found",
        ),
        (
            format!("{IMDS}&client_id=client-1&object_id=object-2"),
            METADATA,
            "Identity not found",
        ),
    ];
    for (path, headers, reason) in &cases {
        let (status, _, answer) = get(&identity, path, headers).await;
        assert_eq!(status, 400, "{path}");
        assert_eq!(answer["error"], "invalid_request", "{path}");
        let description = answer["error_description"].as_str().unwrap();
        assert!(description.contains(reason), "{path}: {description}");
    }
    assert_eq!(identity.control().requests(Door::Imds), cases.len() as u64);
    assert_eq!(call(&identity, "POST", IMDS, METADATA, "").await.0, 404);
}

#[tokio::test]
async fn a_machine_without_an_own_identity_must_name_one_of_several() {
    let user = |n: u8| IdentityClient::new(&format!("client-{n}"), &format!("object-{n}"));
    let cases = [
        (vec![], 400, "Identity not found"),
        (vec![user(1)], 200, ""),
        (
            vec![user(1), user(2)],
            400,
            "Multiple user assigned identities",
        ),
    ];
    for (clients, expected, reason) in cases {
        let options = IdentityOptions {
            clients,
            ..options()
        };
        let (status, _, answer) = get(&start(options).await, IMDS, METADATA).await;
        assert_eq!(status, expected, "{answer}");
        let description = answer["error_description"].as_str().unwrap_or("");
        assert!(description.starts_with(reason), "{description}");
    }
}

#[tokio::test]
async fn app_service_wants_its_header() {
    let identity = start(options()).await;
    let secret = "x-identity-header: header-1\r\n";
    let cases = [
        (APP.to_owned(), secret, 200, "client-1"),
        (format!("{APP}&client_id=client-2"), secret, 200, "client-2"),
        (
            format!("{APP}&principal_id=object-2"),
            secret,
            200,
            "client-2",
        ),
        (
            format!("{APP}&mi_res_id=/subscriptions/1/id-2"),
            secret,
            200,
            "client-2",
        ),
        (format!("{APP}&client_id=nobody"), secret, 400, ""),
        (APP.replace("2019-08-01", "2017-09-01"), secret, 400, ""),
        (APP.to_owned(), "x-identity-header: wrong\r\n", 401, ""),
        (APP.to_owned(), METADATA, 401, ""),
    ];
    for (path, headers, expected, client) in cases {
        let (status, _, answer) = get(&identity, &path, headers).await;
        assert_eq!(status, expected, "{path}: {answer}");
        if status == 200 {
            assert_eq!(answer["client_id"], client, "{path}");
            assert!(answer["expires_on"].is_string(), "{answer}");
            assert!(answer.get("expires_in").is_none(), "{answer}");
            assert_eq!(claims(&identity, &answer)["appid"], client);
        } else {
            assert_eq!(answer["statusCode"], expected, "{answer}");
        }
    }
}

#[tokio::test]
async fn arc_gives_a_token_to_who_can_read_its_file_and_asks_anew_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let identity = start(IdentityOptions {
        arc_key_directory: Some(directory.path().to_owned()),
        ..options()
    })
    .await;
    let (status, head, _) = get(&identity, ARC, METADATA).await;
    assert_eq!(status, 401);
    let (_, realm) = head
        .split_once("www-authenticate: Basic realm=")
        .expect("a challenge");
    let file = std::path::Path::new(realm.lines().next().unwrap());
    assert_eq!(file.parent().unwrap(), directory.path());
    assert_eq!(file.extension().unwrap(), "key");
    let content = std::fs::read_to_string(file).unwrap();
    let shown = format!("{METADATA}authorization: Basic {content}\r\n");
    let (status, _, answer) = get(&identity, ARC, &shown).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["expires_in"], "3600");
    assert_eq!(claims(&identity, &answer)["appid"], "client-1");
    assert_eq!(get(&identity, ARC, &shown).await.0, 401, "shown twice");
    assert_eq!(get(&identity, ARC, "").await.0, 400, "no metadata header");
    assert_eq!(
        get(&start(options()).await, ARC, METADATA).await.0,
        404,
        "no agent"
    );
}

#[tokio::test]
async fn entra_takes_a_secret_or_a_federated_token() {
    let identity = start(IdentityOptions {
        federated_tokens: vec!["pod+token".to_owned()],
        ..options()
    })
    .await;
    let path = "/tenant-1/oauth2/v2.0/token";
    let scope = "scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default";
    let grant = "grant_type=client_credentials";
    let kind =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let forms = [
        format!("{grant}&client_id=client-2&{scope}&client_secret=s3cr%26t"),
        format!("{grant}&client_id=client-1&{scope}&{kind}&client_assertion=pod%2Btoken"),
    ];
    for (form, client) in forms.iter().zip(["client-2", "client-1"]) {
        let (status, _, answer) = call(&identity, "POST", path, FORM, form).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["expires_in"], 3600);
        assert_eq!(answer["token_type"], "Bearer");
        let claims = claims(&identity, &answer);
        assert_eq!(claims["aud"], RESOURCE);
        assert_eq!(claims["appid"], client);
    }
    let seen = identity.control().last(Door::Token).unwrap();
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.form("client_assertion").unwrap(), "pod+token");
    assert_eq!(
        seen.header("content-type").unwrap(),
        "application/x-www-form-urlencoded"
    );

    let secret = "client_secret=s3cr%26t";
    let cases = [
        ("", 400, "invalid_request", 900_144),
        ("grant_type=password", 400, "unsupported_grant_type", 70003),
        (grant, 400, "invalid_request", 900_144),
        (
            &format!("{grant}&client_id=nobody"),
            400,
            "unauthorized_client",
            700_016,
        ),
        (
            &format!("{grant}&client_id=client-2&{scope}"),
            401,
            "invalid_client",
            7_000_218,
        ),
        (
            &format!("{grant}&client_id=client-2&{scope}&client_secret=x"),
            401,
            "invalid_client",
            7_000_215,
        ),
        (
            &format!("{grant}&client_id=client-1&{scope}&{secret}"),
            401,
            "invalid_client",
            7_000_215,
        ),
        (
            &format!("{grant}&client_id=client-2&{secret}"),
            400,
            "invalid_request",
            900_144,
        ),
        (
            &format!("{grant}&client_id=client-2&{secret}&scope=a"),
            400,
            "invalid_scope",
            1_002_012,
        ),
        (
            &format!("{grant}&client_id=client-1&{scope}&{kind}&client_assertion=x"),
            401,
            "invalid_client",
            700_213,
        ),
        (
            &format!("{grant}&client_id=client-1&{scope}&client_assertion=x"),
            400,
            "invalid_request",
            900_144,
        ),
    ];
    for (form, expected, error, code) in cases {
        let (status, _, answer) = call(&identity, "POST", path, FORM, form).await;
        assert_eq!(status, expected, "{form}: {answer}");
        assert_eq!(answer["error"], error, "{form}");
        assert_eq!(answer["error_codes"], json!([code]), "{form}");
        let description = answer["error_description"].as_str().unwrap();
        assert!(
            description.starts_with(&format!("AADSTS{code}: ")),
            "{description}"
        );
    }
    let (status, _, answer) = call(&identity, "POST", path, "", &forms[0]).await;
    assert_eq!(
        (status, &answer["error_codes"]),
        (400, &json!([900_144])),
        "not a form"
    );
    let other = "/tenant-2/oauth2/v2.0/token";
    let (status, _, answer) = call(&identity, "POST", other, FORM, &forms[0]).await;
    assert_eq!(
        (status, &answer["error_codes"]),
        (400, &json!([90002])),
        "another tenant"
    );
}

#[tokio::test]
async fn any_federated_token_does_where_none_is_named() {
    let identity = start(options()).await;
    let form = "grant_type=client_credentials&client_id=client-1&scope=guid/.default\
                &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=a";
    let path = "/tenant-1/oauth2/v2.0/token";
    let (status, _, answer) = call(&identity, "POST", path, FORM, form).await;
    assert_eq!(status, 200, "{answer}");
    let claims = claims(&identity, &answer);
    assert_eq!(
        claims["iss"],
        "https://login.microsoftonline.com/tenant-1/v2.0"
    );
    assert_eq!(
        [&claims["azp"], &claims["ver"]],
        ["client-1", "2.0"],
        "a client id as audience"
    );
}
