//! What systemd is told, and the sockets that it holds.

use std::{net::TcpListener, os::unix::net::UnixDatagram, process::Stdio};

use rustix::process::Signal;

use crate::support::{CHAT, Fleet, Gateway, PATIENCE, post};

/// What systemd would hear.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn start(config: &str, environment: &[(&str, &str)]) -> (Self, Gateway) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let gateway = Gateway::start_with(config, |command| {
            command
                .env("NOTIFY_SOCKET", &path)
                .envs(environment.iter().copied());
        });
        let manager = Self {
            socket,
            _folder: folder,
        };
        (manager, gateway)
    }

    /// The next message that says more than that it lives.
    fn next(&self) -> String {
        loop {
            let message = self.any();
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }

    fn any(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }
}

const CONFIG: &str = "open: true\n\
    endpoints: { a: { url: \"http://127.0.0.1:9\", credential: none, deployments: { m: {} } } }\n";

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_of_readiness_reloads_hand_overs_and_the_end() {
    let (manager, mut gateway) = Manager::start(CONFIG, &[]);
    assert_eq!(
        manager.next(),
        "READY=1\nSTATUS=serving 1 models of 1 endpoints\n"
    );

    gateway.reload(&[("m: {}", "m: { weight: 2 }")]);
    let reloading = manager.next();
    let time = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .expect(&reloading);
    assert!(
        time.trim().parse::<u64>().is_ok_and(|time| time > 0),
        "{reloading}"
    );
    assert!(manager.next().starts_with("READY=1\n"));
    gateway.reload(&[("m: {}", "m: { wieght: 2 }")]);
    manager.next();
    assert!(manager.next().contains("the last reload failed"));

    gateway.rewrite(&[]);
    gateway.signal(Signal::USR2);
    gateway.handed_over();
    let pid = gateway.serving().as_raw_nonzero();
    assert_eq!(manager.next(), format!("MAINPID={pid}\n"));
    assert!(manager.next().starts_with("READY=1\n"));
    assert!(gateway.ended().await.success());
    gateway.signal(Signal::TERM);
    assert!(manager.next().starts_with("STOPPING=1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_hears_from_a_runtime_that_turns() {
    let (manager, mut gateway) = Manager::start(CONFIG, &[("WATCHDOG_USEC", "20000")]);
    manager.next();
    for _ in 0..3 {
        assert_eq!(manager.any(), "WATCHDOG=1\n");
    }
    // The process that takes over is watched; the old one no longer says that all is well.
    gateway.signal(Signal::USR2);
    // Its socket holds a few messages only; whoever has more to say waits until they are read.
    while !manager.any().starts_with("READY=1\n") {}
    gateway.handed_over();
    assert!(gateway.ended().await.success());
    assert_eq!(manager.any(), "WATCHDOG=1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_systemd_holds_loses_no_connection_when_the_process_dies() {
    let fleet = Fleet::start("").await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let config = format!(
        "listen: [{{ address: \"{address}\" }}]\nopen: true\n\
         credentials: {{ one: {{ api_key: {{ credential: one }} }} }}\n\
         endpoints: {{ a: {{ url: \"{}\", credential: one, deployments: {{ gpt-4o: {{}} }} }} }}\n",
        fleet.simulators[0].url()
    );
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("one"), "key-of-aoi-1\n").unwrap();
    let start = || {
        let listener = socket.try_clone().unwrap();
        Gateway::start_with(&config, |command| {
            // As systemd does: descriptor 3, and the pid of the program.
            let program = command.get_program().to_owned();
            *command = std::process::Command::new("sh");
            let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
            command
                .env("CREDENTIALS_DIRECTORY", credentials.path())
                .args(["-c", script])
                .arg(program)
                .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
        })
    };
    let url = format!(
        "http://{address}/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    );
    let mut first = start();
    assert_eq!(first.address, address);
    assert_eq!(post(&url, CHAT).await.status(), 200);
    first.signal(Signal::KILL);
    first.ended().await;
    // Nobody accepts it yet.
    let waiting = tokio::spawn(async move { post(&url, CHAT).await.status() });
    let mut second = start();
    assert_eq!(waiting.await.unwrap(), 200);
    assert!(!second.logged().contains("inherited socket"));
}
