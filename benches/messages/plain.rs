//! The least that loses nothing: takes a message, publishes it with confirmation, and acknowledges it then. The same client
//! libraries, as many messages under way, the same confirmations; nothing is looked at, changed or remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::client::Request;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{AckKind, Context};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{Confirmation, Connection, ConnectionProperties};

use super::broker_process::Kind;
use super::carrier::IN_FLIGHT;

pub(super) async fn run(kind: Kind, port: u16, from: String, to: String, settled: Arc<AtomicU64>) {
    match kind {
        Kind::Rabbit => rabbit(port, &from, &to, &settled).await,
        Kind::Nats => nats(port, &from, &to, &settled).await,
    }
}

async fn rabbit(port: u16, from: &str, to: &str, settled: &AtomicU64) {
    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    // A broker in need stops connections that publish.
    let reading = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let writing = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let (source, sink) = (reading.create_channel().await.unwrap(), writing.create_channel().await.unwrap());
    sink.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    source.basic_qos(IN_FLIGHT as u16, BasicQosOptions::default()).await.unwrap();
    let options = BasicConsumeOptions::default();
    let mut consumer = source.basic_consume(from.into(), "".into(), options, FieldTable::default()).await.unwrap();
    let mut out = FuturesUnordered::new();
    let mandatory = BasicPublishOptions { mandatory: true, immediate: false };
    loop {
        tokio::select! {
            Some((confirmation, acker)) = out.next(), if !out.is_empty() => {
                let acker: lapin::Acker = acker;
                assert!(matches!(confirmation, Ok(Confirmation::Ack(None))), "not stored");
                acker.ack(BasicAckOptions::default()).await.unwrap();
                settled.fetch_add(1, Ordering::Relaxed);
            }
            Some(delivery) = consumer.next(), if out.len() < IN_FLIGHT => {
                let delivery = delivery.unwrap();
                let publishing =
                    sink.basic_publish("".into(), to.into(), mandatory, &delivery.data, delivery.properties);
                let confirm = publishing.await.unwrap();
                out.push(async move { (confirm.await, delivery.acker) });
            }
        }
    }
}

async fn nats(port: u16, from: &str, to: &str, settled: &AtomicU64) {
    let url = format!("nats://127.0.0.1:{port}");
    let reading = async_nats::connect(&url).await.unwrap();
    let writing = async_nats::connect(&url).await.unwrap();
    let context: Context = ContextBuilder::new().max_ack_inflight(1 << 20).build(writing);
    let stream = async_nats::jetstream::new(reading.clone()).get_stream(format!("S-{from}")).await.unwrap();
    let config = pull::Config {
        durable_name: Some("plain".to_owned()),
        ack_policy: AckPolicy::Explicit,
        filter_subject: from.to_owned(),
        max_ack_pending: IN_FLIGHT as i64,
        ..pull::Config::default()
    };
    let consumer: PullConsumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.stream().max_messages_per_batch(IN_FLIGHT).messages().await.unwrap();
    let mut out = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = out.next(), if !out.is_empty() => {
                settled.fetch_add(1, Ordering::Relaxed);
            }
            Some(message) = messages.next(), if out.len() < IN_FLIGHT => {
                let message = message.unwrap();
                let publish = PublishMessage::build().payload(message.payload.clone());
                let publish = publish.headers(message.headers.clone().unwrap_or_default());
                let sent = context.send_publish(to.to_owned(), publish).await.unwrap();
                let (reading, reply) = (reading.clone(), message.reply.clone().unwrap());
                out.push(async move {
                    sent.await.unwrap();
                    // The client's own way of waiting for the server's answer subscribes anew for each message.
                    let request = Request::new().payload(AckKind::Ack.into());
                    reading.send_request(reply, request).await.unwrap();
                });
            }
        }
    }
}
