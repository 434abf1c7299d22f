//! Addresses in headers are the caller's.

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
