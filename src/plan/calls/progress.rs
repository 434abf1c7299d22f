//! How far the calls of one request have come.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::document::{self, Asked, extend};
use super::{Call, CallFault, Failure, Fan};
use crate::json::{MAX_DEPTH, Tree};
use crate::path::query::Query;
use crate::plan::exchange::write_path;
use crate::plan::general::Requests;
use crate::plan::route::{Message, Params};
use crate::plan::{
    BodyOut, Direction, Fault, FaultKind, Limits, RequestIn, RequestOut, ResponseIn, ResponseOut, Scratch, Unplaced,
    message,
};
use crate::rules::ast::StatusKey;
use crate::rules::calls::MAX_EACH;

/// A call to be made.
#[derive(Debug)]
pub struct CallOut {
    /// Its name in the rules.
    pub name: String,
    /// Which call it is.
    pub call: usize,
    /// Which element of its list it is made for.
    pub item: usize,
    /// The request. Its body is JSON whatever its media type; [`super::wire::encode`] says how it is sent.
    pub request: RequestOut,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// What came of a call.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// An answer; its body is JSON (see [`super::wire::decode`]).
    Given(ResponseIn<'a>),
    /// None.
    Missing,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Next {
    /// These calls.
    Send(Vec<CallOut>),
    /// Nothing, before a call that was made is answered.
    Wait,
    /// It is over; this is the answer.
    Done(ResponseOut),
    /// It is over without one.
    Failed(Failure),
}

/// The calls of one request.
#[derive(Debug)]
pub struct Progress {
    asked: Asked,
    states: Vec<State>,
    /// Calls that were made and not answered.
    flying: usize,
    failed: Option<Failure>,
    /// No further call is made.
    ended: bool,
}

/// How far one call has come.
#[derive(Debug)]
enum State {
    Waiting,
    /// It is made for these elements, as many of them as were sent yet.
    Going {
        items: Vec<Option<Vec<u8>>>,
        sent: Vec<RequestOut>,
        answers: Vec<Option<Vec<u8>>>,
        open: usize,
    },
    /// Left out.
    Absent,
}

impl State {
    fn is_settled(&self) -> bool {
        match self {
            Self::Waiting => false,
            Self::Going { items, sent, open, .. } => *open == 0 && sent.len() == items.len(),
            Self::Absent => true,
        }
    }

    /// Its answers as one document.
    fn document(&self, is_list: bool) -> Option<Cow<'_, [u8]>> {
        let Self::Going { answers, .. } = self else { return None };
        if !is_list {
            return answers.first()?.as_deref().map(Cow::Borrowed);
        }
        let mut text = vec![b'['];
        for (index, answer) in answers.iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            text.extend_from_slice(answer.as_deref().unwrap_or(b"null"));
        }
        text.push(b']');
        Some(Cow::Owned(text))
    }
}

impl Fan<'_> {
    /// Begins with a request; nothing where the route's condition does not hold for it.
    ///
    /// # Errors
    /// The request cannot be read, or cannot be brought to the version whose call becomes several.
    pub fn begin(
        &self,
        request: &RequestIn<'_>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<Option<Progress>, CallFault> {
        let moved = self.before.request(request, None, scratch, limits).map_err(CallFault::caller)?;
        let body = match &moved.body {
            BodyOut::Unchanged => request.body,
            BodyOut::Replaced(body) => Some(body.as_slice()).filter(|body| !body.is_empty()),
        };
        let (method, query, headers) = (&moved.method, moved.query.as_deref(), &moved.headers);
        let seen = RequestIn { method, path: &moved.path, query, headers, body };
        let asked = Asked::new(&self.calls.old.template, &seen)?;
        if let Some(when) = &self.calls.when
            && !holds(when, &asked.view).map_err(CallFault::caller)?
        {
            return Ok(None);
        }
        let states = self.calls.calls.iter().map(|_| State::Waiting).collect();
        Ok(Some(Progress { asked, states, flying: 0, failed: None, ended: false }))
    }

    /// What is to be done now, with at most `at_once` calls under way.
    ///
    /// # Errors
    /// A call cannot be made of what is known, or the answers make no response.
    pub fn next(
        &self,
        progress: &mut Progress,
        at_once: usize,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<Next, CallFault> {
        let mut out = Vec::new();
        let mut changed = true;
        while std::mem::take(&mut changed) && !progress.ended {
            for (index, call) in self.calls.calls.iter().enumerate() {
                let is_ready = |one: &usize| progress.states.get(*one).is_some_and(State::is_settled);
                if matches!(progress.states.get(index), Some(State::Waiting)) && call.after.iter().all(is_ready) {
                    let state = self.start(call, progress)?;
                    changed |= state.is_settled();
                    progress.set(index, state);
                }
                while progress.flying < at_once
                    && let Some(made) = self.make(index, progress, scratch, limits)?
                {
                    out.push(made);
                }
            }
        }
        match (out.is_empty(), progress.flying) {
            (false, _) => Ok(Next::Send(out)),
            (true, 0) => self.finish(progress, scratch, limits),
            (true, _) => Ok(Next::Wait),
        }
    }

    /// Takes note of what came of a call.
    ///
    /// # Errors
    /// The answer is no JSON, or cannot be brought to the version that the call speaks.
    pub fn answer(
        &self,
        progress: &mut Progress,
        (index, item): (usize, usize),
        answer: Answer<'_>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<(), CallFault> {
        let (Some(call), Some(State::Going { sent, answers, open, .. })) =
            (self.calls.calls.get(index), progress.states.get_mut(index))
        else {
            return Ok(());
        };
        progress.flying = progress.flying.saturating_sub(1);
        *open = open.saturating_sub(1);
        let given = match answer {
            Answer::Missing => None,
            Answer::Given(response) => {
                let name = |fault: Fault| CallFault::service(fault.within(&call.name));
                let moved = self.back(&response, sent.get(item), scratch, limits).map_err(name)?;
                let body = match &moved.body {
                    BodyOut::Unchanged => response.body,
                    BodyOut::Replaced(body) => Some(body.as_slice()).filter(|body| !body.is_empty()),
                };
                Some((moved.status, document::answered(moved.status, &moved.headers, body).map_err(name)?))
            }
        };
        let is_good = given.as_ref().is_some_and(|(status, _)| status.is_success());
        let status = given.as_ref().map(|(status, _)| *status);
        let kept = match (is_good, &call.how.partial) {
            (false, Some(partial)) => Some(partial.clone().into_bytes()),
            _ => given.map(|(_, document)| document),
        };
        if let Some(slot) = answers.get_mut(item) {
            *slot = kept;
        }
        if !is_good && !call.how.optional {
            progress.ended = true;
            progress.failed.get_or_insert(Failure { call: Some(call.name.clone()), status });
        }
        if let Some(stop) = call.how.stop.as_ref().filter(|_| !progress.ended) {
            progress.ended = holds(stop, &self.document(progress, None)).map_err(CallFault::service)?;
        }
        Ok(())
    }

    /// The calls that were not made, each with those whose answers it waits for.
    pub fn waiting(&self, progress: &Progress) -> Vec<(&str, Vec<&str>)> {
        let is_open = |index: &usize| progress.states.get(*index).is_some_and(|state| !state.is_settled());
        let calls = self.calls.calls.iter().enumerate();
        let waiting = calls.filter(|(index, _)| matches!(progress.states.get(*index), Some(State::Waiting)));
        let name = |index: &usize| self.calls.calls.get(*index).map(|call| call.name.as_str());
        let needs = |call: &Call| call.after.iter().filter(|index| is_open(index)).filter_map(name).collect();
        waiting.map(|(_, call)| (call.name.as_str(), needs(call))).collect()
    }

    /// The old request with every answer so far.
    fn document(&self, progress: &Progress, item: Option<&[u8]>) -> Vec<u8> {
        let calls = self.calls.calls.iter().zip(&progress.states);
        let answers = calls.filter_map(|(call, state)| {
            let document = state.document(call.how.each.is_some())?;
            Some((call.name.as_str(), document))
        });
        let answers: Vec<_> = answers.collect();
        let mut members: Vec<(&str, &[u8])> = answers.iter().map(|(name, answer)| (*name, answer.as_ref())).collect();
        members.extend(item.map(|item| ("item", item)));
        extend(&progress.asked.view, &members)
    }

    /// Whether a call is made, and for which elements.
    fn start(&self, call: &Call, progress: &Progress) -> Result<State, CallFault> {
        let text = self.document(progress, None);
        let blame = |fault| self.blame(fault);
        if let Some(when) = &call.how.when
            && !holds(when, &text).map_err(blame)?
        {
            return Ok(State::Absent);
        }
        let items = match &call.how.each {
            None => vec![None],
            Some(place) => {
                let document = parse(&text).map_err(blame)?;
                let fault = |text: String| self.blame(Fault::guard(text.into()).within(&place.to_string()));
                let list = match document::value_at(place, &document) {
                    None => &[][..],
                    Some(list) => list.elements().ok_or_else(|| fault("expected a list".to_owned()))?,
                };
                if list.len() > MAX_EACH {
                    return Err(fault(format!("expected at most {MAX_EACH} elements")));
                }
                list.iter().map(|element| Some(element.raw.to_vec())).collect()
            }
        };
        let answers = vec![None; items.len()];
        Ok(State::Going { items, sent: Vec::new(), answers, open: 0 })
    }

    /// The next request of a call that has begun, if one is left.
    fn make(
        &self,
        index: usize,
        progress: &mut Progress,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<Option<CallOut>, CallFault> {
        let (Some(call), Some(State::Going { items, sent, .. })) =
            (self.calls.calls.get(index), progress.states.get(index))
        else {
            return Ok(None);
        };
        let item = sent.len();
        let Some(element) = items.get(item) else { return Ok(None) };
        let text = self.document(progress, element.as_deref());
        let own = self.request(call, &text, progress, scratch, limits).map_err(|fault| self.blame(fault))?;
        let request = self.forth(&own, scratch, limits).map_err(|fault| self.blame(fault))?;
        if let Some(State::Going { sent, open, .. }) = progress.states.get_mut(index) {
            sent.push(own);
            *open += 1;
        }
        progress.flying += 1;
        Ok(Some(CallOut { name: call.name.clone(), call: index, item, request, timeout: call.how.timeout }))
    }

    /// A call's request, as its rules make it.
    fn request(
        &self,
        call: &Call,
        text: &[u8],
        progress: &Progress,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<RequestOut, Fault> {
        let asked = &progress.asked;
        let (template, document) = (&call.target.template, parse(text)?);
        let method = match template.method.as_str() {
            "*" => asked.method.clone(),
            name => Method::from_bytes(name.as_bytes()).unwrap_or_else(|_| asked.method.clone()),
        };
        let mut out = Vec::new();
        let mut headers = asked.headers.clone();
        let unpacked = match &call.request {
            None => message::Unpacked::default(),
            Some(rules) => {
                let limits = Limits { unplaced: Unplaced::Refuse, ..limits };
                let requests = Requests { old: Some(&asked.view), new: Some(&asked.view) };
                self.step.translate_within(rules.of, Direction::Up, text, requests, &mut out, scratch, limits)?;
                let unpacked = message::unpack(&out)?;
                message::write_headers(&mut headers, rules.parts(Direction::Up), &unpacked)?;
                unpacked
            }
        };
        let body = unpacked.body.map(<[u8]>::to_vec).unwrap_or_default();
        if body.is_empty() {
            headers.remove(header::CONTENT_TYPE);
        }
        let query = match &call.request {
            None => None,
            Some(rules) => message::write_query(None, rules.parts(Direction::Up), &unpacked.query, false)?,
        };
        let (path, query) = if let Some(place) = &call.target.address {
            let (path, own) = document::address(place, &document)?;
            let both: Vec<String> = own.into_iter().chain(query).collect();
            (path, Some(both.join("&")).filter(|query| !query.is_empty()))
        } else {
            let mut given = unpacked.path.clone();
            for (name, place) in &call.target.given {
                let missing = || Fault::new(FaultKind::Missing, "there is no value for the call's path");
                let value = document::value_at(place, &document).ok_or_else(|| missing().within(&place.to_string()))?;
                given.push((Cow::Borrowed(name.as_str()), value.clone()));
            }
            let params: Params<'_> = asked.params.iter().map(|(name, raw)| (name.as_str(), raw.as_str())).collect();
            let query = message::give_query(template, query.as_deref(), &params, &given)?;
            (write_path(&template.segments, &params, &given)?, query)
        };
        Ok(RequestOut { method, path, query, headers, body: BodyOut::Replaced(body) })
    }

    /// A call's request as the version that answers wants it.
    fn forth(&self, own: &RequestOut, scratch: &mut Scratch, limits: Limits) -> Result<RequestOut, Fault> {
        let seen = seen(own);
        let moved = match self.after {
            (spoken, served) if spoken == served => None,
            (spoken, served) => Some(self.exchange(&seen, spoken, served)?.request(&seen, None, scratch, limits)?),
        };
        let body = |request: &RequestOut| match &request.body {
            BodyOut::Unchanged => own.body.clone(),
            replaced @ BodyOut::Replaced(_) => replaced.clone(),
        };
        let out = moved.as_ref().unwrap_or(own);
        let (path, query, headers) = (out.path.clone(), out.query.clone(), out.headers.clone());
        Ok(RequestOut { method: out.method.clone(), path, query, headers, body: body(out) })
    }

    /// An answer as the version that the call speaks would have given it.
    fn back(
        &self,
        response: &ResponseIn<'_>,
        own: Option<&RequestOut>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<ResponseOut, Fault> {
        if let (Some(own), (spoken, served)) = (own, self.after)
            && spoken != served
        {
            let seen = seen(own);
            return self.exchange(&seen, spoken, served)?.response(response, Some(&seen), scratch, limits);
        }
        let (status, headers) = (response.status, response.headers.clone());
        Ok(ResponseOut { status, headers, body: BodyOut::Unchanged, dropped: 0 })
    }

    fn exchange(&self, seen: &RequestIn<'_>, from: usize, to: usize) -> Result<crate::plan::Exchange<'_>, Fault> {
        let found = self.plan.exchange(from, to, seen.method.as_str(), (seen.path, seen.query));
        found.map_err(|_| {
            Fault::new(FaultKind::Missing, "a later version has no route for one of the calls").within("path")
        })
    }

    /// The response that the answers come to.
    fn finish(&self, progress: &Progress, scratch: &mut Scratch, limits: Limits) -> Result<Next, CallFault> {
        if let Some(failure) = progress.failed.as_ref().filter(|failure| failure.status.is_none()) {
            return Ok(Next::Failed(failure.clone()));
        }
        let status = progress.failed.as_ref().and_then(|failure| failure.status);
        let status = status.or_else(|| self.last_good(progress)).unwrap_or(StatusCode::OK);
        let text = self.answers(progress);
        let Some((own, rules)) = self.rules(status, &text)? else {
            let unknown = Failure { call: None, status: Some(status) };
            return Ok(Next::Failed(progress.failed.clone().unwrap_or(unknown)));
        };
        let status = match own {
            StatusKey::Exact(own) => StatusCode::from_u16(own).unwrap_or(status),
            StatusKey::Class(_) | StatusKey::Default => status,
        };
        let mut response =
            ResponseOut { status, headers: HeaderMap::new(), body: BodyOut::Replaced(Vec::new()), dropped: 0 };
        if let Some(rules) = rules {
            self.response(rules, &text, progress, &mut response, scratch, limits).map_err(CallFault::service)?;
        }
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
        let requests = Requests { old: Some(&progress.asked.view), new: Some(&progress.asked.view) };
        let mut out = Vec::new();
        self.step.translate_within(rules.of, Direction::Down, text, requests, &mut out, scratch, limits)?;
        response.dropped = scratch.dropped();
        let unpacked = message::unpack(&out)?;
        message::write_headers(&mut response.headers, rules.parts(Direction::Down), &unpacked)?;
        if let Some(status) = &unpacked.status {
            let number = std::str::from_utf8(status.raw).ok().and_then(|text| text.parse().ok());
            let unfit = || Fault::guard("expected a status of three digits".into()).within("status");
            response.status = number.ok_or_else(unfit)?;
        }
        if let Some(body) = unpacked.body {
            let json = HeaderValue::from_static("application/json");
            response.headers.entry(header::CONTENT_TYPE).or_insert(json);
            response.body = BodyOut::Replaced(body.to_vec());
        }
        Ok(())
    }

    /// All answers, and the request as `request`.
    fn answers(&self, progress: &Progress) -> Vec<u8> {
        let calls = self.calls.calls.iter().zip(&progress.states);
        let documents: Vec<_> = calls
            .filter_map(|(call, state)| Some((call.name.as_str(), state.document(call.how.each.is_some())?)))
            .collect();
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
        let rank = |key: &StatusKey| match key {
            StatusKey::Exact(_) => 2,
            StatusKey::Class(_) => 1,
            StatusKey::Default => 0,
        };
        let fitting = self.calls.responses.iter().filter(|(key, _)| key.covers(status.as_u16()));
        Ok(fitting.max_by_key(|(key, _)| rank(key)).map(|(key, message)| (*key, Some(message))))
    }

    /// The status of the last answer, in written order, that is none of a failure.
    fn last_good(&self, progress: &Progress) -> Option<StatusCode> {
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

    /// Whose fault it is: that of an answer that it lies in, else the caller's.
    fn blame(&self, mut fault: Fault) -> CallFault {
        fault.offset = None;
        let first = fault.place.split(['.', '[']).next().unwrap_or_default();
        if self.calls.calls.iter().any(|call| call.name == first) {
            return CallFault::service(fault);
        }
        if let Some(place) = fault.place.strip_prefix("body.") {
            fault.place = place.to_owned();
        }
        CallFault::caller(fault)
    }
}

impl Progress {
    fn set(&mut self, index: usize, state: State) {
        if let Some(slot) = self.states.get_mut(index) {
            *slot = state;
        }
    }
}

/// A request that rules have made, as rules see it.
fn seen(request: &RequestOut) -> RequestIn<'_> {
    let body = match &request.body {
        BodyOut::Unchanged => None,
        BodyOut::Replaced(body) => Some(body.as_slice()).filter(|body| !body.is_empty()),
    };
    let (path, query) = (request.path.as_str(), request.query.as_deref());
    RequestIn { method: &request.method, path, query, headers: &request.headers, body }
}

fn parse(text: &[u8]) -> Result<Tree<'_>, Fault> {
    Ok(Tree::parse(text, MAX_DEPTH)?)
}

/// Whether a condition holds for a document.
fn holds(query: &Query, text: &[u8]) -> Result<bool, Fault> {
    let costly = |_| Fault::new(FaultKind::TooLarge, "a condition needs more steps than the limit");
    query.matches(&parse(text)?).map_err(costly)
}
