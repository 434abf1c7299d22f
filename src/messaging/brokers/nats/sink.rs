//! What is published: in order, each confirmed by the stream that has it.

use std::sync::Arc;

use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{GetStreamByNameErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;

use super::super::super::broker::{Boxed, Confirm, Lost, Sink, Unpublished};
use super::super::super::message::Message;
use super::connect::Link;
use super::headers;
use crate::rules::channel::Address;

/// Where a client waits for a reply. No stream has it, so nobody confirms more than that it was sent.
const INBOX: &str = "_INBOX.";

pub(super) fn open(link: Arc<Link>) -> Box<dyn Sink> {
    Box::new(Writer(link))
}

struct Writer(Arc<Link>);

impl Writer {
    async fn publish(&self, to: &Address, mut message: Message, once: Option<String>) -> Result<Confirm, Unpublished> {
        let Address::Subject { subject, .. } = to else { return Err(Unpublished::Unroutable) };
        let headers = headers::write(&mut message, once.as_deref())?;
        if subject.starts_with(INBOX) {
            let client = self.0.client.clone();
            let sent = client.publish_with_headers(subject.clone(), headers, message.body).await;
            sent.map_err(|error| Unpublished::Lost(error.to_string()))?;
            return Ok(Box::pin(
                async move { client.flush().await.map_err(|error| Unpublished::Lost(error.to_string())) },
            ));
        }
        let publish = PublishMessage::build().payload(message.body).headers(headers);
        let sent = self.0.context.send_publish(subject.clone(), publish).await;
        let link = self.0.clone();
        let subject = subject.clone();
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => return Err(why(&link, &subject, &error).await),
        };
        Ok(Box::pin(async move {
            tokio::select! {
                answer = sent.into_future() => match answer {
                    Ok(_) => Ok(()),
                    Err(error) => Err(why(&link, &subject, &error).await),
                },
                () = link.lost() => Err(Unpublished::Lost("the connection is gone".to_owned())),
            }
        }))
    }
}

impl Sink for Writer {
    fn enqueue<'s>(
        &'s mut self,
        to: &'s Address,
        message: Message,
        once: Option<String>,
    ) -> Boxed<'s, Result<Confirm, Lost>> {
        Box::pin(async move {
            if !self.0.is_good() {
                return Err(Lost("the connection is gone".to_owned()));
            }
            let handed = self.publish(to, message, once).await;
            Ok(handed.unwrap_or_else(|why| Box::pin(std::future::ready(Err(why)))))
        })
    }
}

async fn why(link: &Link, subject: &str, error: &PublishError) -> Unpublished {
    match error.kind() {
        // Nobody has answered: there is no stream, or a server that does not have it yet.
        PublishErrorKind::StreamNotFound => match link.context.stream_by_subject(subject).await {
            Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => Unpublished::Unroutable,
            Ok(_) | Err(_) => Unpublished::Refused("the stream does not answer".to_owned()),
        },
        PublishErrorKind::MaxPayloadExceeded => Unpublished::TooLarge,
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => Unpublished::Lost(error.to_string()),
        _ => match said(error) {
            Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM) => Unpublished::TooLarge,
            _ => Unpublished::Refused(error.to_string()),
        },
    }
}

fn said(error: &PublishError) -> Option<ErrorCode> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<jetstream::Error>().map(jetstream::Error::error_code)
}
