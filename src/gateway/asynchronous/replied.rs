//! Replies to calls that became messages.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::Asynchronous;
use super::operation::{self, State};
use super::order::Answer;
use crate::messaging::message::Message;
use crate::messaging::replies::pending::Callers;
use crate::store::{Boxed, Change, StoreError};

/// The status of the response that a reply is; 200 where it says none.
const STATUS: &str = "bifocal-status";

impl Callers for Asynchronous {
    fn waits(&self, service: &str, id: &str) -> Result<bool, StoreError> {
        let found = operation::find(&self.keeper.store()?, service, id)?;
        Ok(found.is_some_and(|one| one.state == State::Asked))
    }

    fn answer(
        &self,
        service: &str,
        id: &str,
        (version, reply): (String, Message),
        with: Change,
    ) -> Boxed<Result<(), StoreError>> {
        let store = match self.keeper.store() {
            Ok(store) => store,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let (service, id, changed) = (service.to_owned(), id.to_owned(), self.changed.clone());
        let kept = store.change(move |tables| {
            operation::reply(tables, (&service, &id), response(&version, &reply))?;
            with(tables)
        });
        Box::pin(async move {
            kept.await?;
            changed.send_modify(|count| *count = count.wrapping_add(1));
            Ok(())
        })
    }
}

/// A reply as a response in the terms of a version.
fn response(version: &str, reply: &Message) -> Answer {
    let status = reply.headers.get(STATUS).and_then(|text| text.trim().parse::<u16>().ok());
    let status = status.filter(|status| (200..600).contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, text: Option<&str>| {
        let value = text.filter(|text| !text.is_empty()).and_then(|text| HeaderValue::from_str(text).ok());
        headers.extend(value.map(|value| (name, value)));
    };
    set(header::CONTENT_TYPE, reply.properties.content_type.as_deref());
    set(header::CONTENT_ENCODING, reply.properties.content_encoding.as_deref().filter(|text| *text != "utf-8"));
    set(header::CONTENT_LANGUAGE, reply.headers.get("content-language"));
    Answer::new(Some(version), status, &headers, reply.body.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_says_its_status() {
        for (said, status) in
            [(None, 200), (Some("404"), 404), (Some("99"), 200), (Some("no"), 200), (Some("600"), 200)]
        {
            let mut reply = Message::default();
            if let Some(said) = said {
                reply.headers.set("Bifocal-Status", said);
            }
            assert_eq!(response("v2", &reply).status().as_u16(), status, "{said:?}");
        }
    }
}
