//! TLS towards services: who they must be, and who the gateway is to them.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use bifocal::settings::Value;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::authority::*;
use super::support::*;

/// A service with this certificate, for those whose certificates `clients` has signed; it echoes. Its protocol, as
/// agreed upon, is in a header of its answers.
async fn serve(shows: &Issued, clients: Option<&Authority>) -> SocketAddr {
    serve_speaking(&["h2", "http/1.1"], shows, clients).await
}

/// The same, speaking these protocols.
async fn serve_speaking(protocols: &[&str], shows: &Issued, clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(signer) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(signer.roots(), provider).build().unwrap(),
        ),
    };
    let (chain, key) = shows.der();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await?;
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let protocol = String::from_utf8_lossy(stream.get_ref().1.alpn_protocol().unwrap_or(b"-")).into_owned();
                let router = Router::new().fallback(move |request: Request| async move {
                    let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
                    let host = host.unwrap_or_else(|| request.uri().authority().unwrap().to_string());
                    let headers =
                        [("content-type", "application/json".to_owned()), ("x-protocol", protocol), ("x-host", host)];
                    (headers, request.into_body())
                });
                let service = TowerToHyperService::new(router);
                let io = TokioIo::new(stream);
                if is_http2 {
                    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = http2.serve_connection(io, service).await;
                } else {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                }
                io::Result::Ok(())
            });
        }
    });
    addr
}

/// A gateway before a service at an address with https.
async fn start(service: &str, more: impl FnOnce(&TempDir) -> Vec<(&'static str, Value)>) -> Gateway {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let plain = "127.0.0.1:1".parse().unwrap();
    let rules = orders(None, Some(plain), "v2");
    let rules: Vec<_> =
        rules.into_iter().map(|(file, text)| (file, text.replace("http://127.0.0.1:1", service))).collect();
    write_rules(folder.path(), &rules);
    let flags = more(&folder);
    Gateway::start_in(folder, flags).await
}

/// The same, where the service is said to speak this.
async fn start_speaking(protocol: &str, service: &str, authority: &Authority) -> Gateway {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let said = format!("{{endpoints: [\"{service}\"], protocol: {protocol}}}");
    let rules = orders(None, Some("127.0.0.1:1".parse().unwrap()), "v2");
    let rules: Vec<_> =
        rules.into_iter().map(|(file, text)| (file, text.replace("\"http://127.0.0.1:1\"", &said))).collect();
    write_rules(folder.path(), &rules);
    let flags = trusting(authority)(&folder);
    Gateway::start_in(folder, flags).await
}

#[tokio::test]
async fn both_sides_agree_on_a_protocol() {
    let authority = Authority::new("services");
    let shows = authority.issue(&["localhost"]);
    for (protocol, speaks, spoken) in [
        ("auto", &["h2", "http/1.1"][..], Some("h2")),
        ("auto", &["http/1.1"], Some("http/1.1")),
        ("http2", &["h2"], Some("h2")),
        ("http1", &["h2", "http/1.1"], Some("http/1.1")),
        ("http2", &["http/1.1"], None),
    ] {
        let addr = serve_speaking(speaks, &shows, None).await;
        let gateway = start_speaking(protocol, &format!("https://localhost:{}", addr.port()), &authority).await;
        for _ in 0..3 {
            let answer = gateway.ask("POST /v1/orders", &["Content-Type: application/json"], OLD.as_bytes()).await;
            let Some(spoken) = spoken else {
                assert_eq!(answer.status, 502, "{protocol} {speaks:?}: {answer:?}");
                continue;
            };
            assert_eq!((answer.status, answer.header("x-protocol")), (200, spoken), "{protocol} {speaks:?}");
            assert_eq!(answer.header("x-host"), format!("localhost:{}", addr.port()));
            assert!(same(answer.text(), OLD), "{}", answer.text());
        }
    }
}

fn trusting(authority: &Authority) -> impl FnOnce(&TempDir) -> Vec<(&'static str, Value)> {
    move |folder| {
        write(&folder.path().join("ca.pem"), &authority.pem);
        vec![("upstream_tls.ca", file(folder.path(), "ca.pem"))]
    }
}

/// What is logged in this process, by whichever thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    fn listen() -> Self {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        logged
    }

    /// What was logged since this was last asked.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_service_that_proves_its_name_is_reached() {
    let authority = Authority::new("services");
    let addr = serve(&authority.issue(&["localhost"]), None).await;
    let gateway = start(&format!("https://localhost:{}/base", addr.port()), trusting(&authority)).await;
    let order = ["Content-Type: application/json"];
    for _ in 0..3 {
        // Translated and untouched, small and large.
        let answer = gateway.ask("POST /v1/orders", &order, OLD.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(same(answer.text(), OLD), "{}", answer.text());
        assert_eq!(answer.header("x-protocol"), "http/1.1");
        assert_eq!(answer.header("x-host"), format!("localhost:{}", addr.port()));
        let large = vec![b'x'; 3 << 20];
        let answer = gateway.ask("POST /v2/files", &[], &large).await;
        assert!(answer.status == 200 && answer.body == large);
    }
}

#[tokio::test]
async fn a_service_of_another_name_or_signer_is_refused_and_only_the_log_says_why() {
    let authority = Authority::new("services");
    let addr = serve(&authority.issue(&["elsewhere.example"]), None).await;
    let at = format!("https://localhost:{}", addr.port());
    let logged = Logged::listen();
    let refused = async |gateway: Gateway, why: &str| {
        logged.take();
        let answer = gateway.ask("GET /v2/x", &[], b"").await;
        assert_eq!((answer.status, answer.code()), (502, "upstream_unreachable".to_owned()));
        let body = answer.text().to_lowercase();
        for word in ["certificate", "localhost", "elsewhere", "issuer", "tls"] {
            assert!(!body.contains(word), "{word}: {body}");
        }
        let text = logged.take();
        assert!(text.contains(why) && text.contains("upstream_unreachable"), "{why:?} is missing in:\n{text}");
    };
    refused(start(&at, trusting(&authority)).await, "not valid for name").await;
    refused(start(&at, trusting(&Authority::new("services"))).await, "invalid peer certificate").await;
    // The platform does not know a signer that was made a moment ago.
    refused(start(&at, |_| vec![]).await, "UnknownIssuer").await;

    let over = serve(&authority.issue_until(&["localhost"], 2001), None).await;
    refused(start(&format!("https://localhost:{}", over.port()), trusting(&authority)).await, "expired").await;
    // A service without TLS is not spoken to without TLS.
    let plain = Service::start(echo).await;
    let gateway = start(&format!("https://localhost:{}", plain.addr.port()), trusting(&authority)).await;
    refused(gateway, "InvalidContentType").await;
    assert_eq!(plain.take().len(), 0);
}

#[tokio::test]
async fn a_service_that_only_listens_does_not_hold_up_a_request() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let gateway = start(&at, |_| vec![("timeouts.connect", Value::from("200ms"))]).await;
    let answer = gateway.ask("GET /v2/x", &[], b"").await;
    assert_eq!((answer.status, answer.code()), (504, "upstream_timeout".to_owned()));
}

#[tokio::test]
async fn the_gateway_shows_who_it_is_and_both_may_change() {
    let (services, gateways) = (Authority::new("services"), Authority::new("gateways"));
    let addr = serve(&services.issue(&["localhost"]), Some(&gateways)).await;
    let at = format!("https://localhost:{}", addr.port());
    let anonymous = start(&at, trusting(&services)).await;
    assert_eq!(anonymous.ask("GET /v2/x", &[], b"").await.status, 502);

    let wrong = Authority::new("strangers");
    let gateway = start(&at, |folder| {
        let path = folder.path();
        wrong.issue(&["gateway.example"]).write(path, "own");
        write(&path.join("ca.pem"), &wrong.pem);
        vec![
            ("upstream_tls.ca", file(path, "ca.pem")),
            ("upstream_tls.chain", file(path, "own.pem")),
            ("upstream_tls.key", file(path, "own.key")),
        ]
    })
    .await;
    let path = gateway.folder.path().to_owned();
    assert_eq!(gateway.ask("GET /v2/x", &[], b"").await.status, 502, "nobody knows anybody");
    write(&path.join("ca.pem"), &services.pem);
    assert_eq!(gateway.reload().await.0, 200);
    assert_eq!(gateway.ask("GET /v2/x", &[], b"").await.status, 502, "the service does not know the gateway");
    gateways.issue(&["gateway.example"]).write(&path, "own");
    assert_eq!(gateway.reload().await.0, 200);
    assert_eq!(gateway.ask("GET /v2/x", &[], b"").await.status, 200);

    // What is bad leaves things as they are.
    write(&path.join("ca.pem"), "nothing");
    write(&path.join("own.key"), "nothing");
    let (status, told) = gateway.reload().await;
    assert_eq!((status, told["refused_certificates"].as_array().unwrap().len()), (422, 2));
    assert_eq!(gateway.ask("GET /v2/x", &[], b"").await.status, 200);
}
