//! Who answers: shares, pins, lists, a version's end, and falling back.

use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::support::*;

const ROUTES: &str = "\
types:
  Order: [id, total = price.value: {decimal: 2}, state = status: {enum: {open: OPEN, closed: DONE}}]
routes:
  - GET /v1/orders/{id} = GET /v2/orders/{id}: {2XX: Order}
  - POST /v1/orders = POST /v2/orders: {request: Order, 2XX: Order}
";

/// A gateway in front of both services; `v1` is what the old version says beside its path and address.
async fn start(old: &Service, new: &Service, v1: &str, service: &str) -> Gateway {
    Gateway::start(&rules(old, new, v1, service), vec![]).await
}

fn rules(old: &Service, new: &Service, v1: &str, service: &str) -> Vec<(&'static str, String)> {
    let service = format!(
        "versions:\n  v1: {{path: /v1, upstream: \"http://{}\", {v1}}}\n  v2: {{path: /v2, upstream: \"http://{}\"}}\n\
         answer_header: Bifocal-Answer\n{service}\n",
        old.addr, new.addr
    );
    vec![("orders/service.yaml", service), ("orders/v1-v2.yaml", ROUTES.to_owned())]
}

async fn both() -> (Service, Service) {
    (Service::start(|_| json(OLD)).await, Service::start(|_| json(NEW)).await)
}

/// Who answers each of these requests.
async fn served(gateway: &Gateway, requests: &[(String, String)]) -> Vec<String> {
    let mut all = Vec::new();
    for (line, header) in requests {
        let answer = gateway.ask(line, &[header.as_str()], b"").await;
        assert_eq!(answer.status, 200, "{line} {header}");
        assert!(same(answer.text(), OLD), "{}", answer.text());
        let said = answer.header("bifocal-version").to_owned();
        all.push(said.strip_prefix("asked=v1, served=").unwrap().to_owned());
    }
    all
}

fn count(served: &[String], version: &str) -> usize {
    served.iter().filter(|one| *one == version).count()
}

#[tokio::test]
async fn shares_are_sticky_and_move_one_way() {
    let (old, new) = both().await;
    let keyed = |by: &str| format!("assign: {{by: [{by}], salt: s}}");
    for (by, request) in [
        (
            "header.X-Tenant",
            (|n| ("GET /v1/orders/7".to_owned(), format!("X-Tenant: t{n}"))) as fn(u32) -> (String, String),
        ),
        ("cookie.session", |n| ("GET /v1/orders/7".to_owned(), format!("Cookie: a=b; session=t{n}"))),
        ("path.id", |n| (format!("GET /v1/orders/t{n}"), "A: b".to_owned())),
    ] {
        let requests: Vec<_> = (0..60).map(request).collect();
        let gateway = start(&old, &new, "answered_by: {v1: 70, v2: 30}", &keyed(by)).await;
        let before = served(&gateway, &requests).await;
        assert!((5..=40).contains(&count(&before, "v2")), "{by}: {before:?}");
        assert_eq!(served(&gateway, &requests).await, before, "{by}");

        // Raising the new one's share moves callers to it, and no caller back.
        let [(_, service), _] = rules(&old, &new, "answered_by: {v1: 30, v2: 70}", &keyed(by)).try_into().unwrap();
        write(&gateway.rules("orders/service.yaml"), &service);
        assert_eq!(gateway.reload().await.0, 200);
        let after = served(&gateway, &requests).await;
        assert!(count(&after, "v2") > count(&before, "v2"), "{by}: {after:?}");
        assert!(before.iter().zip(&after).all(|(was, is)| was == is || is == "v2"), "{by}");
    }
}

#[tokio::test]
async fn who_cannot_be_told_apart_stays() {
    let (old, new) = both().await;
    let nobody: Vec<_> = (0..20).map(|_| ("GET /v1/orders/7".to_owned(), "A: b".to_owned())).collect();
    let tenant = "assign: {by: [header.X-Tenant]}";
    let gateway = start(&old, &new, "answered_by: {v1: 1, v2: 999}", tenant).await;
    assert_eq!(count(&served(&gateway, &nobody).await, "v1"), 20);
    // Their version has no share left: the largest one takes them.
    let gateway = start(&old, &new, "answered_by: {v1: 0, v2: 1}", tenant).await;
    assert_eq!(count(&served(&gateway, &nobody).await, "v2"), 20);
    // Unless every request is assigned anew.
    let by_chance = "assign: {by: [header.X-Tenant, request]}";
    let gateway = start(&old, &new, "answered_by: {v1: 1, v2: 1}", by_chance).await;
    let many: Vec<_> = nobody.iter().cloned().cycle().take(80).collect();
    assert!((10..=70).contains(&count(&served(&gateway, &many).await, "v2")));
    // A tester's word counts before any share.
    let answer = gateway.ask("GET /v1/orders/7", &["Bifocal-Answer: v2"], b"").await;
    assert_eq!(answer.header("bifocal-version"), "asked=v1, served=v2");
}

#[tokio::test]
async fn consumers_are_pinned_listed_and_logged() {
    let service = Service::start(|_| json("{}")).await;
    let text = format!(
        "versions:\n  v1: {{upstream: \"http://{0}\", consumers: {{allow: [acme, key-2bb80d537b1d]}}}}\n  \
         v2: {{upstream: \"http://{0}\", consumers: {{deny: [initech]}}}}\n\
         negotiate: [{{header: API-Version}}]\ndefault: v2\n\
         consumer: [header.X-Consumer, api_key.X-API-Key, {{claim: azp, verified_by: proxy}}]\npins: {{acme: v1, key-2bb80d537b1d: v1}}\n",
        service.addr
    );
    let rules = [("orders/service.yaml", text), ("orders/v1-v2.yaml", ROUTES.to_owned())];
    let gateway = Gateway::start(&rules, vec![]).await;
    // {"azp":"acme","n":1}
    let token = "Authorization: Bearer e30.eyJhenAiOiJhY21lIiwibiI6MX0.c2ln";
    for (headers, status, version) in [
        (&[][..], 200, "asked=v2, served=v2"),
        (&["X-Consumer: acme"], 200, "asked=v1, served=v1"),
        (&["X-API-Key: secret"], 200, "asked=v1, served=v1"),
        (&[token], 200, "asked=v1, served=v1"),
        (&["X-Consumer: acme", "API-Version: v2"], 200, "asked=v2, served=v2"),
        (&["X-Consumer: globex", "API-Version: v1"], 403, "asked=v1"),
        (&["API-Version: v1"], 403, "asked=v1"),
        (&["X-Consumer: initech"], 403, "asked=v2"),
    ] {
        let answer = gateway.ask("GET /x", headers, b"").await;
        assert_eq!((answer.status, answer.header("bifocal-version")), (status, version), "{headers:?}");
        let vary = answer.header("vary").to_lowercase();
        assert!(vary.contains("x-consumer") && vary.contains("x-api-key") && vary.contains("authorization"), "{vary}");
        if status == 403 {
            assert_eq!(answer.code(), "forbidden");
        }
    }
    assert_eq!(service.take().len(), 5);
    let log = gateway.access_log(8).await;
    let named: Vec<_> = log.iter().map(|line| line["consumer"].as_str().unwrap_or("-")).collect();
    let expected = ["-", "acme", "key-2bb80d537b1d", "acme", "acme", "globex", "-", "initech"];
    assert_eq!(named, expected);
    assert!(log.iter().all(|line| !line.to_string().contains("secret")));
}

#[tokio::test]
async fn a_versions_end_is_told_and_comes() {
    let old = Service::start(|_| {
        let mut response = json(OLD);
        response.headers_mut().insert("sunset", "Thu, 01 Jan 1970 00:00:00 GMT".parse().unwrap());
        response.headers_mut().insert("link", "</v1/orders>; rel=\"up\"".parse().unwrap());
        response
    })
    .await;
    let new = Service::start(|_| json(NEW)).await;
    let ending = |sunset: &str, gone: bool| {
        format!("deprecated: {{at: 2026-03-01, sunset: {sunset}, link: \"https://docs.example/v1\", gone: {gone}}}")
    };
    let gateway = start(&old, &new, &ending("2199-09-01T02:00:00+02:00", true), "").await;
    for (line, status) in [("GET /v1/orders/7", 200), ("GET /v1/orders/7?x=%", 200), ("GET /v2/orders/7", 200)] {
        let answer = gateway.ask(line, &[], b"").await;
        assert_eq!(answer.status, status);
        let told: Vec<_> = ["deprecation", "sunset"].iter().map(|name| answer.header(name)).collect();
        if line.starts_with("GET /v1") {
            assert_eq!(told, ["@1772323200", "Sun, 01 Sep 2199 00:00:00 GMT"]);
            let links: Vec<_> = answer.headers.get_all("link").iter().map(|link| link.to_str().unwrap()).collect();
            let docs = "<https://docs.example/v1>";
            let ours = format!("{docs}; rel=\"deprecation\", {docs}; rel=\"sunset\"");
            assert_eq!(links, ["</v1/orders>; rel=\"up\"", ours.as_str()]);
        } else {
            assert_eq!(told, ["", ""]);
        }
    }
    // Past its end it is served as long as nobody has said that it is not.
    let gateway = start(&old, &new, &ending("2026-03-02", false), "").await;
    assert_eq!(gateway.ask("GET /v1/orders/7", &[], b"").await.status, 200);
    old.take();
    let gateway = start(&old, &new, &ending("2026-03-02", true), "").await;
    let answer = gateway.ask("GET /v1/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (410, "gone"));
    assert_eq!(answer.json()["versions"], serde_json::json!(["v2"]));
    assert_eq!(answer.header("sunset"), "Mon, 02 Mar 2026 00:00:00 GMT");
    assert!(answer.header("link").contains("rel=\"sunset\""));
    assert!(old.take().is_empty());
    assert_eq!(gateway.ask("GET /v2/orders/7", &[], b"").await.status, 200);
}

#[tokio::test]
async fn the_end_comes_while_the_gateway_runs() {
    let (old, new) = both().await;
    let soon = SystemTime::now() + Duration::from_secs(2);
    let seconds = soon.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    // Any day of the past has these hours; today's date is taken from the gateway's own clock, by its log.
    let gateway = start(&old, &new, "answered_by: v1", "").await;
    assert_eq!(gateway.ask("GET /v1/orders/7", &[], b"").await.status, 200);
    let log = gateway.access_log(1).await;
    let today = log[0]["ts"].as_str().unwrap()[..10].to_owned();
    let sunset = format!("{today}T{hour:02}:{minute:02}:{second:02}Z");
    let v1 = format!("deprecated: {{at: 2026-03-01, sunset: \"{sunset}\", gone: true}}");
    let [(_, service), _] = rules(&old, &new, &v1, "").try_into().unwrap();
    write(&gateway.rules("orders/service.yaml"), &service);
    assert_eq!(gateway.reload().await.0, 200);
    let gone = async || {
        let answer = gateway.ask("GET /v1/orders/7", &[], b"").await;
        (answer.status == 410).then_some(())
    };
    eventually(gone).await;
}

#[tokio::test]
async fn a_failed_read_falls_back() {
    let old = Service::start(|_| json(OLD)).await;
    let new = Service::start(|seen| match seen.uri.path() {
        "/v2/orders/broken" => json("{"),
        "/v2/orders/down" => status(503),
        "/v2/orders/none" => status(404),
        _ => json(NEW),
    })
    .await;
    let gateway = start(&old, &new, "answered_by: v2, fallback: native", "").await;
    for (line, headers, code, version, asked_both) in [
        ("GET /v1/orders/7", &[][..], 200, "asked=v1, served=v2", false),
        ("GET /v1/orders/broken", &[], 200, "asked=v1, served=v1", true),
        ("GET /v1/orders/down", &[], 200, "asked=v1, served=v1", true),
        ("HEAD /v1/orders/down", &[], 200, "asked=v1, served=v1", true),
        ("GET /v1/unmapped", &[], 200, "asked=v1, served=v1", true),
        // Not a failure.
        ("GET /v1/orders/none", &[], 404, "asked=v1, served=v2", false),
        // A tester wants to see it.
        ("GET /v1/orders/down", &["Bifocal-Answer: v2"], 503, "asked=v1, served=v2", false),
        // Whether it was done nobody knows.
        ("POST /v1/orders", &[], 400, "asked=v1, served=v2", false),
        ("DELETE /v1/orders/7", &[], 405, "asked=v1, served=v2", false),
    ] {
        let answer = gateway.ask(line, headers, b"").await;
        assert_eq!((answer.status, answer.header("bifocal-version")), (code, version), "{line} {headers:?}");
        assert_eq!(old.take().len(), usize::from(asked_both), "{line}");
        if asked_both && line.starts_with("GET") {
            assert_eq!(answer.text(), OLD);
        }
    }
    let log = gateway.access_log(9).await;
    assert_eq!(log[1]["fallback"], serde_json::json!({"from": "v2", "reason": "upstream_contract"}));
    assert_eq!(log[2]["fallback"], serde_json::json!({"from": "v2", "reason": "upstream_status"}));
    assert_eq!(log[4]["fallback"], serde_json::json!({"from": "v2", "reason": "no_route"}));
    assert!(log[0]["fallback"].is_null() && log[1]["fault"].is_null());
    let metrics = ask(gateway.admin, "GET /metrics", &[], b"").await;
    let line = "bifocal_fallbacks_total{service=\"orders\",asked=\"v1\",from=\"v2\",reason=\"upstream_status\"} 2";
    assert!(metrics.text().contains(line), "{}", metrics.text());
}

#[tokio::test]
async fn a_service_that_is_away_is_replaced() {
    let old = Service::start(|_| json(OLD)).await;
    let mut away = Service::start(|_| status(500)).await;
    away.addr = "127.0.0.1:1".parse().unwrap();
    let gateway = start(&old, &away, "answered_by: v2, fallback: native", "").await;
    let answer = gateway.ask("GET /v1/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.text()), (200, OLD));
    assert_eq!(gateway.access_log(1).await[0]["fallback"]["reason"], "upstream_unreachable");
}

/// Runs the command while the gateway goes on.
async fn ledger(args: &[&str]) -> (Option<i32>, String, String) {
    let args: Vec<String> = std::iter::once("ledger").chain(args.iter().copied()).map(str::to_owned).collect();
    let run =
        move || Command::new(env!("CARGO_BIN_EXE_bifocal")).args(args).env_remove("BIFOCAL_ADMIN").output().unwrap();
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(run).await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn the_ledger_says_who_still_calls() {
    let (old, new) = both().await;
    let consumer = "consumer: [header.X-Consumer]\nnegotiate: [path]";
    let gateway = start(&old, &new, "answered_by: v2, consumers: {deny: [initech]}", consumer).await;
    for (line, headers) in [
        ("GET /v1/orders/7", &["X-Consumer: acme"][..]),
        ("GET /v1/orders/8", &["X-Consumer: acme"]),
        ("GET /v1/orders/7", &["X-Consumer: acme", "Bifocal-Answer: v1"]),
        ("GET /v2/orders/7", &[]),
        ("GET /v1/orders/7", &["X-Consumer: initech"]),
        ("GET /v1/nothing", &["X-Consumer: globex"]),
        ("GET /nothing", &["X-Consumer: nobody"]),
    ] {
        gateway.ask(line, headers, b"").await;
    }
    gateway.access_log(7).await;
    let admin = gateway.admin.to_string();
    let (code, out, err) = ledger(&["--admin", &admin]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let words = |line: &str| {
        line.split("  ").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut lines: Vec<Vec<String>> = out.lines().map(words).collect();
    assert!(lines.pop().unwrap()[0].starts_with("counted since 20"));
    for line in lines.iter_mut().skip(1) {
        assert!(line.pop().unwrap().ends_with('Z'));
    }
    let expected = [
        &["SERVICE", "ASKED", "SERVED", "OPERATION", "CONSUMER", "REQUESTS", "LAST"][..],
        &["orders", "v1", "v2", "GET /v1/orders/{id}", "acme", "2"],
        &["orders", "v1", "v2", "-", "globex", "1"],
        &["orders", "v1", "v1", "GET /v1/orders/{id}", "acme", "1"],
        &["orders", "v1", "-", "GET /v1/orders/{id}", "initech", "1"],
        &["orders", "v2", "v2", "GET /v2/orders/{id}", "-", "1"],
    ];
    assert_eq!(lines, expected);

    let (_, out, _) = ledger(&["--admin", &admin, "--service", "orders", "--version", "v2", "--format", "json"]).await;
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    let rows = found["services"]["orders"]["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["asked"], &rows[0]["count"]), (1, &"v2".into(), &1.into()));
    assert!(rows[0]["consumer"].is_null());
    let (_, out, _) = ledger(&["--admin", &admin, "--service", "other&version=v1"]).await;
    assert_eq!(out.lines().count(), 2, "{out}");

    let (code, out, err) = ledger(&["--admin", &gateway.addr.to_string()]).await;
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("is it the admin address of a gateway?"), "{err}");
    let (code, _, err) = ledger(&["--admin", "127.0.0.1:1"]).await;
    assert_eq!(code, Some(2));
    assert!(err.starts_with("bifocal: 127.0.0.1:1: no gateway listens there (Connection refused"), "{err}");
}
