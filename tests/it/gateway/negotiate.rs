//! How a caller's version is found, over HTTP.

use super::support::*;

#[tokio::test]
async fn every_way_of_naming_a_version() {
    let service = Service::start(|_| json("{}")).await;
    let rules = vec![
        (
            "orders/service.yaml",
            format!(
                "versions:\n  v1: {{path: /v1, names: [\"1\"]}}\n  v2: {{path: /v2, upstream: \"http://{}\"}}\n\
                 negotiate: [path, {{header: API-Version}}, {{query: version}}, {{media_type: version}}]\n",
                service.addr
            ),
        ),
        ("orders/v1-v2.yaml", "routes: [\"GET /o = GET /o\", \"GET /v1/o = GET /v2/o\"]\n".to_owned()),
    ];
    let gateway = Gateway::start(&rules, vec![]).await;
    for (line, headers, expected) in [
        ("GET /v1/o", &[][..], "asked=v1, served=v2"),
        ("GET /v2/o", &[], "asked=v2, served=v2"),
        ("GET /o", &["API-Version: 1"], "asked=v1, served=v2"),
        ("GET /o", &["api-version: v2"], "asked=v2, served=v2"),
        ("GET /o?version=v1", &[], "asked=v1, served=v2"),
        ("GET /o", &["Accept: application/json;version=1"], "asked=v1, served=v2"),
        ("GET /o", &["Accept: a/b;version=v1;q=0.1, a/b;version=v2"], "asked=v2, served=v2"),
        ("GET /v1/o", &["API-Version: v2"], "asked=v1, served=v2"),
    ] {
        let answer = gateway.ask(line, headers, b"").await;
        assert_eq!((answer.status, answer.header("bifocal-version")), (200, expected), "{line} {headers:?}");
        let vary = answer.header("vary").to_lowercase();
        assert!(vary.contains("api-version") && vary.contains("accept"), "{vary}");
    }
    // The service is never told of the other version.
    service.take();
    gateway.ask("GET /o", &["API-Version: 1"], b"").await;
    assert_eq!(service.take_one().header("api-version"), "v2");
    gateway.ask("GET /o?a=1&version=v1", &["Accept: a/b;version=v1;q=0.5"], b"").await;
    let seen = service.take_one();
    assert_eq!((seen.uri.query(), seen.header("accept")), (Some("a=1&version=v2"), "a/b;version=v2;q=0.5"));
    for (line, headers) in [
        ("GET /o", &[][..]),
        ("GET /o", &["API-Version: v9"]),
        ("GET /o", &["API-Version: v1", "API-Version: v2"]),
        ("GET /o?version=11", &[]),
        ("GET /o", &["Accept: a/b;version=11"]),
    ] {
        let answer = gateway.ask(line, headers, b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "unknown_version"), "{line} {headers:?}");
        assert_eq!(answer.json()["versions"], serde_json::json!(["v1", "v2"]));
    }
    assert!(service.take().is_empty());
}

#[tokio::test]
async fn a_tester_chooses_who_answers() {
    let old = Service::start(|_| json(OLD)).await;
    let new = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(Some(old.addr), Some(new.addr), "v2"), vec![]).await;
    for (headers, expected) in [
        (&[][..], "asked=v1, served=v2"),
        (&["Bifocal-Answer: v1"], "asked=v1, served=v1"),
        (&["Bifocal-Answer: v2"], "asked=v1, served=v2"),
    ] {
        let answer = gateway.ask("GET /v1/orders/7", headers, b"").await;
        assert_eq!(answer.header("bifocal-version"), expected);
        assert!(same(answer.text(), OLD));
    }
    assert_eq!((old.take().len(), new.take().len()), (1, 2));
    assert_eq!(gateway.ask("GET /v1/orders/7", &["Bifocal-Answer: v9"], b"").await.status, 400);
}

#[tokio::test]
async fn services_are_told_apart_by_host_and_path() {
    let (a, b) = (Service::start(|_| json("\"a\"")).await, Service::start(|_| json("\"b\"")).await);
    let service = |matching: &str, service: &Service| {
        format!("match: {matching}\nversions:\n  v1: {{upstream: \"http://{}\"}}\ndefault: v1\n", service.addr)
    };
    let rules = vec![
        ("a/service.yaml", service("{hosts: [localhost]}", &a)),
        ("b/service.yaml", service("{hosts: [other.test], paths: [/b]}", &b)),
    ];
    let gateway = Gateway::start(&rules, vec![]).await;
    let ask = async |host: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        parse(&raw(gateway.addr, request.as_bytes()).await, false)
    };
    assert_eq!(ask("localhost:80", "/b").await.text(), "\"a\"");
    assert_eq!(ask("OTHER.test", "/b/c").await.text(), "\"b\"");
    assert_eq!(ask("other.test", "/bc").await.code(), "no_service");
    assert_eq!(ask("third.test", "/b").await.code(), "no_service");
}
