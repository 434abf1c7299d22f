//! Whether an asynchronous service is done, as its status resource says. Pure.

use super::Direction;
use std::borrow::Cow;

use super::exchange::{Exchange, ResponseIn};
use super::message::{Source, pack_whole};
use super::route::Params;
use crate::json::{self, Tree};
use crate::rules::asynchronous::Follow;

impl<'p> Exchange<'p> {
    /// How the service of the newer side of a route is waited for, and that side's version.
    pub fn follows(&self) -> Option<(usize, &'p Follow)> {
        let (_, oldest) = self.line?;
        let mut hops = self.hops.iter().enumerate().filter(|(_, hop)| hop.direction == Direction::Up);
        hops.find_map(|(index, hop)| Some((oldest + index + 1, hop.route.follow.as_ref()?)))
    }
}

impl Follow {
    /// Whether a status resource's answer says that it is over, and where the result then is.
    pub fn is_over(&self, answer: &ResponseIn<'_>) -> (bool, Option<String>) {
        let Some(until) = &self.until else { return (answer.status != http::StatusCode::ACCEPTED, None) };
        let params = Params::new();
        let (headers, status, body) = (answer.headers, Some(answer.status.as_u16()), answer.body);
        let source = Source { params: &params, query: None, headers, status, body };
        // What is not JSON says nothing yet.
        let Ok(packed) = pack_whole(&source, None, None) else { return (false, None) };
        let Ok(tree) = Tree::parse(&packed.text, json::MAX_DEPTH) else { return (false, None) };
        if !until.matches(&tree).unwrap_or(false) {
            return (false, None);
        }
        let at = self.result.as_ref().and_then(|path| tree.get("body")?.at(path)?.text().map(Cow::into_owned));
        (true, at)
    }
}
