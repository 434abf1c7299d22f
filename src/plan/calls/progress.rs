//! How far the calls of one request have come.

use std::borrow::Cow;
use std::time::Duration;

use super::document::{self, Asked, extend, holds, parse};
use super::{Call, CallFault, Failure, Fan};
use crate::json::separate;
use crate::plan::{BodyOut, Fault, Limits, RequestIn, RequestOut, ResponseIn, ResponseOut, Scratch};
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
    /// The request. Its body is JSON whatever its media type; [`crate::plan::wire::encode`] says how it is sent.
    pub request: RequestOut,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// What came of a call.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// An answer; its body is JSON (see [`crate::plan::wire::decode`]).
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
    pub(super) asked: Asked,
    /// The request as its caller sent it, where that is another version's.
    pub(super) original: Option<RequestOut>,
    pub(super) states: Vec<State>,
    /// Calls that were made and not answered.
    flying: usize,
    pub(super) failed: Option<Failure>,
    /// No further call is made.
    ended: bool,
}

/// How far one call has come.
#[derive(Debug)]
pub(super) enum State {
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
    pub(super) fn document(&self, is_list: bool) -> Option<Cow<'_, [u8]>> {
        let Self::Going { answers, .. } = self else { return None };
        if !is_list {
            return answers.first()?.as_deref().map(Cow::Borrowed);
        }
        let mut text = vec![b'['];
        for answer in answers {
            separate(&mut text);
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
        let asked = Asked::new(&self.calls.old.template, &moved.seen_over(request.body))?;
        if let Some(when) = &self.calls.when
            && !holds(when, &asked.view).map_err(CallFault::caller)?
        {
            return Ok(None);
        }
        let states = self.calls.all.iter().map(|_| State::Waiting).collect();
        let original = self
            .before
            .served_template()
            .map(|_| RequestOut::of(request, BodyOut::Replaced(request.body.map(<[u8]>::to_vec).unwrap_or_default())));
        Ok(Some(Progress { asked, original, states, flying: 0, failed: None, ended: false }))
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
            for (index, call) in self.calls.all.iter().enumerate() {
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
            (self.calls.all.get(index), progress.states.get_mut(index))
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
                let body = moved.body.over(response.body);
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
        let calls = self.calls.all.iter().enumerate();
        let waiting = calls.filter(|(index, _)| matches!(progress.states.get(*index), Some(State::Waiting)));
        let name = |index: &usize| self.calls.all.get(*index).map(|call| call.name.as_str());
        let needs = |call: &Call| call.after.iter().filter(|index| is_open(index)).filter_map(name).collect();
        waiting.map(|(_, call)| (call.name.as_str(), needs(call))).collect()
    }

    /// Every answer so far by its call's name.
    pub(super) fn documents<'q>(&'q self, progress: &'q Progress) -> Vec<(&'q str, Cow<'q, [u8]>)> {
        let calls = self.calls.all.iter().zip(&progress.states);
        calls.filter_map(|(call, state)| Some((call.name.as_str(), state.document(call.how.each.is_some())?))).collect()
    }

    /// The old request with every answer so far.
    fn document(&self, progress: &Progress, item: Option<&[u8]>) -> Vec<u8> {
        let answers = self.documents(progress);
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
            (self.calls.all.get(index), progress.states.get(index))
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

    /// Whose fault it is: that of an answer that it lies in, else the caller's.
    fn blame(&self, mut fault: Fault) -> CallFault {
        fault.offset = None;
        let first = fault.place.split(['.', '[']).next().unwrap_or_default();
        if self.calls.all.iter().any(|call| call.name == first) {
            return CallFault::service(fault);
        }
        // The caller's own fields are named as it sent them.
        let place = fault.place.strip_prefix("body.").map(str::to_owned);
        fault.place = place.unwrap_or(fault.place);
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
