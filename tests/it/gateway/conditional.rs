//! Validators, ranges, digests and framing belong to one representation.

use axum::response::{IntoResponse, Response};

use super::support::*;

/// A service whose one document has a tag, a date, digests and ranges.
async fn tagged(tag: &'static str) -> Service {
    Service::start(move |seen| {
        let list = seen.header("if-none-match").to_owned();
        let matches = list.split(',').any(|one| one.trim().trim_start_matches("W/") == tag.trim_start_matches("W/"));
        let since = list.is_empty() && !seen.header("if-modified-since").is_empty();
        if list == "*" || matches || since {
            let headers = [("etag", tag), ("content-length", "999"), ("digest", "x"), ("cache-control", "max-age=60")];
            return (http::StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let headers = [
            ("content-type", "application/json"),
            ("etag", tag),
            ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ("cache-control", "max-age=60, no-transform"),
            ("age", "7"),
            ("content-md5", "x"),
            ("digest", "x"),
            ("content-digest", "x"),
            ("repr-digest", "x"),
            ("accept-ranges", "bytes"),
        ];
        (headers, NEW).into_response()
    })
    .await
}

#[tokio::test]
async fn a_translated_document_has_its_own_validators() {
    let service = tagged("\"e1\"").await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let old = gateway.ask("GET /v1/orders/7", &["Range: bytes=0-3", "If-Range: \"e1\""], b"").await;
    assert_eq!(old.status, 200);
    let tag = old.header("etag").to_owned();
    assert!(tag.starts_with("\"e1;v1.") && tag.ends_with('"'), "{tag}");
    for gone in ["content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"] {
        assert_eq!(old.header(gone), "", "{gone}");
    }
    // What does not depend on the bytes passes.
    assert_eq!(old.header("last-modified"), "Thu, 01 Jan 2026 00:00:00 GMT");
    assert_eq!((old.header("cache-control"), old.header("age")), ("max-age=60, no-transform", "7"));
    let seen = service.take_one();
    assert_eq!((seen.header("range"), seen.header("if-range")), ("", ""));
    let new = gateway.ask("GET /v2/orders/7", &["Range: bytes=0-3"], b"").await;
    assert_eq!((new.header("etag"), new.header("digest")), ("\"e1\"", "x"));
    assert_eq!(service.take_one().header("range"), "bytes=0-3");
    assert_ne!(old.text(), new.text());

    for list in [tag.clone(), format!("\"x\", {tag}"), format!("\"a,b\",W/{tag}"), "*".to_owned()] {
        let unchanged = gateway.ask("GET /v1/orders/7", &[&format!("If-None-Match: {list}")], b"").await;
        assert_eq!((unchanged.status, unchanged.header("etag")), (304, &*tag), "{list}");
        assert_eq!((unchanged.header("content-length"), unchanged.header("digest")), ("", ""), "of another document");
        assert_eq!(unchanged.header("cache-control"), "max-age=60");
        assert!(unchanged.header("vary").to_lowercase().contains("api-version"), "{unchanged:?}");
    }
    // A foreign tag is no condition, and neither is the date that came with it.
    let date = "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT";
    for foreign in ["\"e1\"", "\"e1;v2\"", "\"e1;v1\"", "\"e1;v1.00000000\""] {
        let answer = gateway.ask("GET /v1/orders/7", &[&format!("If-None-Match: {foreign}"), date], b"").await;
        assert_eq!(answer.status, 200, "{foreign}");
    }
    assert_eq!(gateway.ask("GET /v1/orders/7", &[date], b"").await.status, 304);
    // Nor is the old document's tag one of the new document.
    let answer = gateway.ask("GET /v2/orders/7", &[&format!("If-None-Match: {tag}")], b"").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn other_rules_make_other_documents() {
    let service = tagged("\"e1\"").await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let before = gateway.ask("GET /v1/orders/7", &[], b"").await;
    let condition = format!("If-None-Match: {}", before.header("etag"));
    assert_eq!(gateway.ask("GET /v1/orders/7", &[&condition], b"").await.status, 304);
    let rules = std::fs::read_to_string(gateway.rules("orders/v1-v2.yaml")).unwrap();
    write(
        &gateway.rules("orders/v1-v2.yaml"),
        &rules.replace("    - total = price.value: {decimal: 2}", "    - cents = price.value: {decimal: 2}"),
    );
    assert_eq!(gateway.reload().await.0, 200);
    let after = gateway.ask("GET /v1/orders/7", &[&condition], b"").await;
    assert_eq!((after.status, after.json()["cents"].as_u64()), (200, Some(1999)));
    assert_ne!(after.header("etag"), before.header("etag"));
}

#[tokio::test]
async fn weak_tags_stay_weak() {
    let service = tagged("W/\"e1\"").await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let answer = gateway.ask("GET /v1/orders/7", &[], b"").await;
    let tag = answer.header("etag").to_owned();
    assert!(tag.starts_with("W/\"e1;v1."), "{tag}");
    for list in [tag.as_str(), tag.trim_start_matches("W/")] {
        let unchanged = gateway.ask("GET /v1/orders/7", &[&format!("If-None-Match: {list}")], b"").await;
        assert_eq!((unchanged.status, unchanged.header("etag")), (304, &*tag));
    }
}

#[tokio::test]
async fn a_document_that_lost_its_coding_is_only_weakly_the_same() {
    let service = Service::start(|_| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut writer, NEW.as_bytes()).unwrap();
        let headers = [("content-type", "application/json"), ("content-encoding", "gzip"), ("etag", "\"e1\"")];
        (headers, writer.finish().unwrap()).into_response()
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let coded = gateway.ask("GET /v1/orders/7", &["Accept-Encoding: gzip"], b"").await;
    let plain = gateway.ask("GET /v1/orders/7", &[], b"").await;
    assert_eq!((coded.header("content-encoding"), plain.header("content-encoding")), ("gzip", ""));
    assert_eq!(format!("W/{}", coded.header("etag")), plain.header("etag"));
    assert!(same(plain.text(), OLD));
}

#[tokio::test]
async fn two_services_at_one_address_do_not_share_tags() {
    let rules = |old: &Service, new: &Service| {
        let service = format!(
            "versions:\n  v1: {{upstream: \"http://{}\"}}\n  v2: {{upstream: \"http://{}\"}}\n\
             negotiate: [{{header: API-Version}}]\n",
            old.addr, new.addr
        );
        vec![("orders/service.yaml", service), ("orders/v1-v2.yaml", "routes: [\"GET /o = GET /o\"]\n".to_owned())]
    };
    let (old, new) = (tagged("\"e1\"").await, tagged("\"e1\"").await);
    let gateway = Gateway::start(&rules(&old, &new), vec![]).await;
    let first = gateway.ask("GET /o", &["API-Version: v1"], b"").await;
    assert_eq!(first.header("etag"), "\"e1;v1\"");
    let condition = format!("If-None-Match: {}", first.header("etag"));
    assert_eq!(gateway.ask("GET /o", &["API-Version: v1", &condition], b"").await.status, 304);
    assert_eq!(gateway.ask("GET /o", &["API-Version: v2", &condition], b"").await.status, 200);
}

#[tokio::test]
async fn parts_of_bytes_that_no_rule_reads_may_be_asked_for() {
    let service = Service::start(|seen| {
        let headers = [
            ("etag", "\"f1\""),
            ("accept-ranges", "bytes"),
            ("content-range", "bytes 0-1/9"),
            ("digest", "x"),
            ("content-type", "application/octet-stream"),
        ];
        let part = seen.header("range") == "bytes=0-1" && matches!(seen.header("if-range"), "" | "\"f1\"");
        if part {
            (http::StatusCode::PARTIAL_CONTENT, headers, "ab").into_response()
        } else {
            "abcdefghi".into_response()
        }
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let body = b"x";
    let answer = gateway.ask("POST /v1/files", &["Range: bytes=0-1"], body).await;
    assert_eq!((answer.status, answer.text(), answer.header("content-range")), (206, "ab", "bytes 0-1/9"));
    assert_eq!((answer.header("accept-ranges"), answer.header("digest")), ("bytes", "x"));
    let tag = answer.header("etag").to_owned();
    for (if_range, status) in [(tag.as_str(), 206), ("\"f1\"", 200)] {
        let headers = ["Range: bytes=0-1".to_owned(), format!("If-Range: {if_range}")];
        let answer = gateway.ask("POST /v1/files", &headers.each_ref().map(String::as_str), body).await;
        assert_eq!(answer.status, status, "{if_range}");
    }
}

#[tokio::test]
async fn half_a_document_is_never_translated() {
    let service = Service::start(|_| {
        let headers = [("content-type", "application/json"), ("content-range", "bytes 0-1/99")];
        (http::StatusCode::PARTIAL_CONTENT, headers, "{}").into_response()
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let answer = gateway.ask("GET /v1/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_contract"));
}

#[tokio::test]
async fn a_conditional_write_holds_for_the_state_that_was_seen() {
    let service = Service::start(|seen| match (seen.method.as_str(), seen.header("if-match")) {
        ("GET", _) => ([("content-type", "application/json"), ("etag", "\"a,1\"")], NEW).into_response(),
        (_, "\"a,1\"") => echo(seen),
        _ => status(412),
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let tag = gateway.ask("GET /v1/orders/7", &[], b"").await.header("etag").to_owned();
    let put = async |condition: String| {
        let headers = ["Content-Type: application/json".to_owned(), condition];
        gateway.ask("PUT /v1/orders/7", &headers.each_ref().map(String::as_str), OLD.as_bytes()).await.status
    };
    assert_eq!(put(format!("If-Match: {tag}")).await, 200);
    assert_eq!(put(format!("If-Match: \"x\", {tag}")).await, 200);
    assert_eq!(put("If-Match: *".to_owned()).await, 200);
    // `If-Match` compares strongly; other versions' tags never match.
    assert_eq!(put(format!("If-Match: W/{tag}")).await, 412);
    assert_eq!(put("If-Match: \"a,1\"".to_owned()).await, 412);
    assert_eq!(put("If-Match: \"a,0;v1.00\"".to_owned()).await, 412);
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let service = Service::start(|seen| {
        let code = seen.uri.path().rsplit('/').next().unwrap().parse().unwrap();
        (http::StatusCode::from_u16(code).unwrap(), [("content-type", "application/json"), ("digest", "x")])
            .into_response()
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for code in [204, 205, 304] {
        let answer = gateway.ask(&format!("GET /v1/orders/{code}"), &[], b"").await;
        assert_eq!((answer.status, answer.body.len()), (code, 0));
        assert_eq!((answer.header("transfer-encoding"), answer.header("digest")), ("", ""), "{answer:?}");
    }
}

const BY_TYPE: &str = r"
types:
  Order:
    - id
    - total = price.value: {decimal: 2}
    - state = status: {enum: {open: OPEN}}
routes:
  - GET /orders/{id} = GET /orders/{id}: {2XX: Order}
";

#[tokio::test]
async fn a_media_type_keeps_its_name_and_its_callers_version() {
    let service = Service::start(|seen| -> Response {
        let sent = seen.header("accept").to_owned();
        let headers = [("content-type", format!("{sent}; charset=utf-8")), ("api-version", "v2".to_owned())];
        (headers, NEW).into_response()
    })
    .await;
    let rules = vec![
        (
            "orders/service.yaml",
            format!(
                "versions:\n  v1: {{names: [\"1\"]}}\n  v2: {{upstream: \"http://{}\"}}\n\
                 negotiate: [{{header: API-Version}}, {{media_type: version}}]\n",
                service.addr
            ),
        ),
        ("orders/v1-v2.yaml", BY_TYPE.to_owned()),
    ];
    let gateway = Gateway::start(&rules, vec![]).await;
    for (asked, expected) in [("1", "1"), ("v1", "v1"), ("\"1\"", "1")] {
        let accept = format!("Accept: application/vnd.acme.order+json;version={asked}");
        let answer = gateway.ask("GET /orders/7", &[&accept], b"").await;
        let kind = format!("application/vnd.acme.order+json;version={expected}; charset=utf-8");
        assert_eq!((answer.status, answer.header("content-type")), (200, &*kind), "{answer:?}");
        assert_eq!(answer.header("api-version"), "v1");
        assert!(same(answer.text(), OLD));
        let vary = answer.header("vary").to_lowercase();
        assert!(
            ["api-version", "accept", "content-type"].iter().all(|name| vary.split(", ").any(|one| one == *name)),
            "{vary}"
        );
        assert_eq!(service.take_one().header("accept"), "application/vnd.acme.order+json;version=v2");
    }
    let answer = gateway.ask("GET /orders/7", &["API-Version: 1", "Accept: application/json"], b"").await;
    assert_eq!((answer.header("content-type"), answer.header("api-version")), ("application/json; charset=utf-8", "1"));
}

#[tokio::test]
async fn every_negotiated_answer_says_what_it_depends_on() {
    let service = Service::start(|seen| if seen.uri.path().ends_with("/bad") { json("{") } else { json(NEW) }).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for (line, status) in [
        ("GET /v1/orders/7", 200),
        ("GET /v2/orders/7", 200),
        ("GET /v1/orders/bad", 502),
        ("GET /v1/nothing", 404),
        ("DELETE /v1/orders/7", 405),
        ("GET /orders/7", 400),
        ("POST /v1/orders", 400),
    ] {
        let answer = gateway.ask(line, &["Content-Type: application/json"], b"").await;
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(answer.headers.get_all("vary").iter().count(), 1, "{line}: {answer:?}");
        let vary = answer.header("vary").to_lowercase();
        for name in ["api-version", "accept", "content-type", "bifocal-answer"] {
            assert!(vary.split(", ").any(|one| one == name), "{line}: {vary}");
        }
    }
}
