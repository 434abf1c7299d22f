//! What is published: in order, each confirmed by the stream that has it.

use std::sync::Arc;

use async_nats::Subject;
use async_nats::client::{PublishError, PublishErrorKind};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::GetStreamByNameErrorKind;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;

use super::super::super::broker::{Boxed, Confirm, Lost, Sink, Unpublished};
use super::super::super::message::Message;
use super::answers::silence;
use super::connect::Link;
use super::headers;
use crate::rules::channel::Address;

/// Where a client waits for a reply. No stream has it, so nobody confirms more than that it was sent.
const INBOX: &str = "_INBOX.";

pub(super) fn open(link: Arc<Link>) -> Box<dyn Sink> {
    Box::new(Writer { link, last: None })
}

struct Writer {
    link: Arc<Link>,
    /// Where the last message went: most go there, too.
    last: Option<Subject>,
}

impl Writer {
    fn subject(&mut self, text: &str) -> Subject {
        self.last.take_if(|last| last.as_str() != text);
        self.last.get_or_insert_with(|| Subject::from(text)).clone()
    }

    async fn publish(
        &mut self,
        to: &Address,
        mut message: Message,
        once: Option<String>,
    ) -> Result<Confirm, Unpublished> {
        let Address::Subject { subject, .. } = to else { return Err(Unpublished::Unroutable) };
        let headers = headers::write(&mut message, once.as_deref())?;
        let subject = self.subject(subject);
        if subject.starts_with(INBOX) {
            let client = self.link.client.clone();
            let sent = client.publish_with_headers(subject, headers, message.body).await;
            sent.map_err(|error| Unpublished::Lost(error.to_string()))?;
            return Ok(Box::pin(
                async move { client.flush().await.map_err(|error| Unpublished::Lost(error.to_string())) },
            ));
        }
        let link = self.link.clone();
        let sent = link.answers.ask(subject.clone(), Some(headers), message.body).await;
        let answer = sent.map_err(|error| unsent(&error))?;
        Ok(Box::pin(async move {
            match answer.await {
                Ok(answer) if answer.is_nobody => Err(unheard(&link, &subject).await),
                Ok(answer) => stored(&answer.payload),
                Err(_) => Err(Unpublished::Lost(silence().0)),
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
            if !self.link.is_good() {
                return Err(Lost("the connection is gone".to_owned()));
            }
            let handed = self.publish(to, message, once).await;
            Ok(handed.unwrap_or_else(|why| Box::pin(std::future::ready(Err(why)))))
        })
    }
}

fn unsent(error: &PublishError) -> Unpublished {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Unpublished::TooLarge,
        PublishErrorKind::InvalidSubject => Unpublished::Refused(error.to_string()),
        PublishErrorKind::Send => Unpublished::Lost(error.to_string()),
    }
}

/// Nobody has answered: there is no stream, or a server that does not have it yet.
async fn unheard(link: &Link, subject: &str) -> Unpublished {
    match link.context.stream_by_subject(subject).await {
        Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => Unpublished::Unroutable,
        Ok(_) | Err(_) => Unpublished::Refused("the stream does not answer".to_owned()),
    }
}

/// Whether an answer says that a stream has the message.
fn stored(answer: &[u8]) -> Result<(), Unpublished> {
    // All but a few say so in a line that need not be parsed to be known.
    let has = |part: &[u8]| answer.windows(part.len()).any(|found| found == part);
    let is_object = answer.starts_with(b"{") && answer.ends_with(b"}");
    if is_object && has(b"\"stream\":") && has(b"\"seq\":") && !has(b"\"error\"") {
        return Ok(());
    }
    match serde_json::from_slice::<Response<PublishAck>>(answer) {
        Ok(Response::Ok(_)) => Ok(()),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => {
            Err(Unpublished::TooLarge)
        }
        Ok(Response::Err { error }) => Err(Unpublished::Refused(error.to_string())),
        Err(error) => Err(Unpublished::Refused(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_stream_has_is_stored() {
        assert!(stored(br#"{"stream":"S","seq":7}"#).is_ok());
        assert!(stored(br#"{"stream":"S","domain":"d","seq":7,"duplicate":true}"#).is_ok());
        let refused = |text: &str| stored(text.as_bytes()).unwrap_err();
        let full =
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}"#;
        assert!(matches!(refused(full), Unpublished::Refused(why) if why.contains("maximum messages exceeded")));
        let large = r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#;
        assert!(matches!(refused(large), Unpublished::TooLarge));
        for nothing in ["", "{}", "+OK", r#"{"stream":"S"}"#] {
            assert!(matches!(refused(nothing), Unpublished::Refused(_)), "{nothing}");
        }
    }
}
