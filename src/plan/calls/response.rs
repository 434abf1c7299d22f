//! What the answers of all calls come to.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::document::{extend, holds};
use super::progress::{Next, Progress, State};
use super::{CallFault, Failure, Fan};
use crate::json::{MAX_DEPTH, Tree};
use crate::plan::route::{self, Message};
use crate::plan::{BodyOut, Direction, Fault, Limits, ResponseIn, ResponseOut, Scratch, Unplaced, message};
use crate::rules::ast::StatusKey;

impl Fan<'_> {
    /// The response that the answers come to.
    pub(super) fn finish(&self, progress: &Progress, scratch: &mut Scratch, limits: Limits) -> Result<Next, CallFault> {
        if let Some(failure) = progress.failed.as_ref().filter(|failure| failure.status.is_none()) {
            return Ok(Next::Failed(failure.clone()));
        }
        let status = progress.failed.as_ref().and_then(|failure| failure.status);
        let status = status.or_else(|| last_good(progress)).unwrap_or(StatusCode::OK);
        let text = self.answers(progress);
        let Some((own, rules)) = self.rules(status, &text)? else {
            let unknown = Failure { call: None, status: Some(status) };
            return Ok(Next::Failed(progress.failed.clone().unwrap_or(unknown)));
        };
        let (headers, body) = (HeaderMap::new(), BodyOut::Replaced(Vec::new()));
        let mut response = ResponseOut { status: own.or(status), headers, body, dropped: 0 };
        if let Some(rules) = rules {
            self.response(rules, &text, progress, &mut response, scratch, limits).map_err(CallFault::service)?;
        }
        let response = self.home(response, progress, scratch, limits).map_err(CallFault::service)?;
        Ok(Next::Done(response))
    }

    fn response(
        &self,
        rules: &Message,
        text: &[u8],
        progress: &Progress,
        response: &mut ResponseOut,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<(), Fault> {
        let limits = Limits { unplaced: Unplaced::Drop, ..limits };
        let here = self.here();
        let requests = super::requests(progress, &here);
        let mut out = Vec::new();
        self.step.translate_within(rules.of, Direction::Down, text, requests, &mut out, scratch, limits)?;
        response.dropped = scratch.dropped();
        let unpacked = message::unpack(&out)?;
        message::write_headers(&mut response.headers, rules.parts(Direction::Down), &unpacked)?;
        if let Some(status) = unpacked.status_code()? {
            response.status = status;
        }
        if let Some(body) = unpacked.body {
            let json = HeaderValue::from_static("application/json");
            response.headers.entry(header::CONTENT_TYPE).or_insert(json);
            response.body = BodyOut::Replaced(body.to_vec());
        }
        Ok(())
    }

    /// The response as the caller's version knows it.
    fn home(
        &self,
        made: ResponseOut,
        progress: &Progress,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<ResponseOut, Fault> {
        let Some(original) = &progress.original else { return Ok(made) };
        let seen = ResponseIn { status: made.status, headers: &made.headers, body: made.body.over(None) };
        let moved = self.before.response(&seen, Some(&original.seen()), scratch, limits)?;
        let body = if moved.body == BodyOut::Unchanged { made.body } else { moved.body };
        Ok(ResponseOut { body, dropped: made.dropped + moved.dropped, ..moved })
    }

    /// All answers, and the request as `request`.
    fn answers(&self, progress: &Progress) -> Vec<u8> {
        let documents = self.documents(progress);
        let mut members: Vec<(&str, &[u8])> = vec![("request", &progress.asked.view)];
        members.extend(documents.iter().map(|(name, document)| (*name, document.as_ref())));
        extend(b"{}", &members)
    }

    /// The rules for a status, and the status that the caller gets.
    fn rules(&self, status: StatusCode, text: &[u8]) -> Result<Option<(StatusKey, Option<&Message>)>, CallFault> {
        for one in self.calls.mapped.iter().filter(|one| one.new.covers(status.as_u16())) {
            let fits = match &one.when.new {
                None => true,
                Some(query) => holds(query, text).map_err(CallFault::service)?,
            };
            if fits {
                return Ok(Some((one.old, one.message.as_ref())));
            }
        }
        let rules = route::for_status(&self.calls.responses, status.as_u16());
        Ok(rules.map(|(key, message)| (*key, Some(message))))
    }
}

/// The status of the last answer, in written order, that is none of a failure.
fn last_good(progress: &Progress) -> Option<StatusCode> {
    let answers = progress.states.iter().rev().filter_map(|state| match state {
        State::Going { answers, .. } => Some(answers.iter().rev().flatten()),
        State::Waiting | State::Absent => None,
    });
    let statuses = answers.flatten().filter_map(|text| {
        let tree = Tree::parse(text, MAX_DEPTH).ok()?;
        let status = std::str::from_utf8(tree.get("status")?.raw).ok()?.parse::<u16>().ok()?;
        StatusCode::from_u16(status).ok()
    });
    statuses.into_iter().find(StatusCode::is_success)
}
