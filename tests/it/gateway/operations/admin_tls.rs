//! The admin address with TLS.

use std::sync::Arc;

use bifocal::settings::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::authority::*;
use super::super::support::*;

const NAME: &str = "localhost";
const TOKEN: &str = "Authorization: Bearer 0123456789abcdef";

/// A gateway whose operators need TLS and a token.
async fn start(authority: &Authority) -> (Service, Gateway) {
    let service = Service::start(echo).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    write_rules(folder.path(), &orders(None, Some(service.addr), "v2"));
    authority.issue(&[NAME]).write(folder.path(), "admin");
    write(&folder.path().join("token"), "ops 0123456789abcdef\n");
    let flags = vec![
        ("admin_chain", file(folder.path(), "admin.pem")),
        ("admin_key", file(folder.path(), "admin.key")),
        ("admin_token_file", file(folder.path(), "token")),
        ("timeouts.handshake", Value::from("300ms")),
    ];
    (service, Gateway::start_in(folder, flags).await)
}

#[tokio::test]
async fn operators_are_served_over_tls_alone() {
    let authority = Authority::new("CA");
    let (_service, gateway) = start(&authority).await;
    let caller = Caller::new(&authority);
    let ask = async |line: &str, headers: &[&str]| caller.ask(gateway.admin, NAME, line, headers).await.unwrap();
    assert_eq!(ask("GET /readyz", &[]).await.status, 200);
    assert!(ask("GET /metrics", &[]).await.text().contains("bifocal_generation 1"));
    let refused = ask("POST /drain", &["Content-Length: 0"]).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "admin_token"));
    assert_eq!(ask("POST /drain", &["Content-Length: 0", TOKEN]).await.status, 200);
    assert_eq!(ask("GET /readyz", &[]).await.status, 503);
    // Every version that callers may speak, too.
    for version in rustls::ALL_VERSIONS {
        let versions: &'static [_] = vec![*version].leak();
        let caller = Caller { versions, ..Caller::new(&authority) };
        assert_eq!(caller.ask(gateway.admin, NAME, "GET /livez", &[]).await.unwrap().status, 200, "{version:?}");
    }

    // Who does not know whom it speaks to does not get as far as a token.
    let stranger = Caller::new(&Authority::new("another"));
    assert!(stranger.ask(gateway.admin, NAME, "GET /livez", &[TOKEN]).await.is_err());
    // Without TLS nothing is answered that looks like an answer.
    let plain = raw(gateway.admin, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(!plain.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&plain));
}

#[tokio::test]
async fn who_does_not_come_to_an_end_with_the_handshake_is_let_go() {
    let authority = Authority::new("CA");
    let (_service, gateway) = start(&authority).await;
    let mut mute = TcpStream::connect(gateway.admin).await.unwrap();
    let mut half = TcpStream::connect(gateway.admin).await.unwrap();
    half.write_all(b"\x16\x03\x01\x02").await.unwrap();
    assert_eq!(Caller::new(&authority).ask(gateway.admin, NAME, "GET /livez", &[]).await.unwrap().status, 200);
    for stream in [&mut mute, &mut half] {
        let mut bytes = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        assert!(ended.is_ok(), "the connection is closed");
        assert!(bytes.len() < 16, "{bytes:?}");
    }
}

#[tokio::test]
async fn its_certificate_changes_while_it_runs_and_a_bad_one_changes_nothing() {
    let authority = Authority::new("CA");
    let (_service, gateway) = start(&authority).await;
    let shown = async || {
        let stream = Caller::new(&authority).connect(gateway.admin, NAME).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let first = shown().await;
    let next = authority.issue(&[NAME]);
    next.write(gateway.folder.path(), "admin");
    let second = shown().await;
    assert!(second != first && second == next.der().0[0], "the next connection is shown the new one");
    // The key of another certificate.
    write(&gateway.folder.path().join("admin.key"), &authority.issue(&[NAME]).key);
    assert_eq!(shown().await, second);
    assert_eq!(Caller::new(&authority).ask(gateway.admin, NAME, "GET /livez", &[]).await.unwrap().status, 200);
    std::fs::remove_file(gateway.folder.path().join("admin.pem")).unwrap();
    assert_eq!(shown().await, second);
}
