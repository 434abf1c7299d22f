//! One call's request, and its answer's way back.

use std::borrow::Cow;

use http::{Method, header};

use super::document::{self, parse};
use super::progress::Progress;
use super::{Call, Fan};
use crate::plan::hop::write_path;
use crate::plan::route::Params;
use crate::plan::{
    BodyOut, Direction, Exchange, Fault, FaultKind, Limits, RequestIn, RequestOut, ResponseIn, ResponseOut, Scratch,
    Unplaced, message,
};

impl Fan<'_> {
    /// A call's request, as its rules make it.
    pub(super) fn request(
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
                let here = self.here();
                let requests = super::requests(progress, &here);
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
            Some(rules) => crate::plan::query::write_query(None, rules.parts(Direction::Up), &unpacked.query, false)?,
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
            let query = crate::plan::query::give_query(template, query.as_deref(), &params, &given)?;
            (write_path(&template.segments, &params, &given)?, query)
        };
        Ok(RequestOut { method, path, query, headers, body: BodyOut::Replaced(body) })
    }

    /// A call's request as the version that answers wants it.
    pub(super) fn forth(&self, own: &RequestOut, scratch: &mut Scratch, limits: Limits) -> Result<RequestOut, Fault> {
        let (spoken, served) = self.after;
        if spoken == served {
            return Ok(own.clone());
        }
        let seen = own.seen();
        let moved = self.exchange(&seen, spoken, served)?.request(&seen, None, scratch, limits)?;
        Ok(own.clone().then(moved))
    }

    /// An answer as the version that the call speaks would have given it.
    pub(super) fn back(
        &self,
        response: &ResponseIn<'_>,
        own: Option<&RequestOut>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<ResponseOut, Fault> {
        if let (Some(own), (spoken, served)) = (own, self.after)
            && spoken != served
        {
            let seen = own.seen();
            return self.exchange(&seen, spoken, served)?.response(response, Some(&seen), scratch, limits);
        }
        let (status, headers) = (response.status, response.headers.clone());
        Ok(ResponseOut { status, headers, body: BodyOut::Unchanged, dropped: 0 })
    }

    fn exchange(&self, seen: &RequestIn<'_>, from: usize, to: usize) -> Result<Exchange<'_>, Fault> {
        let found = self.plan.exchange(from, to, seen.method.as_str(), (seen.path, seen.query));
        found.map(|exchange| exchange.within(&self.surroundings)).map_err(|_| {
            Fault::new(FaultKind::Missing, "a later version has no route for one of the calls").within("path")
        })
    }
}
