//! Callers who mean harm, or whose software is broken.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bifocal::settings::Value;

use super::support::*;

const JSON: &str = "Content-Type: application/json";

/// A request that must never be seen as one.
const SMUGGLED: &str = "GET /v2/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends bytes with a request hidden behind them; answers the statuses that came back.
async fn statuses(gateway: &Gateway, bytes: &str) -> Vec<u16> {
    let answer = raw(gateway.addr, bytes.as_bytes()).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.match_indices("HTTP/1.1 ").map(|(at, word)| text[at + word.len()..][..3].parse().unwrap()).collect()
}

#[tokio::test]
async fn lengths_and_chunks_have_one_spelling() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let post = "POST /v2/a HTTP/1.1\r\nHost: a\r\n";
    let length = |value: &str| format!("{post}Content-Length: {value}\r\n\r\n{SMUGGLED}");
    let chunks = |chunks: &str| format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunks}{SMUGGLED}");
    let mut cases: Vec<String> =
        ["", "+3", "-3", "0x3", "3_0", "3, 3", "3 3", "99999999999999999999999", "3\u{b}"].map(length).into();
    cases.extend(
        ["0x3", "+3", "-3", " 3", "3_0", "g", "", "fffffffffffffffff"]
            .map(|size| chunks(&format!("{size}\r\nabc\r\n0\r\n\r\n"))),
    );
    cases.extend(
        [
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabcX\r\n0\r\n\r\n",
            "3;a\nb\r\nabc\r\n0\r\n\r\n",
            "3;a\rb\r\nabc\r\n0\r\n\r\n",
            "3\rabc\r\n0\r\n\r\n",
        ]
        .map(chunks),
    );
    let value = |value: &str| format!("{post}Transfer-Encoding: {value}\r\n\r\n0\r\n\r\n{SMUGGLED}");
    cases.extend(
        ["xchunked", "identity", "chunked, chunked", "\u{b}chunked", "chunked\u{c}", "chunked;q=1", "\"chunked\""]
            .map(value),
    );
    for bytes in cases {
        let statuses = statuses(&gateway, &bytes).await;
        assert!(
            statuses.len() <= 1 && statuses.iter().all(|status| (400..=501).contains(status)),
            "{bytes:?}: {statuses:?}"
        );
        assert!(service.take().is_empty(), "{bytes:?} reached the service");
    }
}

#[tokio::test]
async fn floods_inside_chunks_end_soon() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let post = "POST /v2/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    for flood in [
        format!("{post}3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(1 << 20)),
        format!("{post}{}0\r\n\r\n", "1;xxxxxxxxxxxxxxxx\r\na\r\n".repeat(20_000)),
        format!("{post}0\r\n{}\r\n", "A: b\r\n".repeat(50_000)),
    ] {
        let begun = Instant::now();
        let statuses = statuses(&gateway, &flood).await;
        assert!(statuses.iter().all(|status| (400..=431).contains(status)), "{statuses:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(service.take().is_empty());
    }
}

#[tokio::test]
async fn a_body_that_looks_like_a_request_is_none() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST"] {
        let bytes = format!(
            "{method} /v2/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
            SMUGGLED.len()
        );
        assert_eq!(statuses(&gateway, &bytes).await.len(), 1, "{method}");
        let seen = service.take();
        assert!(seen.len() <= 1 && seen.iter().all(|seen| seen.uri == "/v2/a"), "{method}: {seen:?}");
    }
    // Bytes after an upgrade that nobody agreed to are the next request, and no tunnel.
    let bytes = "GET /v2/a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n\
        GET /v2/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answered = statuses(&gateway, bytes).await;
    assert!(!answered.contains(&101), "{answered:?}");
    assert!(
        service
            .take()
            .iter()
            .all(|seen| seen.headers.get("upgrade").is_none() && seen.headers.get("http2-settings").is_none())
    );
}

#[tokio::test]
async fn what_is_left_of_a_refused_body_is_no_request() {
    let service = Service::start(echo).await;
    let flags = vec![("limits.body", Value::from("1 KiB"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let body = SMUGGLED.repeat(100);
    let last = "GET /v2/last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (line, headers) in [
        ("POST /v1/nowhere", JSON),
        ("POST /v1/orders", "Content-Type: text/plain"),
        ("POST /v1/orders", JSON),
        ("POST /v1/orders", "Content-Type: application/json\r\nContent-Encoding: compress"),
        ("POST /v9/orders", JSON),
    ] {
        for expects in ["", "Expect: 100-continue\r\n"] {
            let bytes = format!(
                "{line} HTTP/1.1\r\nHost: a\r\n{headers}\r\n{expects}Content-Length: {}\r\n\r\n{body}{last}",
                body.len()
            );
            let statuses: Vec<u16> =
                statuses(&gateway, &bytes).await.into_iter().filter(|status| *status != 100).collect();
            // Either the connection ends, or what comes next on it is the next request.
            assert!((400..500).contains(&statuses[0]), "{line} {headers}: {statuses:?}");
            assert!(matches!(statuses[1..], [] | [200]), "{line} {headers}: {statuses:?}");
            assert!(service.take().iter().all(|seen| seen.uri == "/v2/last"), "{line} {headers}");
        }
    }
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_a_row() {
    let service = Service::start(|seen| json(format!("{{\"id\":{:?}}}", seen.uri.path()))).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let mut bytes = String::new();
    for number in 0..100 {
        if number % 3 == 0 {
            write!(bytes, "POST /v2/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{{}}").unwrap();
        } else {
            write!(bytes, "GET /v2/{number} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        }
    }
    bytes += "GET /v2/last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = String::from_utf8(raw(gateway.addr, bytes.as_bytes()).await).unwrap();
    let order: Vec<&str> = answer.split("{\"id\":\"/v2/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).chain(["last".to_owned()]).collect();
    assert_eq!(order, expected);
}

#[tokio::test]
async fn no_number_and_no_text_costs_more_than_its_length() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let translated = |value: &str| format!("{{\"id\":{value},\"state\":\"open\"}}");
    let million = "7".repeat(1_000_000);
    for number in ["1e1000000000", "-1E-999999999", &million, "1e400", "18446744073709551616", "1.10", "-0"] {
        let begun = Instant::now();
        let answer = gateway.ask("POST /v1/orders", &[JSON], translated(number).as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(service.take_one().text().contains(&format!("\"id\":{number},")), "its text is its own");
        // A rule that works with it says no, as soon.
        let answer = gateway.ask("POST /v1/orders", &[JSON], format!("{{\"total\":{number}}}").as_bytes()).await;
        assert!(matches!(answer.status, 200 | 422), "{number:.20}: {answer:?}");
        service.take();
        assert!(begun.elapsed() < Duration::from_secs(5), "{number:.20}: {:?}", begun.elapsed());
    }
    let wide: [u8; 14] = *b"{\0\"\0a\0\"\0:\0\x31\0}\0";
    for bad in [
        br#"{"id":"\ud800"}"#.as_slice(),
        br#"{"id":"\udc00\ud800"}"#,
        b"{\"id\":\"\xc0\xaf\"}",
        b"{\"id\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf{\"id\":1}",
        &wide,
        b"{\"id\":\"a\x00b\"}",
    ] {
        let answer = gateway.ask("POST /v1/orders", &[JSON], bad).await;
        assert!(matches!(answer.code().as_str(), "json_syntax" | "json_encoding"), "{bad:?}: {answer:?}");
        assert!(service.take().is_empty());
    }
}

#[tokio::test]
async fn depth_is_refused_before_it_hurts() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for depth in [126, 127, 128, 500, 10_000, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for whole in [true, false] {
                let close = if whole { close.repeat(depth) } else { String::new() };
                let body = format!("{{\"id\":{}1{close}}}", open.repeat(depth));
                let answer = gateway.ask("POST /v1/orders", &[JSON], body.as_bytes()).await;
                let expected = if depth < 128 && whole { &[200][..] } else { &[400, 413] };
                assert!(expected.contains(&answer.status), "{depth} {open}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn wide_documents_are_read_in_a_time_like_their_size() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let members: Vec<String> = (0..100_000).map(|number| format!("\"k{number}\":{number}")).collect();
    for body in [
        format!("{{\"id\":[{}0]}}", "0,".repeat(1_000_000)),
        format!("{{\"id\":{{{}}}}}", members.join(",")),
        format!("{{\"id\":1,{}}}", members.join(",")),
        format!("{{\"id\":1,{},\"k5\":1}}", members.join(",")),
    ] {
        let begun = Instant::now();
        let answer = gateway.ask("POST /v1/orders", &[JSON], body.as_bytes()).await;
        assert!(matches!(answer.status, 200 | 400 | 413), "{}", answer.status);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

const PLACES: &str = r"
routes:
  - POST /v1/map = POST /v2/users/{id}/orders:
      request: [body.id = path.id, body.q = query.q, body.user = header.X-User]
";

#[tokio::test]
async fn a_value_of_a_body_stays_in_its_place_elsewhere() {
    let service = Service::start(|_| status(200)).await;
    let mut rules = orders(None, Some(service.addr), "v2");
    rules[1] = ("orders/v1-v2.yaml", PLACES.to_owned());
    let gateway = Gateway::start(&rules, vec![]).await;
    let values = [
        "..",
        ".",
        "%2e%2e",
        "../admin",
        "a/b",
        "a%2fb",
        "?x=1",
        "#x",
        "a;b",
        "a\\b",
        "a b",
        "é",
        "",
        "\\r\\nX-Evil: 1",
        "\\n",
        "\\u0000",
        "a&admin=1",
        "a=b+c",
        "\\u2028",
        "\\ud83d\\ude00",
        "//evil.example/",
        "http://evil.example",
    ];
    for value in values {
        for (id, q, user) in [(value, "q", "u"), ("1", value, "u"), ("1", "q", value)] {
            let body = format!("{{\"id\":\"{id}\",\"q\":\"{q}\",\"user\":\"{user}\"}}");
            let answer = gateway.ask("POST /v1/map", &[JSON, "X-User: mine"], body.as_bytes()).await;
            let seen = service.take();
            assert_eq!(answer.status == 200, seen.len() == 1, "{body}: {answer:?}");
            assert!(answer.status == 200 || (400..=422).contains(&answer.status), "{body}: {answer:?}");
            for seen in seen {
                let segments: Vec<&str> = seen.uri.path().split('/').collect();
                assert!(
                    segments.len() == 5 && segments[..3] == ["", "v2", "users"] && segments[4] == "orders",
                    "{body}: {}",
                    seen.uri
                );
                assert!(
                    !matches!(segments[3], "" | "." | "..") && !segments[3].to_lowercase().contains("%2e%2e"),
                    "{body}: {}",
                    seen.uri
                );
                let query: Vec<&str> = seen.uri.query().unwrap_or_default().split('&').collect();
                assert!(
                    query.len() == 1 && (query[0].starts_with("q=") || query[0].is_empty()),
                    "{body}: {}",
                    seen.uri
                );
                assert!(seen.headers.get("x-evil").is_none());
                let users: Vec<_> = seen.headers.get_all("x-user").iter().collect();
                assert!(users.len() <= 1 && users.iter().all(|one| *one != "mine"), "{body}: {users:?}");
            }
        }
    }
    // Where the body says nothing, the caller's own header is not taken for what it said.
    gateway.ask("POST /v1/map", &[JSON, "X-User: mine"], b"{\"id\":\"1\"}").await;
    assert!(service.take().iter().all(|seen| seen.headers.get("x-user").is_none()));
}

#[tokio::test]
async fn a_log_line_is_one_line_of_json_whatever_was_asked() {
    let service = Service::start(|_| status(200)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let secret = "s3cret-of-somebody";
    let mut count = 0;
    for path in [
        "/v2/%0d%0a%1b[31m",
        "/v2/%e2%80%a8",
        "/v2/\u{fc}",
        "/v2/\"x\"",
        "/v2/a?token=s3cret-of-somebody",
        "/v9/%22%7d",
    ] {
        let lines = [
            format!("Authorization: Bearer {secret}"),
            format!("Cookie: sid={secret}"),
            "X-Request-Id: a\"b\u{2028}c".to_owned(),
            format!("traceparent: 00-{}", "x".repeat(8000)),
            format!("API-Version: {secret}\"\u{1b}"),
        ];
        for line in &lines {
            raw(
                gateway.addr,
                format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{line}\r\n\r\n").as_bytes(),
            )
            .await;
            // A control character in a header is refused before there is a request that could have a line.
            count += usize::from(!line.contains('\u{1b}'));
        }
        let body = format!("{{\"id\":\"{secret}\",\"state\":\"{secret}\"}}");
        let answer = gateway.ask("POST /v1/orders", &[JSON], body.as_bytes()).await;
        assert!(!answer.text().contains(secret), "{answer:?}");
        count += 1;
    }
    // Each line is read as JSON there. With that of one request more there are all of them.
    gateway.ask("GET /v2/last", &["X-Request-Id: last"], b"").await;
    let lines = eventually(|| async {
        let lines = gateway.access_log(count + 1).await;
        lines.iter().any(|line| line["request_id"] == "last").then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), count + 1, "{lines:?}");
    assert!(lines.iter().all(|line| !line.to_string().contains(secret)), "{lines:?}");
    let metrics = ask(gateway.admin, "GET /metrics", &[], b"").await;
    assert!(!metrics.text().contains(secret), "{}", metrics.text());
}

#[tokio::test]
async fn what_callers_make_up_adds_nothing_to_the_metrics() {
    let service = Service::start(|_| status(404)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let size = async || ask(gateway.admin, "GET /metrics", &[], b"").await.text().lines().count();
    let ask = async |number: usize| {
        for path in ["v1", "v2", "v3"] {
            let method = if number == 0 { "GET".to_owned() } else { format!("M{number}") };
            let line = format!("{method} /{path}/made-up-{number}");
            gateway.ask(&line, &[&format!("Host: h{number}"), &format!("API-Version: x{number}")], b"").await;
            gateway.ask(&format!("GET /{path}/made-up-{number}"), &[], b"").await;
        }
    };
    ask(0).await;
    ask(1).await;
    let before = size().await;
    for number in 2..60 {
        ask(number).await;
    }
    assert_eq!(size().await, before);
}
