mod authority;

use std::{fs, io, os::unix::fs::symlink, path::Path, sync::mpsc};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, date_time_ymd};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustls::{ClientConfig, HandshakeKind, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    join,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::authority::{Authority, Issued};
use super::*;
use crate::config::compiled::ClientCertificates;

/// Longer than any handshake here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A file that is never seen half-written.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// The files of a listener in a folder.
struct Files {
    folder: tempfile::TempDir,
    listen: ListenTls,
}

impl Files {
    fn new(certificates: &[&Issued]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: String| Arc::from(folder.path().join(name));
        let places = (0..certificates.len()).map(|index| CertificateFiles {
            certificate: path(format!("{index}.pem")),
            key: path(format!("{index}-key.pem")),
        });
        let listen = ListenTls {
            certificates: places.collect(),
            clients: None,
        };
        let files = Self { folder, listen };
        for (index, issued) in certificates.iter().enumerate() {
            files.put_certificate(index, issued);
            files.put_key(index, issued);
        }
        files
    }

    fn put_certificate(&self, index: usize, issued: &Issued) {
        write(&self.listen.certificates[index].certificate, &issued.pem);
    }

    fn put_key(&self, index: usize, issued: &Issued) {
        write(&self.listen.certificates[index].key, &issued.key);
    }

    fn ask_clients(&mut self, authority: &Authority, required: bool) {
        let ca: Arc<Path> = self.folder.path().join("ca.pem").into();
        write(&ca, &authority.0.pem());
        self.listen.clients = Some(ClientCertificates { ca, required });
    }
}

type Met = (Option<Stream>, io::Result<TlsStream<TcpStream>>);

/// A client connects and asks for `name`.
async fn meet(tls: &ListenerTls, client: &Arc<ClientConfig>, name: &str) -> Met {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let dismiss = CancellationToken::new();
        tls.handshake(Connection::from(stream), PATIENCE, &dismiss)
            .await
    };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let client = async {
        let stream = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(client.clone())
            .connect(name, stream)
            .await
    };
    join!(server, client)
}

/// The certificate that a client gets to see.
async fn shown(tls: &ListenerTls, client: &Arc<ClientConfig>, name: &str) -> Vec<u8> {
    let (_, met) = meet(tls, client, name).await;
    let met = met.unwrap();
    met.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Each side says something, so that tickets have come as well.
async fn talk((server, client): &mut (Stream, TlsStream<TcpStream>)) {
    client.write_all(b"?").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'?');
    server.write_all(b"!").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'!');
}

fn both((server, client): Met) -> (Stream, TlsStream<TcpStream>) {
    (server.unwrap(), client.unwrap())
}

/// As a reload does it.
fn renew(tls: &ListenerTls, files: &ListenTls) -> Result<(), String> {
    tls.prepare(files).map(|prepared| tls.apply(prepared))
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_others_get_the_first() {
    let authority = Authority::new();
    let first = authority.issue(&["first.example", "127.0.0.1"]);
    let exact = authority.issue(&["API.example"]);
    let any = authority.issue(&["*.corp.example", "*.Deep.corp.example"]);
    let files = Files::new(&[&first, &exact, &any]);
    let tls = ListenerTls::load(&files.listen).unwrap();
    let client = authority.client(None);
    for (name, expected) in [
        ("first.example", &first),
        ("api.example", &exact),
        ("Api.Example", &exact),
        ("other.corp.example", &any),
        ("a.deep.corp.example", &any),
        ("127.0.0.1", &first),
    ] {
        assert_eq!(shown(&tls, &client, name).await, *expected.der, "{name}");
    }
    for name in ["unknown.test", "a.b.corp.example", "corp.example"] {
        // The client refuses it, for it is the first.
        let (_, met) = meet(&tls, &client, name).await;
        let error = met.unwrap_err().to_string();
        assert!(error.contains("first.example"), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_client_without_a_name_gets_the_certificate_whose_key_it_understands() {
    let authority = Authority::new();
    let names = ["a.example", "127.0.0.1"];
    let (ecdsa, rsa) = (authority.issue(&names), authority.issue_rsa(&names));
    let files = Files::new(&[&ecdsa, &rsa]);
    let tls = ListenerTls::load(&files.listen).unwrap();
    let (any, rsa_only) = (authority.client(None), authority.client_of_rsa());
    for (client, name, expected) in [
        (&any, "127.0.0.1", &ecdsa),
        (&any, "a.example", &ecdsa),
        (&rsa_only, "127.0.0.1", &rsa),
        (&rsa_only, "a.example", &rsa),
    ] {
        assert_eq!(shown(&tls, client, name).await, *expected.der, "{name}");
    }
}

#[tokio::test]
async fn the_application_protocol_is_what_the_client_prefers_of_ours() {
    let authority = Authority::new();
    let files = Files::new(&[&authority.issue(&["a.example"])]);
    let tls = ListenerTls::load(&files.listen).unwrap();
    for (offered, expected) in [
        (&[][..], None),
        (&["h2"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["http/1.1", "h2"], Some("h2")),
    ] {
        let mut client = ClientConfig::clone(&authority.client(None));
        client.alpn_protocols = offered.iter().map(|one| one.as_bytes().to_vec()).collect();
        let (server, client) = both(meet(&tls, &Arc::new(client), "a.example").await);
        let agreed = client.get_ref().1.alpn_protocol();
        assert_eq!(agreed, expected.map(str::as_bytes), "{offered:?}");
        let seen = server.selected_alpn_proto().map(|alpn| alpn.to_string());
        assert_eq!(seen.is_some(), expected.is_some(), "{offered:?}");
    }
}

#[tokio::test]
async fn new_handshakes_see_a_new_certificate_and_open_connections_stay() {
    let authority = Authority::new();
    let (old, new) = (
        authority.issue(&["a.example"]),
        authority.issue(&["a.example"]),
    );
    let files = Files::new(&[&old]);
    let tls = ListenerTls::load(&files.listen).unwrap();
    let client = authority.client(None);
    let mut open = both(meet(&tls, &client, "a.example").await);
    files.put_certificate(0, &new);
    files.put_key(0, &new);
    assert_eq!(renew(&tls, &files.listen), Ok(()));
    talk(&mut open).await;
    // Not resumed: a client of its own.
    let other = authority.client(None);
    assert_eq!(shown(&tls, &other, "a.example").await, *new.der);
    let report = tls.report();
    assert_eq!(
        report.certificates[0].fingerprint,
        *Sha256::digest(&new.der)
    );
    assert_eq!(report.problem, None);
}

#[tokio::test]
async fn sessions_are_resumed_over_a_change_but_never_with_client_certificates() {
    let authority = Authority::new();
    let (old, new) = (
        authority.issue(&["a.example"]),
        authority.issue(&["a.example"]),
    );
    let mut files = Files::new(&[&old]);
    let tls = ListenerTls::load(&files.listen).unwrap();
    let client = authority.client(Some(&authority.issue(&["client.example"])));
    let mut kinds = Vec::new();
    for step in 0..5 {
        match step {
            2 => {
                files.put_certificate(0, &new);
                files.put_key(0, &new);
                renew(&tls, &files.listen).unwrap();
            }
            3 => {
                files.ask_clients(&authority, false);
                renew(&tls, &files.listen).unwrap();
            }
            _ => {}
        }
        let mut met = both(meet(&tls, &client, "a.example").await);
        talk(&mut met).await;
        kinds.push(met.1.get_ref().1.handshake_kind().unwrap());
    }
    use HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Full, Resumed, Resumed, Full, Full]);
}

#[test]
fn files_that_cannot_be_used_change_nothing_and_are_reported_when_they_stay() {
    let authority = Authority::new();
    let (old, new) = (
        authority.issue(&["a.example"]),
        authority.issue(&["a.example"]),
    );
    let files = Files::new(&[&old]);
    let tls = ListenerTls::load(&files.listen).unwrap();
    let state = || {
        let report = tls.report();
        let is_new = report.certificates[0].fingerprint == *Sha256::digest(&new.der);
        (is_new, report.problem.clone())
    };
    // In time for the next look.
    files.put_certificate(0, &new);
    tls.look();
    assert_eq!(state(), (false, None));
    files.put_key(0, &new);
    tls.look();
    assert_eq!(state(), (true, None));
    // Not in time.
    files.put_certificate(0, &old);
    tls.look();
    assert_eq!(state(), (true, None));
    tls.look();
    let (is_new, problem) = state();
    let problem = problem.unwrap();
    assert!(is_new && problem.contains("0-key.pem: the key file holds the key of another"));
    fs::remove_file(&files.listen.certificates[0].key).unwrap();
    tls.look();
    let missing = state().1.unwrap();
    assert!(missing.contains("0-key.pem: No such file"), "{missing}");
    files.put_key(0, &old);
    tls.look();
    assert_eq!(state(), (false, None));
    // Whoever asks is told at once, also about other files, whose problem is not this listener's.
    files.put_key(0, &new);
    let refused = renew(&tls, &files.listen).unwrap_err();
    assert_eq!(state(), (false, Some(refused)));
    files.put_key(0, &old);
    tls.look();
    assert_eq!(state(), (false, None));
    let mut others = files.listen.clone();
    others.certificates[0].key = Path::new("/nowhere/key.pem").into();
    assert!(renew(&tls, &others).is_err());
    assert_eq!(state(), (false, None));
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let authority = Authority::new();
    let mut files = Files::new(&[&authority.issue(&["a.example"])]);
    files.ask_clients(&authority, true);
    let tls = Arc::new(ListenerTls::load(&files.listen).unwrap());
    let CertificateFiles { certificate, key } = &files.listen.certificates[0];
    for path in [certificate, key, &files.folder.path().join("ca.pem").into()] {
        let kept = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        mkfifoat(CWD, &**path, Mode::RUSR | Mode::WUSR).unwrap();
        // A thread of its own: it could not be ended.
        let (ended, end) = mpsc::channel();
        let (looking, files) = (tls.clone(), files.listen.clone());
        std::thread::spawn(move || {
            looking.look();
            looking.look();
            ended.send(looking.prepare(&files).err())
        });
        let problem = end.recv_timeout(PATIENCE).expect("nobody waits").unwrap();
        assert!(problem.ends_with("is no regular file"), "{problem}");
        assert_eq!(tls.report().problem, Some(problem));
        fs::remove_file(path).unwrap();
        fs::write(path, kept).unwrap();
        tls.look();
        assert_eq!(tls.report().problem, None);
    }
}

#[test]
fn a_change_is_seen_through_symbolic_links() {
    let authority = Authority::new();
    let (old, new) = (
        authority.issue(&["a.example"]),
        authority.issue(&["a.example"]),
    );
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // As Kubernetes keeps what a secret holds.
    for (version, issued) in [("1", &old), ("2", &new)] {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("tls.crt"), &issued.pem).unwrap();
        fs::write(root.join(version).join("tls.key"), &issued.key).unwrap();
    }
    symlink("1", root.join("data")).unwrap();
    symlink("data/tls.crt", root.join("tls.crt")).unwrap();
    symlink("data/tls.key", root.join("tls.key")).unwrap();
    let tls = ListenerTls::load(&ListenTls {
        certificates: vec![CertificateFiles {
            certificate: root.join("tls.crt").into(),
            key: root.join("tls.key").into(),
        }],
        clients: None,
    })
    .unwrap();
    symlink("2", root.join("new")).unwrap();
    fs::rename(root.join("new"), root.join("data")).unwrap();
    tls.look();
    let report = tls.report();
    assert_eq!(
        report.certificates[0].fingerprint,
        *Sha256::digest(&new.der)
    );
}

#[tokio::test]
async fn clients_are_known_by_verified_certificates_only() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let named = |params: &mut CertificateParams| {
        params.distinguished_name.push(DnType::CommonName, "team-a");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let good = authority.issue_with(&["client.example"], named);
    let foreign = stranger.issue_with(&["client.example"], named);
    let expired = authority.issue_with(&["client.example"], |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let for_servers = authority.issue_with(&["client.example"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let names = vec![
        CertificateName::Common("team-a".into()),
        CertificateName::Dns("client.example".into()),
    ];
    let mut files = Files::new(&[&authority.issue(&["a.example"])]);
    for (asked, name, certificate, expected) in [
        // Accepted or not, and the names.
        (None, "good", Some(&good), Some(None)),
        (Some(false), "none", None, Some(None)),
        (Some(false), "good", Some(&good), Some(Some(&names))),
        (Some(false), "foreign", Some(&foreign), None),
        (Some(false), "expired", Some(&expired), None),
        (Some(true), "none", None, None),
        (Some(true), "good", Some(&good), Some(Some(&names))),
        (Some(true), "foreign", Some(&foreign), None),
        (Some(true), "expired", Some(&expired), None),
        (Some(true), "for servers", Some(&for_servers), None),
    ] {
        match asked {
            None => files.listen.clients = None,
            Some(required) => files.ask_clients(&authority, required),
        }
        let tls = ListenerTls::load(&files.listen).unwrap();
        let client = authority.client(certificate);
        let (server, _) = meet(&tls, &client, "a.example").await;
        let seen = server.map(|stream| {
            let digest = stream.get_ssl_digest().unwrap();
            let peer = digest.extension.get::<PeerNames>().unwrap();
            peer.not_after.map(|_| peer.names.clone())
        });
        let expected = expected.map(|names| names.cloned());
        assert_eq!(seen, expected, "{name}, required: {asked:?}");
    }
}

#[tokio::test]
async fn a_handshake_ends_in_time_and_when_connections_are_dismissed() {
    let authority = Authority::new();
    let files = Files::new(&[&authority.issue(&["a.example"])]);
    let tls = ListenerTls::load(&files.listen).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (at_once, dismissed) = (CancellationToken::new(), CancellationToken::new());
    dismissed.cancel();
    for (sent, limit, dismiss) in [
        // The beginning of a hello.
        (&b"\x16\x03\x01"[..], Duration::from_millis(20), &at_once),
        (b"\x16\x03\x01", PATIENCE, &dismissed),
        (
            b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n",
            PATIENCE,
            &at_once,
        ),
    ] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sent).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let handshake = tls.handshake(Connection::from(stream), limit, dismiss);
        let ended = timeout(PATIENCE / 2, handshake).await;
        assert!(ended.is_ok_and(|stream| stream.is_none()), "{sent:?}");
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
}
