//! Requests that become several calls, and the answers to those: nothing is sent, so each document says what is known.

use std::collections::VecDeque;

use http::StatusCode;

use super::incoming::{Headers, Members, Request};
use super::limits;
use super::outgoing::{write_answer, write_calls};
use crate::json::Tree;
use crate::plan::{Answer, CallOut, Fan, Next, Progress, ResponseIn, Scratch, ServicePlan};

/// What is to be said of the calls that wait, if anything.
pub(super) type Note = Option<String>;

/// Writes the calls that a request becomes at once; nothing where it becomes one call.
pub(super) fn first(
    plan: &ServicePlan,
    way: (usize, usize),
    request: &Request<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<Option<Note>, String> {
    let Some((fan, mut progress)) = begin(plan, way, request, scratch)? else { return Ok(None) };
    step(&fan, &mut progress, request, scratch, out).map(|(note, _)| Some(note))
}

/// `{request, calls: [{response}, …]}`: what these answers come to. They are in the order in which the calls are printed.
pub(super) fn answered(
    plan: &ServicePlan,
    way: (usize, usize),
    members: &Members<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<Note, String> {
    members.refuse_unknown(&["request", "calls"])?;
    let request = members.get("request").ok_or("`request` is missing: the old request that became these calls")?;
    let request = Members::parse(request)
        .and_then(|members| Request::parse(&members, None))
        .map_err(|reason| format!("`request`: {reason}"))?;
    let Some((fan, mut progress)) = begin(plan, way, &request, scratch)? else {
        return Err("no route with calls takes this `request`".to_owned());
    };
    let calls = members.tree("calls")?;
    let answers = calls.as_ref().and_then(Tree::elements).ok_or("`calls`: expected a list")?;
    let (mut note, mut sent) = step(&fan, &mut progress, &request, scratch, out)?;
    for (index, answer) in answers.iter().enumerate() {
        let told = |reason: String| format!("`calls[{index}]`: {reason}");
        let call = sent.pop_front().ok_or_else(|| told("no call is open that it could answer".to_owned()))?;
        give(&fan, &mut progress, &call, answer, scratch).map_err(told)?;
        if !sent.is_empty() {
            continue;
        }
        out.clear();
        (note, sent) = step(&fan, &mut progress, &request, scratch, out)?;
    }
    if !sent.is_empty() {
        // Of a round that is answered in part, those are printed that are open.
        out.clear();
        write_calls(sent.make_contiguous(), &request, out);
    }
    Ok(note)
}

fn begin<'p>(
    plan: &'p ServicePlan,
    (asked, served): (usize, usize),
    request: &Request<'_>,
    scratch: &mut Scratch,
) -> Result<Option<(Fan<'p>, Progress)>, String> {
    let target = (request.path.as_str(), request.query.as_deref());
    for fan in plan.fans(asked, served, request.method.as_str(), target) {
        let begun = fan.begin(&request.input(), scratch, limits()).map_err(|fault| fault.to_string())?;
        if let Some(progress) = begun {
            return Ok(Some((fan, progress)));
        }
    }
    Ok(None)
}

/// Writes what is next; a note on what waits, and the calls that are open.
fn step(
    fan: &Fan<'_>,
    progress: &mut Progress,
    request: &Request<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(Note, VecDeque<CallOut>), String> {
    match fan.next(progress, usize::MAX, scratch, limits()).map_err(|fault| fault.to_string())? {
        Next::Send(calls) => {
            write_calls(&calls, request, out);
            let waits = fan.waiting(progress).into_iter().map(|(name, needs)| match needs.as_slice() {
                [] => format!("`{name}` waits"),
                needs => format!("`{name}` waits for the answer to `{}`", needs.join("` and `")),
            });
            let waits: Vec<String> = waits.collect();
            Ok(((!waits.is_empty()).then(|| waits.join("; ")), calls.into()))
        }
        Next::Done(response) => {
            write_answer(&response, out);
            Ok((None, VecDeque::new()))
        }
        Next::Failed(failure) => Err(failure.to_string()),
        Next::Wait => Ok((None, VecDeque::new())),
    }
}

/// `{response: {status, headers, body}}`
fn give(
    fan: &Fan<'_>,
    progress: &mut Progress,
    call: &CallOut,
    answer: &Tree<'_>,
    scratch: &mut Scratch,
) -> Result<(), String> {
    let response = answer.get("response").ok_or("`response` is missing")?;
    let members = Members::parse(response.raw)?;
    members.refuse_unknown(&["status", "headers", "body"])?;
    let status = members.get("status").and_then(|text| StatusCode::from_bytes(text).ok());
    let status = status.ok_or("`status`: expected a number of three digits")?;
    let headers = Headers::parse(members.tree("headers")?.as_ref())?;
    let given = Answer::Given(ResponseIn { status, headers: &headers.map, body: members.get("body") });
    fan.answer(progress, (call.call, call.item), given, scratch, limits()).map_err(|fault| fault.to_string())
}
