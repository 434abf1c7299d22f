//! Addresses in headers are the caller's, and those in bodies where rules say so.

use axum::response::IntoResponse;

use super::support::*;

/// What the service says, and what the caller must read.
async fn check(header: &'static str, cases: &[(String, String)], service: &Service, gateway: &Gateway) {
    for (told, expected) in cases {
        let body = serde_json::json!({ "note": told }).to_string();
        let named = format!("X-Name: {header}");
        let answer = gateway.ask("POST /v1/orders", &["Content-Type: application/json", &named], body.as_bytes()).await;
        assert_eq!((answer.status, answer.header(header)), (201, expected.as_str()), "{told}");
        service.take();
    }
}

async fn start() -> (Service, Gateway) {
    let service = Service::start(|seen| {
        let sent: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        let told = sent["note"].as_str().unwrap().to_owned();
        let name: http::HeaderName = seen.header("x-name").parse().unwrap();
        let mut response = (http::StatusCode::CREATED, json(NEW)).into_response();
        response.headers_mut().insert(name, told.parse().unwrap());
        response
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    (service, gateway)
}

#[tokio::test]
async fn locations_are_the_callers() {
    let (service, gateway) = start().await;
    let own = service.addr;
    let cases = [
        ("/v2/orders/a%20b".to_owned(), "/v1/orders/a%20b".to_owned()),
        (format!("http://{own}/v2/orders/7?x=1#part"), "/v1/orders/7?x=1#part".to_owned()),
        // The host that callers know stays, in full.
        ("https://localhost/v2/orders/7".to_owned(), "https://localhost/v1/orders/7".to_owned()),
        ("//LOCALHOST/v2/orders/7".to_owned(), "//LOCALHOST/v1/orders/7".to_owned()),
        // Relative to `POST /v2/orders`.
        ("orders/7".to_owned(), "/v1/orders/7".to_owned()),
        ("./orders/x/../7?version=v2".to_owned(), "/v1/orders/7?version=v1".to_owned()),
        ("?page=2".to_owned(), "/v1/orders?page=2".to_owned()),
        // Nobody's, or nobody's that a rule knows.
        ("http://elsewhere.test/v2/orders/7".to_owned(), "http://elsewhere.test/v2/orders/7".to_owned()),
        ("/v2/invoices/7".to_owned(), "/v2/invoices/7".to_owned()),
        ("mailto:a@b.test".to_owned(), "mailto:a@b.test".to_owned()),
        ("7".to_owned(), "7".to_owned()),
    ];
    check("location", &cases, &service, &gateway).await;
    check("content-location", &cases, &service, &gateway).await;
}

#[tokio::test]
async fn links_are_the_callers() {
    let (service, gateway) = start().await;
    let own = service.addr;
    let cases = [
        (
            format!("</v2/orders/7>; rel=\"self\"; title=\"</v2/orders/8>, so\", <http://{own}/v2/orders/9>;rel=next"),
            "</v1/orders/7>; rel=\"self\"; title=\"</v2/orders/8>, so\", </v1/orders/9>;rel=next".to_owned(),
        ),
        (
            "<https://docs.test/v2/orders/7>; rel=help, </v2/none>".to_owned(),
            "<https://docs.test/v2/orders/7>; rel=help, </v2/none>".to_owned(),
        ),
    ];
    check("link", &cases, &service, &gateway).await;
}

/// Three versions, the last of which answers below a path of its own.
fn three_versions(service: &Service) -> Vec<(&'static str, String)> {
    let address = service.addr;
    let service = format!(
        "versions:\n  v1: {{answered_by: v3}}\n  v2: {{answered_by: v3}}\n  v3: {{upstream: \"http://{address}/api\"}}\n\
         negotiate: [{{header: API-Version}}, {{query: version}}]\n"
    );
    let rules = |old: &str, new: &str, query: &str, of: &str| {
        format!(
            "types:\n  Order:\n{of}\nroutes:\n  - GET {old} = GET {new}:\n      request: [{query}]\n      200: \
             [body = body: {{each: Order}}]\n  - GET {old}/{{id}} = GET {new}/{{id}}: {{200: Order}}\n  - POST {old} = \
             POST {new}: {{request: Order, 201: Order}}\n"
        )
    };
    let first = rules("/orders", "/shop/orders", "query.per_page = query.limit", "    - url = link: {link: true}");
    let of = "    - link = links.self: {link: true}\n    - all = links.all: {each: {link: true}}";
    let second = rules("/shop/orders", "/purchases", "query.limit = query.count", of);
    vec![("shop/service.yaml", service), ("shop/v1-v2.yaml", first), ("shop/v2-v3.yaml", second)]
}

#[tokio::test]
async fn links_in_bodies_lead_back_through_every_step() {
    let service = Service::start(|seen| {
        let sent: serde_json::Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let document = serde_json::json!({ "links": { "self": sent["told"] } });
        if seen.header("x-stream").is_empty() {
            return (http::StatusCode::CREATED, json(document.to_string())).into_response();
        }
        let lines = format!("{document}\n{document}\n");
        (http::StatusCode::CREATED, [("content-type", "application/x-ndjson")], lines).into_response()
    })
    .await;
    let gateway = Gateway::start(&three_versions(&service), vec![]).await;
    let own = service.addr;
    let json = "Content-Type: application/json";
    for (told, expected) in [
        ("/api/purchases/a%2Fb?x=1#end".to_owned(), "/orders/a%2Fb?x=1#end".to_owned()),
        (format!("http://{own}/api/purchases?count=5"), "/orders?per_page=5".to_owned()),
        ("https://localhost/purchases/7".to_owned(), "https://localhost/orders/7".to_owned()),
        ("/api/purchases?version=v3&count=5".to_owned(), "/orders?version=v1&per_page=5".to_owned()),
        // Relative to `POST /purchases`.
        ("?count=5".to_owned(), "/orders?per_page=5".to_owned()),
        ("purchases/7".to_owned(), "/orders/7".to_owned()),
        ("/api/invoices/7".to_owned(), "/api/invoices/7".to_owned()),
        ("https://elsewhere.test/purchases/7".to_owned(), "https://elsewhere.test/purchases/7".to_owned()),
    ] {
        let body = serde_json::json!({ "told": told }).to_string();
        let answer = gateway.ask("POST /orders", &["API-Version: v1", json], body.as_bytes()).await;
        assert_eq!((answer.status, answer.json()["url"].as_str()), (201, Some(expected.as_str())), "{told}");
        let headers = ["API-Version: v1", json, "X-Stream: 1"];
        let answer = gateway.ask("POST /orders", &headers, body.as_bytes()).await;
        let line = serde_json::json!({ "url": expected }).to_string();
        assert_eq!((answer.status, answer.text()), (201, format!("{line}\n{line}\n").as_str()), "{told}");
        service.take();
    }
}

#[tokio::test]
async fn links_that_clients_send_back_are_the_services() {
    let service = Service::start(|_| (http::StatusCode::CREATED, json("{}")).into_response()).await;
    let gateway = Gateway::start(&three_versions(&service), vec![]).await;
    for (told, expected) in [
        ("/orders/a%2Fb?x=1#end", "/api/purchases/a%2Fb?x=1#end"),
        ("https://localhost/orders?per_page=5&version=v1", "https://localhost/purchases?version=v3&count=5"),
        ("orders/7", "orders/7"),
        ("/invoices/7", "/invoices/7"),
        ("https://elsewhere.test/orders/7", "https://elsewhere.test/orders/7"),
    ] {
        let body = serde_json::json!({ "url": told }).to_string();
        let headers = ["API-Version: v1", "Content-Type: application/json"];
        let answer = gateway.ask("POST /orders", &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 201, "{told}");
        let sent: serde_json::Value = serde_json::from_slice(&service.take_one().body).unwrap();
        assert_eq!(sent["links"]["self"], expected, "{told}");
    }
}

#[tokio::test]
async fn links_in_answers_of_calls_lead_back() {
    let service = Service::start(|seen| {
        let host = seen.header("host").to_owned();
        json(format!(r#"{{"self":"http://{host}/v2/who/7","next":"https://localhost/v2/who/8"}}"#))
    })
    .await;
    let files = vec![
        (
            "shop/service.yaml",
            format!(
                "versions:\n  v1: {{path: /v1, answered_by: v2}}\n  v2: {{path: /v2, upstream: \"http://{}\"}}\nnegotiate: [path]\n",
                service.addr
            ),
        ),
        (
            "shop/v1-v2.yaml",
            "routes:\n  - GET /v1/people/{id} = GET /v2/who/{id}\n  - GET /v1/user/{id}:\n      calls:\n        who: GET \
             /v2/who/{id}\n        job: GET /v2/jobs/{id}\n      200:\n        - body.url = who.body.self: {link: true}\n        - \
             body.job = job.body.next: {link: true}\n"
                .to_owned(),
        ),
    ];
    let gateway = Gateway::start(&files, vec![]).await;
    let answer = gateway.ask("GET /v1/user/7", &[], b"").await;
    let expected = r#"{"url":"/v1/people/7","job":"https://localhost/v1/people/8"}"#;
    assert_eq!((answer.status, answer.text()), (200, expected));
}

#[tokio::test]
async fn links_in_large_lists_are_translated_while_they_pass() {
    let service = Service::start(|_| status(204)).await;
    let files = vec![
        (
            "shop/service.yaml",
            format!(
                "versions:\n  v1: {{path: /v1, answered_by: v2}}\n  v2: {{path: /v2, upstream: \"http://{}/api\"}}\nnegotiate: [path]\n",
                service.addr
            ),
        ),
        (
            "shop/v1-v2.yaml",
            "types:\n  Cart:\n    - lines = items: {each: Line}\n  Line:\n    - url = self: {link: true}\nroutes:\n  - GET \
             /v1/goods/{id} = GET /v2/products/{id}\n  - POST /v1/carts = POST /v2/carts: {request: Cart}\n"
                .to_owned(),
        ),
    ];
    let gateway = Gateway::start(&files, vec![("limits.body", "300 KiB".into())]).await;
    let lines = |[name, first, second]: [&str; 3]| {
        let line = |id: usize| format!(r#"{{"{name}":"{first}/{id}"}},{{"{name}":"{second}/{id}"}}"#);
        (0..8000).map(line).collect::<Vec<_>>().join(",")
    };
    let told = lines(["url", "/v1/goods", "https://localhost/v1/goods"]);
    let body = format!(r#"{{"lines":[{told}]}}"#);
    let answer = gateway.ask("POST /v1/carts", &["Content-Type: application/json"], body.as_bytes()).await;
    assert_eq!(answer.status, 204);
    let expected = lines(["self", "/api/v2/products", "https://localhost/v2/products"]);
    let seen = service.take_one();
    assert!(body.len() > 300 << 10, "it is too small to be translated while it passes");
    assert_eq!(seen.text(), format!(r#"{{"items":[{expected}]}}"#));
}
