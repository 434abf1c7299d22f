//! One old call that becomes several new ones, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::sync::Barrier;

use super::support::{Gateway, Seen, Service, json, same, status};

/// A gateway in front of one service, with these routes between v1 and v2.
async fn gateway(service: &Service, routes: &str) -> Gateway {
    let versions = format!(
        "versions:\n  v1: {{path: /v1, answered_by: v2}}\n  v2: {{path: /v2, upstream: \"http://{}\"}}\n",
        service.addr
    );
    let rules = [("shop/service.yaml", versions), ("shop/v1-v2.yaml", format!("routes:\n{routes}"))];
    Gateway::start(&rules, vec![]).await
}

const ORDER: &str = "
  - GET /v1/orders/{id}:
      calls:
        order: GET /v2/orders/{id}
        ship: {call: 'GET /v2/shipments?order_id={id}'}
      200:
        - body.id = order.body.id
        - body.status = ship.body.state: {enum: {sent: SHIPPED, wait: QUEUED}}
        - header.X-Carrier = ship.header.X-Carrier
";

fn shop(seen: &Seen) -> Response {
    match seen.uri.path() {
        "/v2/orders/7" => json(r#"{"id":7,"total":"1.10"}"#),
        "/v2/shipments" => {
            ([("content-type", "application/json"), ("x-carrier", "dove")], r#"{"state":"SHIPPED"}"#).into_response()
        }
        _ => status(404),
    }
}

#[tokio::test]
async fn calls_that_need_no_answer_run_beside_each_other() {
    let both = Arc::new(Barrier::new(2));
    let service = Service::start_slow(move |seen| {
        let both = both.clone();
        async move {
            // Neither is answered before the other has come.
            both.wait().await;
            shop(&seen)
        }
    })
    .await;
    let gateway = gateway(&service, ORDER).await;
    let headers = ["Authorization: Bearer x", "If-None-Match: \"1\"", "Connection: close, X-Hop", "X-Hop: 1"];
    let answer = gateway.ask("GET /v1/orders/7?debug=1", &headers, b"").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(same(answer.text(), r#"{"id":7,"status":"sent"}"#), "{}", answer.text());
    assert_eq!((answer.header("content-type"), answer.header("x-carrier")), ("application/json", "dove"));
    let mut seen = service.take();
    seen.sort_by_key(|one| one.uri.to_string());
    let paths: Vec<String> = seen.iter().map(|one| one.uri.to_string()).collect();
    assert_eq!(paths, ["/v2/orders/7", "/v2/shipments?order_id=7"]);
    for one in &seen {
        assert_eq!(one.header("authorization"), "Bearer x");
        assert!(one.headers.get("if-none-match").is_none() && one.headers.get("x-hop").is_none(), "{one:?}");
    }
    let log = gateway.access_log(1).await;
    assert_eq!(log[0]["route"], "GET /v1/orders/{id}");
    let mut calls = log[0]["calls"].as_array().unwrap().clone();
    calls.sort_by_key(|call| call["name"].to_string());
    let expected = serde_json::json!([
        {"name": "order", "made": 1, "failed": 0}, {"name": "ship", "made": 1, "failed": 0}
    ]);
    assert_eq!(serde_json::Value::from(calls), expected);
}

#[tokio::test]
async fn a_head_gets_the_head_alone_and_conditions_on_writes_are_refused() {
    let service = Service::start(shop).await;
    let routes = format!("{ORDER}  - POST /v1/sums: {{calls: {{one: POST /v2/sums}}, 2XX: [body = one.body]}}\n");
    let gateway = gateway(&service, &routes).await;
    let answer = gateway.ask("HEAD /v1/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.header("x-carrier")), (200, "dove"));
    service.take();
    let headers = ["Content-Type: application/json", "If-Match: \"1\""];
    let answer = gateway.ask("POST /v1/sums", &headers, b"{}").await;
    assert_eq!((answer.status, answer.code().as_str()), (412, "precondition"));
    assert!(service.take().is_empty());
    // Callers of the new version have no route with calls; theirs pass.
    let answer = gateway.ask("GET /v2/orders/7", &[], b"").await;
    assert!(answer.status == 200 && same(answer.text(), r#"{"id":7,"total":"1.10"}"#));
}

const UPLOAD: &str = r"
  - POST /v1/upload:
      loss: what is not completed is no file
      calls:
        slot:
          call: POST /v2/slot
          request: [body.name, {added: header.Content-Type, default: application/json}]
          stop: $.slot.body.ok == false
        upload:
          call: POST {slot.body.url}
          request: [body.content = body, {added: header.Content-Type, default: application/octet-stream}]
        done:
          call: POST /v2/files/{slot.body.id}
          when: $.upload.status == 200
          request: [slot.body.id = body.file, body.tag, header.X-Note = header.X-Remark]
      responses:
        - {status: 200, when: $.slot.body.ok == false, rules: [body.error = slot.body.error]}
        - {status: 201 = 200, rules: [body.file = done.body.file, body.note = upload.body]}
        - {status: 409 = 4XX, when: $.done.status == 423, rules: [body.error = done.body.why]}
";

fn files(slot: &'static str, done: u16) -> impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static {
    move |seen: &Seen| match seen.uri.path() {
        "/v2/slot" => json(slot),
        "/raw/a%20b" => ([("content-type", "text/plain")], format!("OK {}", seen.body.len())).into_response(),
        "/v2/files/F%2F1" => {
            let status = StatusCode::from_u16(done).unwrap();
            (status, [("content-type", "application/json")], r#"{"file":"F1","why":"locked"}"#).into_response()
        }
        _ => status(404),
    }
}

const SLOT: &str = r#"{"ok":true,"url":"https://elsewhere.test/raw/a%20b?k=1#x","id":"F/1"}"#;

#[tokio::test]
async fn later_calls_are_made_of_earlier_answers() {
    let service = Service::start(files(SLOT, 200)).await;
    let gateway = gateway(&service, UPLOAD).await;
    let headers = ["Content-Type: application/x-www-form-urlencoded", "X-Note: n"];
    let answer = gateway.ask("POST /v1/upload", &headers, "name=a+b&content=na%C3%AFve&tag=x&tag=y".as_bytes()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(same(answer.text(), r#"{"file":"F1","note":"OK 6"}"#), "{}", answer.text());
    let seen = service.take();
    let asked: Vec<String> = seen.iter().map(|one| format!("{} {} {}", one.method, one.uri, one.text())).collect();
    assert_eq!(asked[..2], [r#"POST /v2/slot {"name":"a b"}"#.to_owned(), "POST /raw/a%20b?k=1 naïve".to_owned()]);
    // The caller's own media type goes with what no rule names another for: a form.
    assert_eq!(asked[2], "POST /v2/files/F%2F1 tag=x&tag=y&file=F%2F1");
    assert_eq!((seen[2].header("x-remark"), seen[2].header("x-note")), ("n", ""));
    assert_eq!(seen[1].header("content-type"), "application/octet-stream");
}

#[tokio::test]
async fn a_failure_in_the_middle_ends_it() {
    const FORM: [&str; 1] = ["Content-Type: application/x-www-form-urlencoded"];
    // Stopped: no failure, and no further call.
    let service = Service::start(files(r#"{"ok":false,"error":"full"}"#, 200)).await;
    let shut = gateway(&service, UPLOAD).await;
    let answer = shut.ask("POST /v1/upload", &FORM, b"name=a&content=x").await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"error":"full"}"#));
    assert_eq!(service.take().len(), 1);
    // A failure that rules speak of.
    let service = Service::start(files(SLOT, 423)).await;
    let locked = gateway(&service, UPLOAD).await;
    let answer = locked.ask("POST /v1/upload", &FORM, b"name=a&content=x").await;
    assert_eq!((answer.status, answer.text()), (409, r#"{"error":"locked"}"#));
    // One that they do not speak of names the call, and nothing of its answer.
    let service = Service::start(files(r#"{"ok":true,"url":"/nowhere","id":"F"}"#, 200)).await;
    let lost = gateway(&service, UPLOAD).await;
    let answer = lost.ask("POST /v1/upload", &FORM, b"name=a&content=x").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_error"));
    assert_eq!(answer.json()["detail"], "the call `upload` was answered 404");
    assert_eq!(service.take().len(), 2, "what comes after a failure is not done");
    let log = lost.access_log(1).await;
    assert_eq!(log[0]["calls"][1], serde_json::json!({"name": "upload", "made": 1, "failed": 1}));
    // An address that leads out of the path is the service's mistake.
    let service = Service::start(files(r#"{"ok":true,"url":"/a/%2e%2e/b","id":"F"}"#, 200)).await;
    let odd = gateway(&service, UPLOAD).await;
    let answer = odd.ask("POST /v1/upload", &FORM, b"name=a&content=x").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_contract"));
    assert_eq!(service.take().len(), 1);
}

#[tokio::test]
async fn what_may_fail_is_made_up_for() {
    const ROUTES: &str = "
  - GET /v1/start/{id}:
      calls:
        user: GET /v2/users/{id}
        mail: {call: GET /v2/mail, timeout: 50ms, partial: {body: {unread: 0}}}
        ads: {call: GET /v2/ads, optional: true}
      200:
        - body.name = user.body.name
        - body.unread = mail.body.unread
        - {removed: body.ads, from: ads.status}
  - GET /v1/late: {calls: {slow: {call: GET /v2/mail, timeout: 50ms}}, default: [body = slow.body]}
";
    let service = Service::start_slow(|seen| async move {
        match seen.uri.path() {
            "/v2/mail" => {
                // Longer than any test takes: the gateway's patience decides.
                tokio::time::sleep(Duration::from_secs(600)).await;
                status(200)
            }
            "/v2/users/1" => json(r#"{"name":"Ana"}"#),
            _ => status(500),
        }
    })
    .await;
    let gateway = gateway(&service, ROUTES).await;
    let answer = gateway.ask("GET /v1/start/1", &[], b"").await;
    assert!(same(answer.text(), r#"{"name":"Ana","unread":0,"ads":500}"#), "{}", answer.text());
    assert_eq!(answer.status, 200);
    let answer = gateway.ask("GET /v1/start/2", &[], b"").await;
    assert_eq!((answer.status, &answer.json()["detail"]), (502, &"the call `user` was answered 500".into()));
    let answer = gateway.ask("GET /v1/late", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "upstream_timeout"));
    assert_eq!(answer.json()["detail"], "the call `slow` was not answered");
}

const EACH: &str = "
  - POST /v1/send:
      when: $.body.ids
      loss: each is told of
      calls:
        sent: {call: 'POST /v2/send/{item.id}', each: body.ids, optional: true, request: [item.text = body.text]}
        log: {call: POST /v2/log, request: [sent = body]}
      200:
        - {removed: body.good, from: '$.sent[?@.status == 200]', reduce: count}
        - body.all = sent: {each: [n = body.n, {rest: {new: drop}}]}
  - POST /v1/send = POST /v2/send
";

#[tokio::test]
async fn a_call_for_each_element() {
    let service = Service::start(|seen| match seen.uri.path() {
        "/v2/send/13" => status(500),
        "/v2/send" | "/v2/log" => json(r#"{"n":0}"#),
        path => json(format!(r#"{{"n":{}}}"#, path.rsplit('/').next().unwrap())),
    })
    .await;
    let gateway = gateway(&service, EACH).await;
    let headers = ["Content-Type: application/json"];
    let element = |id: usize| format!(r#"{{"id":{id},"text":"t{id}"}}"#);
    let ids: Vec<String> = (10..30).map(element).collect();
    let body = format!(r#"{{"ids":[{}]}}"#, ids.join(","));
    let answer = gateway.ask("POST /v1/send", &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document = answer.json();
    assert_eq!(document["good"], 19);
    let order: Vec<_> = document["all"].as_array().unwrap().iter().map(|one| one["n"].as_u64()).collect();
    let expected: Vec<_> = (10..30).map(|id| (id != 13).then_some(id)).collect();
    assert_eq!(order, expected, "answers are in the order of the elements");
    let seen = service.take();
    let last = seen.last().unwrap();
    assert_eq!((seen.len(), last.uri.path()), (21, "/v2/log"), "a call that needs all answers is the last");
    assert!(seen.iter().any(|one| one.uri.path() == "/v2/send/12" && one.text() == r#"{"text":"t12"}"#));

    // Elements that are too many, or none at all.
    let many = vec!["1"; 101].join(",");
    let answer = gateway.ask("POST /v1/send", &headers, format!(r#"{{"ids":[{many}]}}"#).as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "value"));
    assert_eq!(answer.json()["errors"][0]["field"], "ids");
    assert!(service.take().is_empty());
    let answer = gateway.ask("POST /v1/send", &headers, br#"{"ids":[]}"#).await;
    assert!(same(answer.text(), r#"{"good":0,"all":[]}"#), "{}", answer.text());
    service.take();
    // What the route's condition leaves to the ordinary one.
    let answer = gateway.ask("POST /v1/send", &headers, br#"{"to":"1"}"#).await;
    assert_eq!((answer.status, service.take_one().uri.path()), (200, "/v2/send"));
}

/// A later version answers: each call is translated, and so is what comes before the calls.
#[tokio::test]
async fn calls_in_the_middle_of_a_version_line() {
    let service = Service::start(|seen| match seen.uri.path() {
        "/v4/people/7" => json(r#"{"person":"Ana"}"#),
        "/v4/jobs" => json(format!(r#"{{"job":"{}"}}"#, seen.uri.query().unwrap())),
        _ => status(404),
    })
    .await;
    let versions = format!(
        "versions:\n  v1: {{answered_by: v4}}\n  v2: {{answered_by: v4}}\n  v3: {{answered_by: v4}}\n  v4: {{upstream: \"http://{}\"}}\nnegotiate: [{{header: API-Version}}]\n",
        service.addr
    );
    let between = [
        "  - GET /v1/users/{id} = GET /v2/user/{id}: {200: [body.n = body.name, body.j = body.job]}\n",
        "  - GET /v2/user/{id}:\n      calls:\n        who: GET /v3/who/{id}\n        job: 'GET /v3/job?of={who.body.name}'\n      200: [body.name = who.body.name, body.job = job.body.job]\n",
        "  - GET /v3/who/{id} = GET /v4/people/{id}: {200: [body.name = body.person]}\n  - GET /v3/job = GET /v4/jobs\n",
    ];
    let mut rules = vec![("shop/service.yaml", versions)];
    for (name, routes) in ["shop/v1-v2.yaml", "shop/v2-v3.yaml", "shop/v3-v4.yaml"].iter().zip(between) {
        rules.push((name, format!("routes:\n{routes}")));
    }
    let gateway = Gateway::start(&rules, vec![]).await;
    let answer = gateway.ask("GET /v1/users/7", &["API-Version: v1"], b"").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(same(answer.text(), r#"{"n":"Ana","j":"of=Ana"}"#), "{}", answer.text());
    assert!(service.take().iter().all(|one| one.header("api-version") == "v4"));
}
