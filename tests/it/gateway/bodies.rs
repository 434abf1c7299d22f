//! Bodies that are not JSON, and responses that look back at their requests.

use super::support::*;

const RULES: &str = r#"
routes:
  - POST /v1/sales = POST /v2/sales:
      request:
        - body = body: {via: [{flat: brackets}, {as: [coupon = discounts: {wrap: [{coupon: $}]}]}, {flip: {flat: brackets}}]}
      200:
        - {added: body.echo, from: $old_request.body.coupon}
        - {removed: body.asked, from: $new_request.header.x-trace, loss: shown only}
      default:
        - body = body.message: {suffix: "\n"}
        - header.Content-Type = header.Content-Type: {enum: {text/plain: application/json}}
"#;

#[tokio::test]
async fn forms_and_texts_are_translated() {
    let service = Service::start(|seen| {
        if seen.text().contains("bad") {
            let mut answer = json(r#"{"message":"no such coupon"}"#);
            *answer.status_mut() = http::StatusCode::NOT_FOUND;
            return answer;
        }
        json(r#"{"id":7}"#)
    })
    .await;
    let mut rules = orders(None, Some(service.addr), "v2");
    RULES.clone_into(&mut rules[1].1);
    let gateway = Gateway::start(&rules, vec![]).await;
    let kind = ["Content-Type: application/x-www-form-urlencoded", "X-Trace: t1"];
    let answer = gateway.ask("POST /v1/sales", &kind, b"coupon=A+1&amount=5").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = service.take_one();
    assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(seen.text(), "discounts%5B0%5D%5Bcoupon%5D=A+1&amount=5");
    assert!(same(answer.text(), r#"{"id":7,"asked":"t1"}"#), "{}", answer.text());

    let answer = gateway.ask("POST /v1/sales", &kind, b"coupon=bad").await;
    assert_eq!((answer.status, answer.header("content-type")), (404, "text/plain"), "{answer:?}");
    assert_eq!(answer.text(), "no such coupon\n");

    // What says that it is a form and is none is refused.
    let answer = gateway.ask("POST /v1/sales", &kind, b"coupon=%zz").await;
    assert_eq!(answer.status, 415, "{answer:?}");
}
