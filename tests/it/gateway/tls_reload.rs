//! Certificates change while the gateway runs, and bad ones change nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bifocal::settings::Value;
use rustls::pki_types::CertificateDer;

use super::authority::*;
use super::support::*;

const SITE: &str = "shop.example";

async fn start(authority: &Authority, names: &[&str], more: Vec<(&'static str, Value)>) -> (Service, Gateway) {
    let service = Service::start(echo).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    write_rules(folder.path(), &orders(None, Some(service.addr), "v2"));
    for name in names {
        authority.issue(&[&format!("{name}.example")]).write(folder.path(), name);
    }
    let mut flags = with_tls(folder.path(), names);
    flags.extend(more);
    (service, Gateway::start_in(folder, flags).await)
}

/// The certificate that is shown for a name.
async fn shown(gateway: &Gateway, authority: &Authority, name: &str) -> CertificateDer<'static> {
    let stream = Caller::new(authority).connect(gateway.tls.unwrap(), name).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

async fn metric(gateway: &Gateway, name: &str) -> Option<f64> {
    let page = ask(gateway.admin, "GET /metrics", &[], b"").await.text().to_owned();
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn expiry(gateway: &Gateway, name: &str) -> String {
    let file = gateway.folder.path().join(format!("{name}.pem"));
    format!("bifocal_certificate_expiry_seconds{{file=\"{}\"}}", file.display())
}

#[tokio::test]
async fn certificates_change_under_traffic_and_no_request_fails() {
    let authority = Authority::new("CA");
    let watched = vec![("reload.watch", Value::from(true)), ("reload.settle", Value::from("20ms"))];
    let (_service, gateway) = start(&authority, &["shop"], watched).await;
    let addr = gateway.tls.unwrap();
    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let (caller, done, asked) = (Caller::new(&authority), done.clone(), asked.clone());
            tokio::spawn(async move {
                while !done.load(Ordering::Acquire) {
                    let answer = caller.ask(addr, SITE, "GET /v2/x", &[]).await.expect("a request failed");
                    assert_eq!(answer.status, 200);
                    asked.fetch_add(1, Ordering::AcqRel);
                }
            })
        })
        .collect();
    // A connection that was there before goes on.
    let mut kept = Caller::new(&authority).connect(addr, SITE).await.unwrap();
    for _ in 0..3 {
        let before = asked.load(Ordering::Acquire);
        let next = authority.issue(&[SITE]);
        next.write(gateway.folder.path(), "shop");
        eventually(|| async { (shown(&gateway, &authority, SITE).await == next.der().0[0]).then_some(()) }).await;
        eventually(|| async { (asked.load(Ordering::Acquire) > before + 3).then_some(()) }).await;
    }
    done.store(true, Ordering::Release);
    for one in asking {
        one.await.unwrap();
    }
    let answer = on(&mut kept).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let replaced = metric(&gateway, "bifocal_certificate_reloads_total{result=\"replaced\"}").await;
    assert!(replaced.is_some_and(|count| count >= 3.0), "{replaced:?}");
    assert_eq!(metric(&gateway, "bifocal_refused_certificates").await, Some(0.0));
}

async fn on(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"GET /v2/x HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    told
}

/// As Kubernetes mounts secrets: the files are links through a link to a folder, and that link is replaced.
#[cfg(unix)]
#[tokio::test]
async fn certificates_behind_a_link_that_is_swapped_are_read() {
    use std::os::unix::fs::symlink;
    let authority = Authority::new("CA");
    let service = Service::start(echo).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    write_rules(folder.path(), &orders(None, Some(service.addr), "v2"));
    let mount = folder.path().join("mount");
    let (first, second) = (authority.issue(&[SITE]), authority.issue(&[SITE]));
    first.write(&mount.join("..first"), "shop");
    second.write(&mount.join("..second"), "shop");
    symlink("..first", mount.join("..data")).unwrap();
    for file in ["shop.pem", "shop.key"] {
        symlink(Path::new("..data").join(file), mount.join(file)).unwrap();
    }
    let mut flags = with_tls(&mount, &["shop"]);
    // No clock: only the change itself can tell.
    flags.extend([("reload.watch", Value::from(true)), ("reload.poll", Value::from("1h"))]);
    let gateway = Gateway::start_in(folder, flags).await;
    assert!(shown(&gateway, &authority, SITE).await == first.der().0[0]);
    symlink("..second", mount.join("..next")).unwrap();
    std::fs::rename(mount.join("..next"), mount.join("..data")).unwrap();
    eventually(|| async { (shown(&gateway, &authority, SITE).await == second.der().0[0]).then_some(()) }).await;
}

#[tokio::test]
async fn a_bad_pair_keeps_the_old_one_and_nothing_else_back() {
    let authority = Authority::new("CA");
    let (_service, gateway) = start(&authority, &["shop", "other"], vec![]).await;
    let path = gateway.folder.path();
    let old = shown(&gateway, &authority, SITE).await;
    assert_eq!(metric(&gateway, &expiry(&gateway, "shop")).await, Some(4_102_444_800.0));

    let (next, strange) = (authority.issue(&[SITE]), authority.issue(&[SITE]));
    let empty = Issued { chain: String::new(), ..next.clone() };
    let broken = Issued { chain: next.chain.replace("MII", "MIJ"), ..next.clone() };
    let mixed = Issued { key: strange.key, ..next.clone() };
    for (bad, cause) in [(mixed, "is not the key"), (empty, "holds no certificate"), (broken, "shop.pem: ")] {
        bad.write(path, "shop");
        let other = authority.issue_until(&["other.example"], 2050);
        other.write(path, "other");
        for _ in 0..2 {
            // It stays wrong for as long as it is.
            let (status, told) = gateway.reload().await;
            assert_eq!(status, 422, "{told}");
            let problems = told["refused_certificates"].as_array().unwrap();
            assert!(problems.len() == 1 && problems[0].as_str().unwrap().contains(cause), "{cause}: {told}");
        }
        assert!(shown(&gateway, &authority, SITE).await == old, "{cause}");
        assert!(shown(&gateway, &authority, "other.example").await == other.der().0[0], "{cause}");
        assert_eq!(metric(&gateway, "bifocal_refused_certificates").await, Some(1.0));
    }
    std::fs::remove_file(path.join("shop.key")).unwrap();
    assert_eq!(gateway.reload().await.0, 422);
    assert!(shown(&gateway, &authority, SITE).await == old);
    assert_eq!(metric(&gateway, "bifocal_certificate_reloads_total{result=\"refused\"}").await, Some(4.0));
    assert_eq!(metric(&gateway, &expiry(&gateway, "shop")).await, Some(4_102_444_800.0));
    assert_eq!(metric(&gateway, &expiry(&gateway, "other")).await, Some(2_524_608_000.0));

    next.write(path, "shop");
    let (status, told) = gateway.reload().await;
    assert_eq!((status, told.get("refused_certificates")), (200, None));
    assert!(shown(&gateway, &authority, SITE).await == next.der().0[0]);
    assert_eq!(metric(&gateway, "bifocal_refused_certificates").await, Some(0.0));
}

#[tokio::test]
async fn an_expired_certificate_is_told_and_served() {
    let authority = Authority::new("CA");
    let (_service, gateway) = start(&authority, &["shop"], vec![]).await;
    let over = authority.issue_until(&[SITE], 2001);
    over.write(gateway.folder.path(), "shop");
    assert_eq!(gateway.reload().await.0, 200);
    assert_eq!(metric(&gateway, &expiry(&gateway, "shop")).await, Some(978_307_200.0));
    let refused = Caller::new(&authority).connect(gateway.tls.unwrap(), SITE).await.unwrap_err().to_string();
    assert!(refused.contains("expired"), "{refused}");
}

#[tokio::test]
async fn who_signs_callers_certificates_changes_at_once_even_for_those_who_were_here() {
    let (site, first, second) = (Authority::new("site"), Authority::new("first"), Authority::new("second"));
    let service = Service::start(echo).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path: &Path = folder.path();
    write_rules(path, &orders(None, Some(service.addr), "v2"));
    site.issue(&[SITE]).write(path, "shop");
    write(&path.join("clients.pem"), &first.pem);
    let mut flags = with_tls(path, &["shop"]);
    flags.extend([("tls.clients", Value::from("required")), ("tls.client_ca", file(path, "clients.pem"))]);
    let gateway = Gateway::start_in(folder.clone(), flags).await;
    // One configuration for all its connections: it would resume its session if it could.
    let config = Arc::new(Caller::showing(&site, first.issue(&["web.example"])).config());
    let ask = async || {
        let stream = tokio::net::TcpStream::connect(gateway.tls.unwrap()).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from(SITE).unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(config.clone()).connect(name, stream).await?;
        std::io::Result::Ok(on_or_error(&mut stream).await?.starts_with("HTTP/1.1 200"))
    };
    assert!(ask().await.unwrap());
    assert!(ask().await.unwrap());

    write(&path.join("clients.pem"), "nothing");
    assert_eq!(gateway.reload().await.0, 422);
    assert!(ask().await.unwrap(), "the old one stays");

    write(&path.join("clients.pem"), &second.pem);
    assert_eq!(gateway.reload().await.0, 200);
    assert!(!ask().await.unwrap_or(false));
    let caller = Caller::showing(&site, second.issue(&["web.example"]));
    assert_eq!(caller.ask(gateway.tls.unwrap(), SITE, "GET /v2/x", &[]).await.unwrap().status, 200);
}

async fn on_or_error(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"GET /v2/x HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").await?;
    let mut told = String::new();
    stream.read_to_string(&mut told).await?;
    Ok(told)
}
