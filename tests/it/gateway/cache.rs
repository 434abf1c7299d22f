//! A real cache in front (nginx) never serves one version's document to callers of another.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum::response::{IntoResponse, Response};

use super::support::*;

/// A running nginx; ended when dropped.
struct Nginx(Child, #[expect(dead_code, reason = "kept for its end")] tempfile::TempDir);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An nginx that caches what the gateway answers, as its own manual says; `None`, said aloud, where there is none.
async fn nginx(gateway: &Gateway) -> Option<(Nginx, std::net::SocketAddr)> {
    let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(program) = program else {
        eprintln!("SKIPPED: there is no nginx to cache with (Debian: apt-get install nginx)");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let temporary: String =
        ["client_body", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {root}/{name};\n")).concat();
    let configuration = format!(
        "daemon off;\nmaster_process off;\npid {root}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
         proxy_cache_path {root}/cache keys_zone=all:1m use_temp_path=off;\n\
         server {{\nlisten 127.0.0.1:{port};\nlocation / {{\n\
         proxy_pass http://{};\nproxy_http_version 1.1;\nproxy_cache all;\nproxy_cache_key $request_uri;\n\
         proxy_cache_revalidate on;\nadd_header X-Cache-Status $upstream_cache_status always;\n}}\n}}\n}}\n",
        gateway.addr
    );
    write(&folder.path().join("nginx.conf"), &configuration);
    let child = Command::new(program)
        .args(["-e", "stderr", "-p"])
        .arg(folder.path())
        .arg("-c")
        .arg(folder.path().join("nginx.conf"))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let nginx = Nginx(child, folder);
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    eventually(|| async move { tokio::net::TcpStream::connect(addr).await.ok() }).await;
    Some((nginx, addr))
}

/// A service whose document may be cached; what cannot be found may be, too.
async fn cacheable(document: &'static str, lifetime: &'static str) -> Service {
    Service::start(move |seen| -> Response {
        let headers = [("content-type", "application/json"), ("etag", "\"e1\""), ("cache-control", lifetime)];
        if seen.uri.path().ends_with("/none") {
            return (http::StatusCode::NOT_FOUND, headers, r#"{"member":"id"}"#).into_response();
        }
        if seen.header("if-none-match") == "\"e1\"" {
            return (http::StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, document).into_response()
    })
    .await
}

fn rules(old: Option<&Service>, new: &Service) -> Vec<(&'static str, String)> {
    let upstream = |service: Option<&Service>| {
        service.map(|service| format!(", upstream: \"http://{}\"", service.addr)).unwrap_or_default()
    };
    let service = format!(
        "versions:\n  v1: {{path: /v1{}}}\n  v2: {{path: /v2{}}}\n\
         negotiate: [path, {{header: API-Version}}, {{media_type: version}}]\n",
        upstream(old),
        upstream(Some(new))
    );
    let mut all = orders(None, Some(new.addr), "v2");
    all[0].1 = service;
    all[1].1.push_str("  - GET /orders/{id} = GET /orders/{id}: {2XX: Order, 4XX: [body.field = body.member]}\n");
    all
}

/// How a caller of each version asks for the same document.
const WAYS: [[(&str, &[&str]); 2]; 3] = [
    [("GET /orders/7", &["API-Version: v1"]), ("GET /orders/7", &["API-Version: v2"])],
    [
        ("GET /orders/8", &["Accept: application/json;version=v1"]),
        ("GET /orders/8", &["Accept: application/json;version=v2"]),
    ],
    [("GET /v1/orders/9", &[]), ("GET /v2/orders/9", &[])],
];

/// Asks for v1, v2 and v1 again, several times over.
async fn ask_in_turns(cache: std::net::SocketAddr) {
    for ways in WAYS {
        let mut tags: [Option<String>; 2] = [None, None];
        for turn in 0..4 {
            for version in [0, 1, 0] {
                let (line, headers) = ways[version];
                let answer = ask(cache, line, headers, b"").await;
                assert_eq!(answer.status, 200, "{line}: {answer:?}");
                assert!(same(answer.text(), [OLD, NEW][version]), "turn {turn} of {line} {headers:?}: {answer:?}");
                assert!(
                    answer.header("bifocal-version").starts_with(&format!("asked=v{},", version + 1)),
                    "{answer:?}"
                );
                let hit = answer.header("x-cache-status");
                let seen = tags[version].is_some();
                assert!(
                    if seen { ["HIT", "REVALIDATED"].contains(&hit) } else { hit == "MISS" },
                    "{line} {headers:?}: {hit}"
                );
                let tag = answer.header("etag").to_owned();
                assert_eq!(tags[version].get_or_insert_with(|| tag.clone()), &tag, "{line} {headers:?}");

                // The cache itself compares conditions with what it has stored for this version.
                let condition = format!("If-None-Match: {tag}");
                let with: Vec<&str> = headers.iter().copied().chain([condition.as_str()]).collect();
                let unchanged = ask(cache, line, &with, b"").await;
                assert_eq!((unchanged.status, unchanged.header("etag")), (304, &*tag));
                let (other_line, other_headers) = ways[1 - version];
                let with: Vec<&str> = other_headers.iter().copied().chain([condition.as_str()]).collect();
                let other = ask(cache, other_line, &with, b"").await;
                assert_eq!(other.status, 200, "{other_line} {with:?} took the other version's tag: {other:?}");
                assert!(same(other.text(), [NEW, OLD][version]), "{other:?}");
                tags[1 - version].get_or_insert_with(|| other.header("etag").to_owned());
            }
        }
        assert_ne!(tags[0], tags[1]);
    }
}

#[tokio::test]
async fn a_cache_keeps_versions_apart() {
    let new = cacheable(NEW, "max-age=60").await;
    let gateway = Gateway::start(&rules(None, &new), vec![]).await;
    let Some((_nginx, cache)) = nginx(&gateway).await else { return };
    ask_in_turns(cache).await;
    assert_eq!(new.take().len(), 6, "everything else came from the cache");

    // Refusals of the gateway's own are not stored, those of the service are, apart.
    for (version, member) in [("v1", "field"), ("v2", "member"), ("v1", "field"), ("v2", "member")] {
        let answer = ask(cache, "GET /orders/none", &[&format!("API-Version: {version}")], b"").await;
        assert_eq!((answer.status, answer.text()), (404, &*format!("{{\"{member}\":\"id\"}}")), "{answer:?}");
    }
    for (version, status) in [("v9", 400), ("v1", 404), ("v9", 400)] {
        let answer = ask(cache, "GET /nothing", &[&format!("API-Version: {version}")], b"").await;
        assert_eq!((answer.status, answer.header("x-cache-status")), (status, "MISS"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_cache_that_asks_again_keeps_versions_apart() {
    // A second is the shortest lifetime that nginx knows; over it, each version is asked for again by its own tag.
    let new = cacheable(NEW, "max-age=1").await;
    let gateway = Gateway::start(&rules(None, &new), vec![]).await;
    let Some((_nginx, cache)) = nginx(&gateway).await else { return };
    for ways in WAYS {
        for ((line, headers), document) in ways.into_iter().zip([OLD, NEW]) {
            let tag = ask(cache, line, headers, b"").await.header("etag").to_owned();
            let again = eventually(|| async {
                let answer = ask(cache, line, headers, b"").await;
                assert!(same(answer.text(), document), "{line} {headers:?}: {answer:?}");
                assert_eq!(answer.header("etag"), tag);
                (answer.header("x-cache-status") == "REVALIDATED").then_some(answer)
            });
            assert_eq!(again.await.status, 200);
        }
    }
    let conditions: Vec<_> = new.take().iter().map(|seen| seen.header("if-none-match").to_owned()).collect();
    assert_eq!(conditions.iter().filter(|condition| *condition == "\"e1\"").count(), 6, "{conditions:?}");
}

#[tokio::test]
async fn a_cache_keeps_the_services_of_two_versions_apart() {
    let (old, new) = (cacheable(OLD, "max-age=60").await, cacheable(NEW, "max-age=60").await);
    let gateway = Gateway::start(&rules(Some(&old), &new), vec![]).await;
    let Some((_nginx, cache)) = nginx(&gateway).await else { return };
    ask_in_turns(cache).await;
    assert_eq!((old.take().len(), new.take().len()), (3, 3));
}
