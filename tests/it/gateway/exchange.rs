//! What becomes of messages between two versions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::response::IntoResponse;
use bifocal::settings::Value;

use super::support::*;

#[tokio::test]
async fn an_old_caller_is_served_by_the_new_service() {
    let service = Service::start(|seen| if seen.body.is_empty() { json(NEW) } else { echo(seen) }).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;

    let answer = gateway.ask("GET /v1/orders/7?x=1", &["Authorization: Bearer t"], b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(same(answer.text(), OLD), "{answer:?}");
    assert!(answer.text().contains(r#""note":"\u00e9 1.10""#), "untouched members keep their bytes: {answer:?}");
    assert_eq!(answer.header("bifocal-version"), "asked=v1, served=v2");
    assert_eq!(answer.header("bifocal-generation"), "1");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    let seen = service.take_one();
    assert_eq!(seen.uri, "/v2/orders/7?x=1");
    assert_eq!(seen.header("host"), service.addr.to_string());
    assert_eq!(seen.header("x-forwarded-host"), "localhost");
    assert_eq!(seen.header("authorization"), "Bearer t");
    assert_eq!(seen.header("x-request-id"), answer.header("x-request-id"));

    let answer = gateway.ask("POST /v1/orders", &["Content-Type: application/json"], OLD.as_bytes()).await;
    assert!(same(answer.text(), OLD), "{answer:?}");
    let seen = service.take_one();
    assert!(same(seen.text(), NEW), "{seen:?}");
    assert_eq!(seen.header("content-length"), seen.body.len().to_string());
}

#[tokio::test]
async fn a_new_caller_is_served_by_the_old_service() {
    let service = Service::start(|seen| if seen.body.is_empty() { json(OLD) } else { echo(seen) }).await;
    let gateway = Gateway::start(&orders(Some(service.addr), None, "v1"), vec![]).await;
    let answer = gateway.ask("GET /v2/orders/7", &[], b"").await;
    assert!(same(answer.text(), NEW), "{answer:?}");
    assert_eq!(answer.header("bifocal-version"), "asked=v2, served=v1");
    gateway.ask("POST /v2/orders", &["Content-Type: application/json"], NEW.as_bytes()).await;
    assert!(same(service.take()[1].text(), OLD));
}

#[tokio::test]
async fn a_caller_of_the_version_that_answers_passes_untouched() {
    const ODD: &str = "{\"a\" : 1e400 ,\n\"a\":0.10, \"b\":\"\\u0041\"}";
    let service = Service::start(|seen| {
        let headers =
            [("content-type", "application/json"), ("etag", "\"abc\""), ("connection", "x-hop"), ("x-hop", "1")];
        (headers, seen.body.clone()).into_response()
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let answer = gateway.ask("POST /v2/anything", &["Content-Type: text/odd", "TE: gzip"], ODD.as_bytes()).await;
    assert_eq!(answer.text(), ODD);
    assert_eq!(answer.header("etag"), "\"abc\"");
    assert_eq!(answer.header("x-hop"), "");
    assert_eq!(answer.header("bifocal-version"), "asked=v2, served=v2");
    let seen = service.take_one();
    assert_eq!((seen.text(), seen.header("content-type"), seen.header("te")), (ODD, "text/odd", ""));
}

/// Name, headers, body; status and code of the refusal.
type Refused<'c> = (&'c str, &'c [&'c str], &'c [u8], u16, &'c str);

#[tokio::test]
async fn what_cannot_be_translated_never_passes() {
    let service = Service::start(echo).await;
    let gateway =
        Gateway::start(&orders(None, Some(service.addr), "v2"), vec![("limits.body", Value::from("64 KiB"))]).await;
    let json_type = "Content-Type: application/json";
    let deep = format!("{{\"id\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let large = format!("{{\"id\":\"{}\"}}", "x".repeat(70_000));
    let cases: &[Refused] = &[
        ("syntax", &[json_type], b"{\"id\":}", 400, "json_syntax"),
        ("trailing garbage", &[json_type], b"{}x", 400, "json_syntax"),
        ("not UTF-8", &[json_type], b"{\"id\":\"\xff\"}", 400, "json_encoding"),
        ("twice", &[json_type], b"{\"id\":1,\"id\":2}", 400, "json_duplicate"),
        ("deep", &[json_type], deep.as_bytes(), 400, "json_depth"),
        ("large", &[json_type], large.as_bytes(), 413, "body_too_large"),
        ("empty", &[json_type], b"", 400, "body_missing"),
        ("no type", &[], b"{}", 415, "unsupported_type"),
        ("another type", &["Content-Type: text/plain"], b"{}", 415, "unsupported_type"),
        ("a form", &["Content-Type: application/x-www-form-urlencoded"], b"id=1", 415, "unsupported_type"),
        ("charset", &["Content-Type: application/json; charset=latin1"], b"{}", 415, "unsupported_type"),
        ("unknown coding", &[json_type, "Content-Encoding: compress"], b"{}", 415, "unsupported_coding"),
        ("three codings", &[json_type, "Content-Encoding: gzip, gzip, gzip"], b"{}", 415, "unsupported_coding"),
        ("not gzip", &[json_type, "Content-Encoding: gzip"], b"{}", 400, "corrupt_coding"),
        ("outside the domain", &[json_type], b"{\"state\":\"lost\"}", 422, "value"),
        ("a name that is taken", &[json_type], b"{\"total\":1,\"price\":1}", 422, "collision"),
    ];
    for (name, headers, body, status, code) in cases {
        let answer = gateway.ask("POST /v1/orders", headers, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (*status, *code), "{name}: {answer:?}");
        assert!(service.take().is_empty(), "{name} reached the service");
    }
    // In the caller's terms, without the value.
    let answer = gateway.ask("POST /v1/orders", &[json_type], b"{\"state\":\"s3cret\"}").await;
    assert!(answer.json()["errors"][0]["field"].as_str().unwrap().contains("state"), "{answer:?}");
    assert!(!answer.text().contains("s3cret"), "{answer:?}");
    let answer = gateway.ask("POST /v1/orders", &[json_type], b"{\"id\": nope}").await;
    assert_eq!(answer.json()["offset"], 7, "{answer:?}");
    // Types in any case and vendor types are JSON, too.
    for kind in ["Application/JSON", "application/vnd.acme.v1+json; charset=\"UTF-8\""] {
        let answer = gateway.ask("POST /v1/orders", &[&format!("Content-Type: {kind}")], OLD.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn a_service_that_breaks_its_contract_is_not_shown() {
    let service = Service::start(|seen| match seen.uri.path() {
        "/v2/orders/syntax" => json("{\"id\":"),
        "/v2/orders/type" => ([("content-type", "text/html")], "<p>s3cret</p>").into_response(),
        "/v2/orders/domain" => json("{\"status\":\"s3cret\"}"),
        "/v2/orders/coding" => {
            ([("content-type", "application/json"), ("content-encoding", "rot13")], "{}").into_response()
        }
        "/v2/orders/gzip" => {
            ([("content-type", "application/json"), ("content-encoding", "gzip")], "{}").into_response()
        }
        "/v2/orders/busy" => (
            ::http::StatusCode::TOO_MANY_REQUESTS,
            [("content-type", "text/html"), ("retry-after", "7")],
            "<p>s3cret</p>",
        )
            .into_response(),
        "/v2/orders/wrong" => (
            ::http::StatusCode::NOT_FOUND,
            [("content-type", "application/problem+json")],
            r#"{"member":"price","title":"x"}"#,
        )
            .into_response(),
        _ => status(101),
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for (id, status, code) in [
        ("syntax", 502, "upstream_contract"),
        ("type", 502, "upstream_contract"),
        ("domain", 502, "upstream_contract"),
        ("coding", 502, "upstream_contract"),
        ("gzip", 502, "upstream_contract"),
        ("busy", 429, "upstream_error"),
    ] {
        let answer = gateway.ask(&format!("GET /v1/orders/{id}"), &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{id}: {answer:?}");
        assert!(!answer.text().contains("s3cret"), "{id}: {answer:?}");
        if id == "busy" {
            assert_eq!(answer.header("retry-after"), "7");
        }
    }
    // An error that keeps its contract is the service's own, in the caller's terms.
    let answer = gateway.ask("GET /v1/orders/wrong", &[], b"").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(same(answer.text(), r#"{"field":"price","title":"x"}"#), "{answer:?}");
}

#[tokio::test]
async fn services_that_cannot_be_reached_are_502() {
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let gateway = Gateway::start(&orders(None, Some(closed), "v2"), vec![]).await;
    for path in ["/v1/orders/7", "/v2/orders/7"] {
        let answer = gateway.ask(&format!("GET {path}"), &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
    }
}

#[tokio::test]
async fn services_that_do_not_answer_are_504() {
    let service = Service::start_slow(|_| std::future::pending()).await;
    let flags = vec![("timeouts.response", Value::from("50ms"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let answer = gateway.ask("GET /v1/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "upstream_timeout"));
}

#[tokio::test]
async fn routes_that_no_rule_maps_are_refused() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let answer = gateway.ask("GET /v1/invoices", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "no_route"));
    let answer = gateway.ask("DELETE /v1/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"));
    assert_eq!(answer.header("allow"), "GET, HEAD, PUT");
    assert!(service.take().is_empty());
    // The service's own callers may use whatever it has.
    assert_eq!(gateway.ask("DELETE /v2/invoices", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_body_that_no_rule_reads_streams_through() {
    let service = Service::start(|seen| (seen.body.clone()).into_response()).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let answer = gateway.ask("POST /v1/files", &["Content-Type: application/octet-stream"], &bytes).await;
    assert_eq!((answer.status, answer.body == bytes), (200, true));
    assert_eq!(service.take_one().uri, "/v2/files");
}

#[tokio::test]
async fn a_write_is_put_onto_the_live_document() {
    const LIVE: &str = r#"{"id":7,"price":{"value":"19.99","tax":"1.90"},"status":"OPEN","owner":"new field"}"#;
    let service = Service::start(|seen| match seen.method.as_str() {
        "GET" => ([("content-type", "application/json"), ("etag", "\"e1\"")], LIVE).into_response(),
        _ => echo(seen),
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let body = br#"{"id":7,"total":2500,"state":"open"}"#;
    let answer = gateway.ask("PUT /v1/orders/7", &["Content-Type: application/json"], body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = service.take();
    assert_eq!(seen.iter().map(|one| one.method.as_str()).collect::<Vec<_>>(), ["GET", "PUT"]);
    assert_eq!((seen[0].body.len(), seen[0].header("content-type")), (0, ""));
    assert_eq!(seen[1].header("if-match"), "\"e1\"");
    assert!(
        same(seen[1].text(), r#"{"id":7,"price":{"value":"25.00","tax":"1.90"},"status":"OPEN","owner":"new field"}"#),
        "{}",
        seen[1].text()
    );
    // The caller's own condition is for the same document.
    let stale = ["Content-Type: application/json", "If-Match: \"e0;v1.0a\""];
    assert_eq!(gateway.ask("PUT /v1/orders/7", &stale, body).await.status, 412);
    let fresh = ["Content-Type: application/json", "If-Match: \"e1;v1.0a\""];
    assert_eq!(gateway.ask("PUT /v1/orders/7", &fresh, body).await.status, 200);
}

#[tokio::test]
async fn a_document_that_changes_meanwhile_is_read_again() {
    for (losses, status, puts) in [(2, 200, 3), (9, 409, 3)] {
        let lost = Arc::new(AtomicU32::new(0));
        let service = Service::start(move |seen| match seen.method.as_str() {
            "GET" => ([("content-type", "application/json"), ("etag", "\"e\"")], NEW).into_response(),
            _ if lost.fetch_add(1, Ordering::Relaxed) < losses => super::support::status(412),
            _ => echo(seen),
        })
        .await;
        let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
        let answer = gateway.ask("PUT /v1/orders/7", &["Content-Type: application/json"], OLD.as_bytes()).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(service.take().iter().filter(|seen| seen.method == "PUT").count(), puts);
    }
}

#[tokio::test]
async fn a_document_that_is_not_there_is_created() {
    let service = Service::start(|seen| if seen.method == "GET" { status(404) } else { echo(seen) }).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let answer = gateway.ask("PUT /v1/orders/7", &["Content-Type: application/json"], OLD.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = service.take();
    assert_eq!(seen[1].header("if-none-match"), "*");
    assert!(same(seen[1].text(), NEW));
}

#[tokio::test]
async fn a_body_is_one_document_and_nothing_else_of_the_message() {
    let service = Service::start(echo).await;
    let mut rules = orders(None, Some(service.addr), "v2");
    let route = "{request: [body.x = body.y, path.id, header.X-A = header.X-B], 2XX: [body.x = body.y]}";
    rules[1].1 = format!("routes:\n  - POST /v1/a/{{id}} = POST /v2/a/{{id}}: {route}\n");
    let gateway = Gateway::start(&rules, vec![]).await;
    for body in [
        r#"{"x":1},"header":{"x-evil":"1"}"#,
        r#"{"x":1},"path":{"id":"other"}"#,
        r#"{"x":1},"query":{"a":"1"}"#,
        r#"{"x":1},"status":500"#,
        r#"{"x":1},"cookie":{"a":"1"}"#,
        "1}",
    ] {
        let answer = gateway.ask("POST /v1/a/7", &["Content-Type: application/json"], body.as_bytes()).await;
        let seen = service.take();
        assert!(answer.status == 400 && seen.is_empty(), "{body}: {} {seen:?}", answer.status);
    }
}
