//! A subject that is looked through: messages are read by their place in the stream, and no consumer is told.
//!
//! The client has a call for this, but keeps only one of several headers of one name, and writes what it got into the log.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::client::Request;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{DeleteMessageErrorKind, RawMessage, Stream};
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::super::super::broker::{Boxed, Inbound, Look, Lost, Settle};
use super::super::super::message::Message;
use super::connect::Link;
use super::{headers, source};
use crate::codecs::decode_base64;

/// Begins to look behind a position.
pub(super) async fn open(
    link: Arc<Link>,
    (subject, named): (&str, Option<&str>),
    after: Option<&str>,
) -> Result<Box<dyn Look>, Lost> {
    let stream = source::stream(&link, subject, named).await?;
    let state = &stream.cached_info().state;
    let last = state.last_sequence;
    let after = after.and_then(|position| position.rsplit_once('/')?.1.parse::<u64>().ok());
    let next = after.map_or(state.first_sequence, |after| after.saturating_add(1)).max(1);
    let name = stream.cached_info().config.name.clone();
    Ok(Box::new(Looker { stream, name, link, subject: subject.to_owned(), next, last }))
}

struct Looker {
    stream: Stream,
    name: String,
    link: Arc<Link>,
    subject: String,
    next: u64,
    /// What comes after it came after the look began.
    last: u64,
}

/// What the server answers.
#[derive(Deserialize)]
struct Got {
    message: RawMessage,
}

impl Looker {
    /// The first message of the subject from a place on.
    async fn get(&self, from: u64) -> Result<Option<RawMessage>, Lost> {
        let failed = |error: &dyn std::fmt::Display| Lost::when(&format!("subject {}", self.subject), error);
        let asked = json!({"seq": from, "next_by_subj": self.subject}).to_string();
        let request = Request::new().payload(Bytes::from(asked));
        let answer = tokio::select! {
            answer = self.link.client.send_request(format!("$JS.API.STREAM.MSG.GET.{}", self.name), request) => {
                answer.map_err(|error| failed(&error))?
            }
            () = self.link.lost() => return Err(Lost("the connection is gone".to_owned())),
        };
        let answer: Response<Got> = serde_json::from_slice(&answer.payload).map_err(|error| failed(&error))?;
        match answer {
            Response::Ok(got) => Ok(Some(got.message)),
            Response::Err { error } if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
            Response::Err { error } => Err(failed(&error)),
        }
    }
}

impl Look for Looker {
    fn next(&mut self) -> Boxed<'_, Result<Option<Inbound>, Lost>> {
        Box::pin(async move {
            if self.next > self.last {
                return Ok(None);
            }
            let Some(found) = self.get(self.next).await?.filter(|found| found.sequence <= self.last) else {
                self.next = self.last.saturating_add(1);
                return Ok(None);
            };
            self.next = found.sequence.saturating_add(1);
            let position = format!("{}/{}", self.name, found.sequence);
            let unreadable = || Lost(format!("{position} cannot be read"));
            let written = found.headers.as_deref().map(|text| decode_base64(text.as_bytes()).ok_or_else(unreadable));
            let map = written.transpose()?.map(|bytes| read_headers(&bytes).ok_or_else(unreadable)).transpose()?;
            let (headers, properties) = headers::read(map.as_ref(), &found.subject);
            let body = Bytes::from(decode_base64(found.payload.as_bytes()).ok_or_else(unreadable)?);
            let settle = Settled { stream: self.stream.clone(), link: self.link.clone(), at: found.sequence };
            let message = Message { body, properties, headers };
            let (position, settle) = (Some(position), Box::new(settle));
            Ok(Some(Inbound { message, position, redelivered: false, waited: Duration::ZERO, settle }))
        })
    }

    fn end(self: Box<Self>) -> Boxed<'static, ()> {
        // Nothing was taken.
        Box::pin(std::future::ready(()))
    }
}

/// Headers as the stream keeps them: a line of the version, and one for each value.
fn read_headers(bytes: &[u8]) -> Option<HeaderMap> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    lines.next().filter(|line| line.starts_with("NATS/1.0"))?;
    let mut map = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        map.append(HeaderName::from_str(name).ok()?, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some(map)
}

struct Settled {
    stream: Stream,
    link: Arc<Link>,
    at: u64,
}

impl Settle for Settled {
    fn done(self: Box<Self>) -> Boxed<'static, Result<(), Lost>> {
        Box::pin(async move {
            tokio::select! {
                deleted = self.stream.delete_message(self.at) => match deleted {
                    Ok(_) => Ok(()),
                    // Somebody else has done so.
                    Err(error) if is_gone(&error.kind()) => Ok(()),
                    Err(error) => Err(Lost::when("the message could not be deleted", error)),
                },
                () = self.link.lost() => Err(Lost("the connection is gone".to_owned())),
            }
        })
    }
}

fn is_gone(why: &DeleteMessageErrorKind) -> bool {
    matches!(why, DeleteMessageErrorKind::JetStream(error) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND)
}
