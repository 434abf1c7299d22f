//! Documents that are translated while they arrive, one element of their list at a time.
//!
//! A document streams where it is a list, or holds one, and what stands before the list in the target is known when the
//! list begins in the source. [`Streamed`] says so of a type, by its rules alone; [`Stream`] then takes one document in
//! pieces and holds no more of it than the element that is being read and what stands around the list. The result is
//! that of [`StepPlan::translate`], byte for byte, and so are faults, but that places and offsets are those of the whole
//! stream and that the limit of a document holds for each element. Where the general engine translates the elements, what
//! stands around them keeps its white space, which that engine, given the whole, would leave out.

mod skeleton;
mod stage;

use std::sync::Arc;

use http::StatusCode;

use self::stage::Stage;
use super::address::Surroundings;
use super::engine;
use super::exchange::{Exchange, Hop};
use super::general::{General, Requests};
use super::lens::{ActionKind, Lens, Lenses, Nested};
use super::route::Message;
use super::{Direction, Fault, Limits, Scratch, StepPlan, TypeId};

/// A document that streams, through one step or several.
#[derive(Debug, Clone)]
pub struct Streamed {
    /// In the order of the way.
    ways: Vec<Way>,
}

/// One step of the way.
#[derive(Debug, Clone)]
struct Way {
    lenses: Arc<Lenses>,
    general: Arc<General>,
    root: Root,
    direction: Direction,
    /// Whether a document without its list is refused.
    needs_list: bool,
    /// Where the exchange takes place, and which way its requests go.
    place: Option<(Arc<Surroundings>, Direction)>,
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// A document of a type.
    Type(TypeId),
    /// A list of documents of a type, or one of them.
    ListOf(TypeId),
}

/// Limits of one stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Bytes of one element of the list, and of everything around it.
    pub element: usize,
    /// Nesting of the whole; the size of one translated element, and of everything around the list.
    pub limits: Limits,
}

impl StepPlan {
    /// How documents of a type stream in a direction, if they do.
    pub fn streamed(&self, of: TypeId, direction: Direction) -> Option<Streamed> {
        let streams = |lens: &&Lens| lens.streams() && self.general.is_plain_around_list(of);
        self.lenses(direction).by_type.get(of.0).filter(streams)?;
        Some(self.way(Root::Type(of), direction))
    }

    /// How lists of documents of a type stream, where the type's rules speak of objects: only then is a list no document
    /// of the type itself.
    pub fn streamed_list(&self, of: TypeId, direction: Direction) -> Option<Streamed> {
        let speaks_of_objects =
            |lens: &&Lens| lens.whole_source.is_none() && lens.whole_target.is_none() && !self.general.takes_all(of);
        self.lenses(direction).by_type.get(of.0).filter(speaks_of_objects)?;
        Some(self.way(Root::ListOf(of), direction))
    }

    fn way(&self, root: Root, direction: Direction) -> Streamed {
        let (lenses, general) = (self.lenses(direction).clone(), self.general.clone());
        Streamed { ways: vec![Way { lenses, general, root, direction, needs_list: false, place: None }] }
    }
}

impl Way {
    /// Translates a whole document of a type, appending to `out`, as [`StepPlan::translate`] does. The limits are the
    /// document's own, whatever `out` holds.
    fn translate(
        &self,
        of: TypeId,
        text: &[u8],
        out: &mut Vec<u8>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<(), Fault> {
        if self.general.has(of) {
            // What would look back at a request is not streamed.
            let place = self.place.as_ref().map(|(here, request)| (here.as_ref(), *request));
            let requests = Requests { place, ..Requests::default() };
            scratch.dropped = self.general.translate(of, self.direction, text, requests, out, limits)?;
            return Ok(());
        }
        let limits = Limits { output: limits.output.saturating_add(out.len()), ..limits };
        engine::translate(&self.lenses, of, self.direction, text, out, scratch, limits)
    }

    /// Whether the target is a list that stands in an envelope in the source.
    fn is_taken_out(&self) -> bool {
        let Root::Type(of) = self.root else { return false };
        let lens = self.lenses.by_type.get(of.0);
        lens.is_some_and(|lens| lens.whole_source.is_none() && lens.whole_target.is_some())
    }
}

impl Lens {
    /// Whether its documents have a list that can be translated while it arrives.
    fn streams(&self) -> bool {
        let is_list = |kind: &ActionKind| matches!(kind, ActionKind::Slot { nested: Nested::Each(_), .. });
        let mut kinds = self.nodes.iter().flat_map(|node| &node.actions).map(|action| &action.kind);
        let has_list = matches!(self.whole_source, Some((_, Nested::Each(_)))) || kinds.any(is_list);
        // Where the target is one value, nothing stands before it.
        has_list && (self.whole_target.is_some() || self.keeps_order())
    }

    /// Whether every member is written where it stood, by itself alone: then what stands before it is known.
    fn keeps_order(&self) -> bool {
        let mut actions = self.nodes.iter().flat_map(|node| &node.actions);
        self.preparations.is_empty()
            && actions.all(|action| {
                let home = match action.kind {
                    ActionKind::Slot { home, .. } => home,
                    ActionKind::Rename { write } => Some(write),
                    ActionKind::Enter { .. } | ActionKind::Taken => None,
                };
                action.feeds.iter().all(|fed| Some(*fed) == home)
            })
    }
}

impl Streamed {
    /// The same document through a further step.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.ways.extend(next.ways);
        self
    }
}

impl Exchange<'_> {
    /// How the request's body streams, if it does. The rest of the request is then translated by itself, as if it had no
    /// body.
    pub fn streams_request(&self) -> Option<Streamed> {
        // A response that looks back at its request needs all of it.
        if self.merges() || self.looks_back() {
            return None;
        }
        let messages = self.hops.iter().map(|hop| (hop, hop.route.request.as_ref(), hop.direction));
        through(messages)
    }

    /// How the body of a response of this status streams, if it does. The rest of the response is then translated by
    /// itself, as if it had no body.
    pub fn streams_response(&self, status: StatusCode) -> Option<Streamed> {
        if self.looks_back() {
            return None;
        }
        // A status that rules change on the way decides on the next step's rules.
        let messages = || self.hops.iter().flat_map(|hop| &hop.route.responses).map(|(_, message)| message);
        if self.hops.len() > 1 && messages().any(|message| message.old.status || message.new.status) {
            return None;
        }
        let messages = self.hops.iter().rev();
        through(messages.map(|hop| (hop, hop.route.response(status.as_u16()), hop.direction.reverse())))
    }

    fn looks_back(&self) -> bool {
        self.hops.iter().any(|hop| hop.route.looks_back)
    }
}

/// The body's way through the messages whose rules have to do with it; none where one of them sees the whole message.
fn through<'h, 'p: 'h>(
    messages: impl Iterator<Item = (&'h Hop<'p>, Option<&'h Message>, Direction)>,
) -> Option<Streamed> {
    let mut whole: Option<Streamed> = None;
    for (hop, message, direction) in messages {
        let Some(message) = message else { continue };
        if message.general && message.body_only.is_none() {
            return None;
        }
        if !message.touches_body() {
            continue;
        }
        let mut next = hop.step.streamed(message.body?, direction)?;
        // The message's own engine leaves no body where there is no list; a body that has begun cannot be left out.
        next.ways.iter_mut().for_each(|way| way.needs_list = message.body_only.is_none() && way.is_taken_out());
        let place = hop.surroundings.as_ref().map(|here| (here.clone(), hop.direction));
        next.ways.iter_mut().for_each(|way| way.place.clone_from(&place));
        whole = Some(match whole {
            Some(before) => before.then(next),
            None => next,
        });
    }
    whole
}

/// One document on its way.
#[derive(Debug)]
pub struct Stream {
    stages: Vec<Stage>,
    /// What one stage has written for the next.
    between: Vec<u8>,
}

impl Stream {
    /// Begins a document.
    pub fn new(streamed: &Streamed, limits: StreamLimits) -> Self {
        let stages = streamed.ways.iter().map(|way| Stage::new(way.clone(), limits)).collect();
        Self { stages, between: Vec::new() }
    }

    /// Translates the next piece, appending to `out` what can be written by now. Answers how many of its bytes belong to
    /// the document: fewer than there are where it ends within the piece.
    ///
    /// # Errors
    /// The first [`Fault`] met, with its offset counted from the start of the document. What has been written is then
    /// a part of a document, and nothing more can be taken.
    pub fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let Self { stages, between } = self;
        let Some((first, rest)) = stages.split_first_mut() else {
            out.extend_from_slice(piece);
            return Ok(piece.len());
        };
        if rest.is_empty() {
            return first.take(piece, out);
        }
        between.clear();
        let taken = first.take(piece, between)?;
        pass_on(rest, between, out)?;
        Ok(taken)
    }

    /// Translates the next piece of a stream that holds this one document and nothing else.
    ///
    /// # Errors
    /// As [`Self::take`], or more than white space behind the document.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let taken = self.take(piece, out)?;
        match self.stages.first_mut() {
            Some(stage) => stage.skip_rest(piece.get(taken..).unwrap_or_default()),
            None => Ok(()),
        }
    }

    /// Whether the document is whole.
    pub fn is_whole(&self) -> bool {
        self.stages.iter().all(Stage::is_whole)
    }

    /// Ends the document.
    ///
    /// # Errors
    /// The document is not whole.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut stages = self.stages.as_mut_slice();
        while let Some((first, rest)) = stages.split_first_mut() {
            let mut written = Vec::new();
            first.finish(&mut written)?;
            pass_on(rest, &written, out)?;
            stages = rest;
        }
        Ok(())
    }

    /// How many members were left out so far because a rule writes a member of their name.
    pub fn dropped(&self) -> usize {
        self.stages.iter().map(Stage::dropped).sum()
    }
}

/// Hands what one stage has written to those behind it.
fn pass_on(stages: &mut [Stage], text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let Some((first, rest)) = stages.split_first_mut() else {
        out.extend_from_slice(text);
        return Ok(());
    };
    // Offsets into what the stage before has written would mislead.
    let own = |fault| Fault { offset: None, ..fault };
    if rest.is_empty() {
        first.take(text, out).map_err(own)?;
        return Ok(());
    }
    let mut written = Vec::new();
    first.take(text, &mut written).map_err(own)?;
    pass_on(rest, &written, out)
}
