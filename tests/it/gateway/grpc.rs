//! gRPC passes, and what the gateway itself says is gRPC, too.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::http2_services::{serve, speaking, whole};
use super::support::*;

const METHOD: &str = "/shop.Orders/Watch";

async fn client(gateway: &Gateway) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.addr).await.unwrap();
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

fn request(gateway: &Gateway, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(format!("http://{}{METHOD}", gateway.addr))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// A message as gRPC frames it.
fn message(payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0], &length[..], payload].concat().into()
}

async fn next(body: &mut RecvStream) -> Option<Bytes> {
    let data = tokio::time::timeout(PATIENCE, body.data()).await.unwrap()?.unwrap();
    body.flow_control().release_capacity(data.len()).unwrap();
    Some(data)
}

fn trailers(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([
        ("grpc-status".parse().unwrap(), status.parse().unwrap()),
        ("x-cost".parse().unwrap(), "3".parse().unwrap()),
    ])
}

/// Sends all of a large message, as fast as it is taken.
async fn send(sending: &mut SendStream<Bytes>, mut bytes: Bytes) {
    while !bytes.is_empty() {
        sending.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await.unwrap().unwrap();
        sending.send_data(bytes.split_to(room.min(bytes.len())), false).unwrap();
    }
}

#[tokio::test]
async fn calls_pass_with_their_trailers() {
    let service = serve(|_, mut connection| async move {
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let (head, mut body) = request.into_parts();
                let said = |name| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
                assert_eq!((head.uri.path(), said("te"), said("grpc-timeout")), (METHOD, "trailers", "900m"));
                assert_eq!(said("content-type"), "application/grpc+proto");
                let asked = whole(&mut body).await;
                let response = Response::builder().header("content-type", "application/grpc+proto").body(()).unwrap();
                let mut sending = respond.send_response(response, false).unwrap();
                send(&mut sending, asked.into()).await;
                sending.send_trailers(trailers("0")).unwrap();
            });
        }
    })
    .await;
    let gateway = Gateway::start(&speaking("http2", service), vec![]).await;
    let mut client = client(&gateway).await;
    // Beyond every window, and beyond what other bodies may be.
    for size in [3, 12 << 20] {
        let (answer, mut sending) = client.send_request(request(&gateway, &[("grpc-timeout", "900m")]), false).unwrap();
        let sent = message(&vec![7; size]);
        let reading = async {
            let answer = answer.await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
                (200, "application/grpc+proto")
            );
            let mut body = answer.into_body();
            let got = whole(&mut body).await;
            (got, body.trailers().await.unwrap().unwrap())
        };
        let writing = async {
            send(&mut sending, sent.clone()).await;
            sending.send_data(Bytes::new(), true).unwrap();
        };
        let ((got, trailers), ()) = tokio::join!(reading, writing);
        assert!(got == sent, "{} bytes", got.len());
        assert!(trailers["grpc-status"] == "0" && trailers["x-cost"] == "3", "{trailers:?}");
    }
}

#[tokio::test]
async fn both_sides_speak_in_turn() {
    let service = serve(|_, mut connection| async move {
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let mut body = request.into_body();
                let mut sending = respond.send_response(Response::new(()), false).unwrap();
                while let Some(asked) = next(&mut body).await {
                    sending.send_data(asked, false).unwrap();
                }
                sending.send_trailers(trailers("5")).unwrap();
            });
        }
    })
    .await;
    let gateway = Gateway::start(&speaking("http2", service), vec![]).await;
    let (answer, mut sending) = client(&gateway).await.send_request(request(&gateway, &[]), false).unwrap();
    let mut body = answer.await.unwrap().into_body();
    for round in 0..5 {
        sending.send_data(message(&[round]), false).unwrap();
        assert_eq!(next(&mut body).await.unwrap(), message(&[round]));
    }
    sending.send_data(Bytes::new(), true).unwrap();
    assert!(next(&mut body).await.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "5");
}

#[tokio::test]
async fn a_call_that_is_given_up_is_given_up_at_the_service() {
    let (ended, mut ends) = mpsc::channel(64);
    let service = serve(move |_, mut connection| {
        let ended = ended.clone();
        async move {
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                let ended = ended.clone();
                tokio::spawn(async move {
                    let mut sending = respond.send_response(Response::new(()), false).unwrap();
                    let reason = std::future::poll_fn(|cx| sending.poll_reset(cx)).await;
                    let _ = ended.try_send(reason.unwrap());
                });
            }
        }
    })
    .await;
    let gateway = Gateway::start(&speaking("http2", service), vec![]).await;
    let (answer, mut sending) = client(&gateway).await.send_request(request(&gateway, &[]), false).unwrap();
    let body = answer.await.unwrap().into_body();
    sending.send_reset(Reason::CANCEL);
    drop(body);
    let reason = tokio::time::timeout(PATIENCE, ends.recv()).await.unwrap().unwrap();
    assert_eq!(reason, Reason::CANCEL);
}

#[tokio::test]
async fn what_the_gateway_says_is_grpc() {
    let gateway = Gateway::start(&speaking("http2", "127.0.0.1:1".parse().unwrap()), vec![]).await;
    let mut client = client(&gateway).await;
    for (headers, status, code) in [
        (&[][..], "14", "upstream_unreachable"),
        (&[("api-version", "v9")], "3", "unknown_version"),
        (&[("api-version", "v1")], "12", "no_route"),
    ] {
        let (answer, _) = client.send_request(request(&gateway, headers), true).unwrap();
        let answer = answer.await.unwrap();
        let said = |name| answer.headers().get(name).map_or("", |value: &http::HeaderValue| value.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), said("grpc-status")), (200, status), "{answer:?}");
        assert_eq!(said("content-type"), "application/grpc");
        assert!(said("grpc-message").contains(code), "{answer:?}");
        assert!(answer.into_body().is_end_stream(), "of headers alone");
    }
    for (line, outcome) in gateway.access_log(3).await.iter().zip(["failed", "refused", "refused"]) {
        assert_eq!((&line["status"], &line["outcome"]), (&200.into(), &outcome.into()), "{line}");
    }
}
