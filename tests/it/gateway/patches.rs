//! Changes to a part of a document: merge patches and JSON patches.

use super::support::*;

const RULES: &str = r#"
types:
  Order:
    - id
    - name = customer.first + customer.last: {split: " ", at: last}
    - total = price.value: {decimal: 2}
    - state = status: {enum: {open: OPEN, closed: DONE}}
    - lines = items: {each: Line, key: sku}
    - parent = above: Order
    - title = heading
    - note = remarks: {default: none}
    - {added: channel, default: web}
    - {removed: fax, default: null, loss: nobody sends faxes}
  Line:
    - sku = product
    - qty = quantity: {type: [integer, string]}
routes:
  - PATCH /v1/orders/{id} = PATCH /v2/orders/{id}: {request: Order, 2XX: Order}
"#;

async fn start(answered_by: &str) -> (Service, Gateway) {
    let service = Service::start(|_| json("{}")).await;
    let addr = Some(service.addr);
    let (old, new) = if answered_by == "v1" { (addr, None) } else { (None, addr) };
    let mut rules = orders(old, new, answered_by);
    RULES.clone_into(&mut rules[1].1);
    let gateway = Gateway::start(&rules, vec![]).await;
    (service, gateway)
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names() {
    let (service, gateway) = start("v2").await;
    let kind = ["Content-Type: application/merge-patch+json"];
    for (sent, expected) in [
        (r#"{"total":1999}"#, r#"{"price":{"value":"19.99"}}"#),
        // Null removes.
        (r#"{"total":null,"title":null}"#, r#"{"price":{"value":null},"heading":null}"#),
        (r#"{"lines":null,"parent":{"state":null}}"#, r#"{"items":null,"above":{"status":null}}"#),
        (
            r#"{"other":null,"lines":[{"sku":"a","qty":1}]}"#,
            r#"{"other":null,"items":[{"product":"a","quantity":"1"}]}"#,
        ),
        ("{}", "{}"),
    ] {
        let answer = gateway.ask("PATCH /v1/orders/7", &kind, sent.as_bytes()).await;
        assert_eq!(answer.status, 200, "{sent}: {answer:?}");
        let seen = service.take_one();
        assert_eq!(seen.header("content-type"), "application/merge-patch+json");
        assert!(same(seen.text(), expected), "{sent} -> {}", seen.text());
    }
}

async fn check_patches(line: &str, cases: &[(&str, &str)], service: &Service, gateway: &Gateway) {
    let kind = ["Content-Type: application/json-patch+json"];
    for (sent, expected) in cases {
        let answer = gateway.ask(line, &kind, format!("[{sent}]").as_bytes()).await;
        assert_eq!(answer.status, 200, "{sent}: {answer:?}");
        let seen = service.take_one();
        assert_eq!(seen.header("content-type"), "application/json-patch+json");
        assert_eq!(seen.header("content-length"), seen.body.len().to_string());
        assert!(same(seen.text(), &format!("[{expected}]")), "{sent} -> {}", seen.text());
    }
}

#[tokio::test]
async fn a_json_patch_goes_up() {
    let (service, gateway) = start("v2").await;
    let cases = [
        (
            r#"{"op":"replace","path":"/total","value":1999}"#,
            r#"{"op":"replace","path":"/price/value","value":"19.99"}"#,
        ),
        (r#"{"op":"test","path":"/state","value":"open"}"#, r#"{"op":"test","path":"/status","value":"OPEN"}"#),
        (r#"{"op":"add","path":"/lines/0/qty","value":3}"#, r#"{"op":"add","path":"/items/0/quantity","value":"3"}"#),
        (
            r#"{"op":"add","path":"/lines/-","value":{"sku":"a","qty":1,"x":2}}"#,
            r#"{"op":"add","path":"/items/-","value":{"product":"a","quantity":"1","x":2}}"#,
        ),
        (
            r#"{"op":"replace","path":"/lines","value":[{"sku":"a"}]}"#,
            r#"{"op":"replace","path":"/items","value":[{"product":"a"}]}"#,
        ),
        (r#"{"op":"remove","path":"/lines/2"}"#, r#"{"op":"remove","path":"/items/2"}"#),
        (r#"{"op":"remove","path":"/total"}"#, r#"{"op":"remove","path":"/price/value"}"#),
        (r#"{"op":"replace","path":"/total","value":null}"#, r#"{"op":"replace","path":"/price/value","value":null}"#),
        (
            r#"{"op":"replace","path":"/parent/total","value":1}"#,
            r#"{"op":"replace","path":"/above/price/value","value":"0.01"}"#,
        ),
        (
            r#"{"op":"move","from":"/lines/0","path":"/lines/1"}"#,
            r#"{"op":"move","from":"/items/0","path":"/items/1"}"#,
        ),
        (r#"{"op":"copy","from":"/title","path":"/x~1y/~0"}"#, r#"{"op":"copy","from":"/heading","path":"/x~1y/~0"}"#),
        (
            r#"{"op":"copy","from":"/parent/total","path":"/total"}"#,
            r#"{"op":"copy","from":"/above/price/value","path":"/price/value"}"#,
        ),
        (
            r#"{"op":"add","path":"/title/deep","value":1.10,"why":"x"}"#,
            r#"{"op":"add","path":"/heading/deep","value":1.10,"why":"x"}"#,
        ),
        // Where there is nothing, the rule's default is.
        (r#"{"op":"remove","path":"/note"}"#, r#"{"op":"replace","path":"/remarks","value":"none"}"#),
        // A field that the other version has lost, and may lose.
        (
            r#"{"op":"add","path":"/fax","value":"1"},{"op":"test","path":"/id","value":7}"#,
            r#"{"op":"test","path":"/id","value":7}"#,
        ),
        ("", ""),
    ];
    check_patches("PATCH /v1/orders/7", &cases, &service, &gateway).await;
}

#[tokio::test]
async fn a_json_patch_goes_down() {
    let (service, gateway) = start("v1").await;
    let cases = [
        (
            r#"{"op":"replace","path":"/price/value","value":"19.99"}"#,
            r#"{"op":"replace","path":"/total","value":1999}"#,
        ),
        (r#"{"op":"add","path":"/items/0/quantity","value":"3"}"#, r#"{"op":"add","path":"/lines/0/qty","value":3}"#),
        // Where there is nothing, the rule's default is.
        (r#"{"op":"remove","path":"/remarks"}"#, r#"{"op":"replace","path":"/note","value":"none"}"#),
        (r#"{"op":"remove","path":"/above/status"}"#, r#"{"op":"remove","path":"/parent/state"}"#),
        (r#"{"op":"add","path":"/channel","value":"x"}"#, ""),
        (r#"{"op":"add","path":"/price/tax","value":1}"#, r#"{"op":"add","path":"/price/tax","value":1}"#),
    ];
    check_patches("PATCH /v2/orders/7", &cases, &service, &gateway).await;
}

#[tokio::test]
async fn a_json_patch_that_cannot_be_said_is_refused() {
    let (service, gateway) = start("v2").await;
    let kind = ["Content-Type: application/json-patch+json"];
    let deep = format!(r#"[{{"op":"remove","path":"{}"}}]"#, "/parent".repeat(50_000));
    for (sent, status, field) in [
        (deep.as_str(), 422, "/parent/parent"),
        (r#"[{"op":"replace","path":"/name","value":"A B"}]"#, 422, "/name"),
        (r#"[{"op":"replace","path":"/state","value":"s3cret"}]"#, 422, "/state"),
        (r#"[{"op":"add","path":"/total/x","value":1}]"#, 422, "/total/x"),
        (r#"[{"op":"add","path":"/price/value","value":"s3cret"}]"#, 422, "/price/value"),
        (r#"[{"op":"add","path":"/customer","value":{"first":"s3cret"}}]"#, 422, "/customer"),
        (r#"[{"op":"add","path":"/heading","value":1}]"#, 422, "/heading"),
        (r#"[{"op":"test","path":"/parent","value":{}}]"#, 422, "/parent"),
        (r#"[{"op":"test","path":"/fax","value":1}]"#, 422, "/fax"),
        (r#"[{"op":"move","from":"/total","path":"/title"}]"#, 422, "/title"),
        (r#"[{"op":"copy","from":"/name","path":"/title"}]"#, 422, "/title"),
        (r#"[{"op":"add","path":"/lines/x/qty","value":1}]"#, 422, "/lines/x/qty"),
        (r#"[{"op":"add","path":"/lines/0/qty","value":"s3cret"}]"#, 422, "/lines/0/qty"),
        (r#"[{"op":"add","path":"/lines/-","value":{"qty":"s3cret"}}]"#, 422, "/lines/-"),
        (r#"[{"op":"add","path":"/title"}]"#, 422, "/title"),
        (r#"[{"op":"fry","path":"/title"}]"#, 422, "/title"),
        (r#"[{"op":"add","path":"title","value":1}]"#, 422, ""),
        (r#"[{"op":"add","path":"/a~2","value":1}]"#, 422, "/a~2"),
        (r#"[{"op":"add","path":"/title","path":"/state","value":1}]"#, 400, ""),
        (r#"{"op":"add","path":"/title","value":1}"#, 422, ""),
        ("[1]", 422, ""),
        ("[", 400, ""),
    ] {
        let answer = gateway.ask("PATCH /v1/orders/7", &kind, sent.as_bytes()).await;
        assert_eq!(answer.status, status, "{sent}: {answer:?}");
        answer.code();
        let named = answer.json()["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
        assert!(named.starts_with(field), "{sent}: {answer:?}");
        assert!(!answer.text().contains("s3cret"), "{answer:?}");
        assert!(service.take().is_empty(), "{sent} reached the service");
    }
}
