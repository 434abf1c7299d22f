//! TLS towards callers: protocols, names, and who may come in.

use std::sync::Arc;
use std::time::Duration;

use bifocal::gateway::Server;
use bifocal::settings::{Settings, Sources, Value};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::authority::*;
use super::support::*;

const SITE: &str = "shop.example";
const ONLY_12: &[&SupportedProtocolVersion] = &[&TLS12];
const ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];

/// A gateway over one service, with a certificate for [`SITE`] and further settings that may name the folder's files.
async fn start(
    authority: &Authority,
    more: impl FnOnce(&std::path::Path) -> Vec<(&'static str, Value)>,
) -> (Service, Gateway) {
    let service = Service::start(echo).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let consumer = "consumer: [certificate.uri, certificate.dns, certificate.subject]\n";
    write_rules(folder.path(), &orders_with(service.addr, consumer));
    authority.issue(&[SITE]).write(folder.path(), "site");
    let mut flags = with_tls(folder.path(), &["site"]);
    flags.extend(more(folder.path()));
    let gateway = Gateway::start_in(folder, flags).await;
    (service, gateway)
}

#[tokio::test]
async fn http1_is_served_over_both_versions_of_tls() {
    let authority = Authority::new("CA");
    let (service, gateway) = start(&authority, |_| vec![]).await;
    for versions in [ONLY_12, ONLY_13] {
        for alpn in [&["http/1.1"][..], &[]] {
            let caller = Caller { alpn, versions, ..Caller::new(&authority) };
            let answer = caller.ask(gateway.tls.unwrap(), SITE, "GET /v2/x", &[]).await.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            let seen = service.take_one();
            assert_eq!(seen.header("x-forwarded-proto"), "https");
            assert_eq!(seen.header("forwarded"), format!("for=127.0.0.1;host=\"{SITE}\";proto=https"));
            assert_eq!(seen.headers.get("x-forwarded-client-cert"), None);
        }
    }
    // The address without TLS is what it was.
    assert_eq!(gateway.ask("GET /v2/x", &[], b"").await.status, 200);
    assert_eq!(service.take_one().header("x-forwarded-proto"), "http");
}

#[tokio::test]
async fn http2_is_served_where_it_is_agreed_upon() {
    let authority = Authority::new("CA");
    let (_service, gateway) = start(&authority, |_| vec![]).await;
    let caller = Caller { alpn: &["h2", "http/1.1"], ..Caller::new(&authority) };
    let stream = caller.connect(gateway.tls.unwrap(), SITE).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let body = format!("[\"{}\"]", "x".repeat(1 << 20));
    let request = http::Request::post(format!("https://{SITE}/v2/files"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.clone())))
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.unwrap().to_bytes() == body);

    // Other protocols are refused in the handshake, and HTTP/2 without an agreement after it.
    let strange = Caller { alpn: &["imap"], ..Caller::new(&authority) };
    assert!(strange.connect(gateway.tls.unwrap(), SITE).await.is_err());
    for alpn in [&["http/1.1"][..], &[]] {
        let caller = Caller { alpn, ..Caller::new(&authority) };
        let mut stream = caller.connect(gateway.tls.unwrap(), SITE).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut told = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut told)).await.unwrap();
        assert_eq!(told, b"");
    }
}

#[tokio::test]
async fn the_oldest_version_is_a_setting() {
    let authority = Authority::new("CA");
    let (_service, gateway) = start(&authority, |_| vec![("tls.oldest", Value::from("1.3"))]).await;
    let old = Caller { versions: ONLY_12, ..Caller::new(&authority) };
    assert!(old.ask(gateway.tls.unwrap(), SITE, "GET /v2/x", &[]).await.is_err());
    let new = Caller { versions: ONLY_13, ..Caller::new(&authority) };
    assert_eq!(new.ask(gateway.tls.unwrap(), SITE, "GET /v2/x", &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_name_picks_the_certificate() {
    let authority = Authority::new("CA");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    write_rules(folder.path(), &orders(None, Some("127.0.0.1:1".parse().unwrap()), "v2"));
    authority.issue(&["first.example"]).write(folder.path(), "first");
    authority.issue(&["a.example", "b.example"]).write(folder.path(), "two");
    authority.issue(&["*.wild.example"]).write(folder.path(), "wild");
    let flags = with_tls(folder.path(), &["first", "two", "wild"]);
    let gateway = Gateway::start_in(folder, flags).await;
    let caller = Caller::new(&authority);
    for name in ["first.example", "a.example", "B.example", "x.wild.example"] {
        caller.connect(gateway.tls.unwrap(), name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["wild.example", "x.y.wild.example", "other.example", "127.0.0.1"] {
        let refused = caller.connect(gateway.tls.unwrap(), name).await.unwrap_err().to_string();
        assert!(refused.contains("not valid for name") && refused.contains("first.example"), "{name}: {refused}");
    }
    // Nor does anybody trust it who does not know its signer.
    let stranger = Caller::new(&Authority::new("another CA"));
    assert!(stranger.connect(gateway.tls.unwrap(), "a.example").await.is_err());
}

fn asks_for(clients: &'static str, names: &[&str]) -> impl FnOnce(&std::path::Path) -> Vec<(&'static str, Value)> {
    let names: Vec<Value> = names.iter().map(|&name| Value::from(name)).collect();
    move |folder| {
        vec![
            ("tls.clients", Value::from(clients)),
            ("tls.client_ca", file(folder, "clients.pem")),
            ("tls.client_names", Value::from(names)),
        ]
    }
}

/// Starts with `callers` as those who sign callers' certificates.
async fn start_asking(
    site: &Authority,
    callers: &Authority,
    clients: &'static str,
    names: &[&str],
) -> (Service, Gateway) {
    let settings = asks_for(clients, names);
    start(site, |folder| {
        write(&folder.join("clients.pem"), &callers.pem);
        settings(folder)
    })
    .await
}

#[tokio::test]
async fn without_a_good_certificate_nobody_gets_in() {
    let (site, callers) = (Authority::new("site"), Authority::new("callers"));
    let allowed = ["spiffe://mesh.example/ns/shop/*", "web.example"];
    let (service, gateway) = start_asking(&site, &callers, "required", &allowed).await;
    let addr = gateway.tls.unwrap();
    let ask =
        async |caller: Caller| caller.ask(addr, SITE, "GET /v2/x", &["X-Forwarded-Client-Cert: Hash=forged"]).await;

    for versions in [ONLY_12, ONLY_13] {
        assert!(ask(Caller { versions, ..Caller::new(&site) }).await.is_err(), "none");
        for (why, issued) in [
            ("another signer", Authority::new("callers").issue(&["web.example"])),
            ("over", callers.issue_until(&["web.example"], 2001)),
            ("not on the list", callers.issue(&["spiffe://mesh.example/ns/bank/web", "db.example"])),
            ("another trust domain", callers.issue(&["spiffe://evil.example/ns/shop/web"])),
            ("two identities", callers.issue(&["spiffe://mesh.example/ns/shop/a", "spiffe://mesh.example/ns/shop/b"])),
            ("no name", callers.issue(&[])),
        ] {
            let refused = ask(Caller { versions, ..Caller::showing(&site, issued) }).await;
            assert!(refused.is_err(), "{why}: {refused:?}");
        }
        assert_eq!(service.take().len(), 0);
        for (names, told) in [
            (&["spiffe://mesh.example/ns/shop/web"][..], ";URI=spiffe://mesh.example/ns/shop/web"),
            (&["web.example", "other.example"], ";DNS=web.example;DNS=other.example"),
        ] {
            let issued = callers.issue(names);
            let hash = sha256(&issued);
            let answer = ask(Caller { versions, ..Caller::showing(&site, issued) }).await.unwrap();
            assert_eq!(answer.status, 200);
            let seen = service.take_one();
            assert_eq!(seen.header("x-forwarded-client-cert"), format!("Hash={hash}{told}"));
            assert_eq!(seen.headers.get_all("x-forwarded-client-cert").iter().count(), 1);
        }
    }
    // Who has several names of a kind is known by another kind.
    let uri = "spiffe://mesh.example/ns/shop/web";
    for (line, consumer) in gateway.access_log(4).await.iter().zip([uri, "rcgen self signed cert"].iter().cycle()) {
        assert_eq!(line["consumer"], *consumer, "{line}");
    }
    let metrics = ask_metrics(&gateway).await;
    assert!(metrics.contains("bifocal_tls_handshakes_total{result=\"ok\"} 4\n"), "{metrics}");
}

fn sha256(issued: &Issued) -> String {
    use sha2::{Digest, Sha256};
    format!("{:x}", Sha256::digest(&issued.der().0[0]))
}

async fn ask_metrics(gateway: &Gateway) -> String {
    ask(gateway.admin, "GET /metrics", &[], b"").await.text().to_owned()
}

#[tokio::test]
async fn a_certificate_may_be_left_out_but_not_be_bad() {
    let (site, callers) = (Authority::new("site"), Authority::new("callers"));
    let (service, gateway) = start_asking(&site, &callers, "optional", &[]).await;
    let addr = gateway.tls.unwrap();
    let forged = ["X-Forwarded-Client-Cert: Hash=forged", "X_Forwarded_Client_Cert: Hash=forged"];
    let answer = Caller::new(&site).ask(addr, SITE, "GET /v2/x", &forged).await.unwrap();
    assert_eq!(answer.status, 200);
    let seen = service.take_one();
    assert!(!format!("{:?}", seen.headers).contains("forged"), "{seen:?}");

    let bad = Caller::showing(&site, Authority::new("callers").issue(&["web.example"]));
    assert!(bad.ask(addr, SITE, "GET /v2/x", &[]).await.is_err());
    let good = Caller::showing(&site, callers.issue(&["web.example"]));
    assert_eq!(good.ask(addr, SITE, "GET /v2/x", &forged).await.unwrap().status, 200);
    assert!(service.take_one().header("x-forwarded-client-cert").ends_with(";DNS=web.example"));
}

#[tokio::test]
async fn nothing_inside_believes_the_callers_word_either() {
    let (site, callers) = (Authority::new("site"), Authority::new("callers"));
    let service = Service::start(echo).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    write_rules(folder.path(), &orders_with(service.addr, "consumer: [header.X-Forwarded-Client-Cert]\n"));
    site.issue(&[SITE]).write(folder.path(), "site");
    write(&folder.path().join("clients.pem"), &callers.pem);
    let mut flags = with_tls(folder.path(), &["site"]);
    flags.extend(asks_for("optional", &[])(folder.path()));
    let gateway = Gateway::start_in(folder, flags).await;
    let forged = ["X-Forwarded-Client-Cert: forged"];
    let own = callers.issue(&["web.example"]);
    let told = format!("Hash={};DNS=web.example", sha256(&own));
    for caller in [Caller::new(&site), Caller::showing(&site, own)] {
        let answer = caller.ask(gateway.tls.unwrap(), SITE, "GET /v2/x", &forged).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let log = gateway.access_log(2).await;
    assert_eq!(
        log.iter().map(|line| line["consumer"].clone()).collect::<Vec<_>>(),
        [serde_json::Value::Null, told.into()]
    );
}

#[tokio::test]
async fn services_need_not_be_told_who_calls() {
    let (site, callers) = (Authority::new("site"), Authority::new("callers"));
    let settings = asks_for("required", &[]);
    let (service, gateway) = start(&site, |folder| {
        write(&folder.join("clients.pem"), &callers.pem);
        let mut settings = settings(folder);
        settings.push(("tls.client_header", Value::from(false)));
        settings
    })
    .await;
    let caller = Caller::showing(&site, callers.issue(&["web.example"]));
    let forged = ["X-Forwarded-Client-Cert: Hash=forged"];
    assert_eq!(caller.ask(gateway.tls.unwrap(), SITE, "GET /v2/x", &forged).await.unwrap().status, 200);
    assert_eq!(service.take_one().headers.get("x-forwarded-client-cert"), None);
}

#[tokio::test]
async fn who_does_not_speak_tls_is_told_so() {
    let authority = Authority::new("CA");
    let (_service, gateway) = start(&authority, |_| vec![("timeouts.handshake", Value::from("200ms"))]).await;
    let addr = gateway.tls.unwrap();
    let told = raw(addr, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answer = parse(&told, false);
    assert_eq!((answer.status, answer.text()), (400, "This port speaks TLS: use https://\n"));
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(raw(addr, b"\0\x01nothing known").await, b"");

    // Nor is anybody waited for.
    for begun in [&b""[..], b"\x16\x03\x01"] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut told = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut told)).await.expect("it waits for ever");
        assert_eq!(told, b"");
    }
    eventually(|| async {
        let metrics = ask_metrics(&gateway).await;
        (metrics.contains("tls_handshakes_total{result=\"plain\"} 2\n")
            && metrics.contains("tls_handshakes_total{result=\"late\"} 2\n"))
        .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_handshakes() {
    let authority = Authority::new("CA");
    let (_service, mut gateway) = start(&authority, |_| vec![("timeouts.handshake", Value::from("1h"))]).await;
    let waiting = TcpStream::connect(gateway.tls.unwrap()).await.unwrap();
    eventually(|| async { ask_metrics(&gateway).await.contains("bifocal_connections 1\n").then_some(()) }).await;
    gateway.stop();
    assert!(tokio::time::timeout(Duration::from_secs(10), gateway.stopped()).await.unwrap());
    drop(waiting);
}

#[tokio::test]
async fn a_gateway_does_not_start_with_bad_certificates_and_says_all_that_is_wrong() {
    let authority = Authority::new("CA");
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    write_rules(path, &orders(None, Some("127.0.0.1:1".parse().unwrap()), "v2"));
    let (one, two) = (authority.issue(&["one.example"]), authority.issue(&["two.example"]));
    Issued { key: two.key.clone(), ..one.clone() }.write(path, "mixed");
    Issued { chain: "no PEM".to_owned(), ..one.clone() }.write(path, "empty");
    Issued { key: one.chain.clone(), ..one.clone() }.write(path, "keyless");
    let mut flags = with_tls(path, &["mixed", "missing", "empty", "keyless"]);
    flags.extend([
        ("listen", Value::from("127.0.0.1:0")),
        ("admin", Value::from("127.0.0.1:0")),
        ("rules", file(path, "rules")),
        ("state", Value::from("")),
        ("upstream_tls.ca", file(path, "")),
    ]);
    let settings = Settings::load(Sources { flags, ..Sources::default() }).unwrap();
    let told = Server::bind(settings).await.unwrap_err().to_string();
    for expected in [
        "mixed.key: is not the key of the first certificate in ",
        "missing.pem: No such file",
        "empty.pem: holds no certificate",
        "keyless.key: holds no private key",
        ": is not a file",
    ] {
        assert!(told.contains(expected), "{expected:?} is missing in:\n{told}");
    }
    assert_eq!(told.lines().count(), 6, "{told}");
}
