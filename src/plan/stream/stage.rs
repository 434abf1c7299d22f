//! One step of a stream: follows the grammar from byte to byte and cuts out the elements.

use super::super::lens::{ActionKind, Lens, Nested};
use super::super::{Fault, FaultKind, Limits, Scratch, TypeId};
use super::skeleton::Skeleton;
use super::{Root, StreamLimits, Way};
use crate::json::{self, ErrorKind, Extent, MAX_DEPTH};

/// One document in one step.
#[derive(Debug)]
pub(super) struct Stage {
    way: Way,
    limits: StreamLimits,
    scratch: Scratch,
    state: State,
    /// Bytes of the stream that have been read.
    at: usize,
    /// How far the name or value that is being read has come.
    extent: Extent,
    /// An element whose start came with an earlier piece.
    held: Vec<u8>,
    skeleton: Skeleton,
    list: List,
    /// Whether a list was cut into elements.
    has_list: bool,
    dropped: usize,
}

/// What is next, white space apart, or what is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The document.
    Start,
    /// A member's name; the first may be missing.
    Name {
        first: bool,
    },
    InName,
    /// What stands between a name and its value.
    Colon,
    Member,
    InMember,
    /// `,` or `}`
    BehindMember,
    /// An element; the first may be missing.
    Element {
        first: bool,
    },
    InElement,
    /// `,` or `]`
    BehindElement,
    End,
}

/// The list that is being read.
#[derive(Debug, Clone, Copy)]
struct List {
    /// Of its elements.
    of: TypeId,
    /// Its slot in the lens around it, if there is one.
    slot: Option<usize>,
    /// Where it begins in the stream.
    start: usize,
    /// Which element is next.
    index: usize,
}

const BEHIND_ELEMENT: ErrorKind = ErrorKind::Syntax("`,` or `]`");
const BEHIND_DOCUMENT: ErrorKind = ErrorKind::Syntax("nothing after the document");

impl Stage {
    pub(super) fn new(way: Way, limits: StreamLimits) -> Self {
        Self {
            way,
            limits,
            scratch: Scratch::default(),
            state: State::Start,
            at: 0,
            extent: Extent::new(0),
            held: Vec::new(),
            skeleton: Skeleton::default(),
            list: List { of: TypeId(0), slot: None, start: 0, index: 0 },
            has_list: false,
            dropped: 0,
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.state == State::End
    }

    pub(super) fn dropped(&self) -> usize {
        self.dropped
    }

    /// Takes what belongs to the document; answers how many bytes that are.
    pub(super) fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut rest = piece;
        while !rest.is_empty() && self.state != State::End {
            let taken = match self.state {
                State::InName | State::InMember => self.around(rest, out)?,
                State::InElement => self.within_element(rest, out)?,
                _ => self.between(rest, out)?,
            };
            self.at += taken;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(piece.len() - rest.len())
    }

    /// Takes white space behind the document.
    pub(super) fn skip_rest(&mut self, rest: &[u8]) -> Result<(), Fault> {
        let spaces = spaces(rest);
        self.at += spaces;
        if spaces == rest.len() { Ok(()) } else { Err(self.syntax(BEHIND_DOCUMENT)) }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self.state {
            State::End => Ok(()),
            // A number ends where the text ends.
            State::InMember if self.skeleton.open.is_empty() => self.end(out),
            State::InElement | State::Element { .. } => {
                let held = std::mem::take(&mut self.held);
                self.element(&held, self.at - held.len(), out)?;
                Err(self.within_list(self.syntax(BEHIND_ELEMENT)))
            }
            State::BehindElement => Err(self.within_list(self.syntax(BEHIND_ELEMENT))),
            _ => Err(self.refuse()),
        }
    }

    /// Reads on in a name or value outside of lists.
    fn around(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let end = self.extent.end(rest);
        let taken = end.unwrap_or(rest.len());
        self.skeleton.text.extend_from_slice(rest.get(..taken).unwrap_or_default());
        self.check_size(self.skeleton.text.len())?;
        if end.is_some() {
            if self.state == State::InName {
                self.state = State::Colon;
            } else {
                self.value_ended(out)?;
            }
        }
        Ok(taken)
    }

    /// Reads on in an element.
    fn within_element(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let end = self.extent.end(rest);
        let taken = end.unwrap_or(rest.len());
        let text = rest.get(..taken).unwrap_or_default();
        self.check_size(self.held.len() + taken)?;
        let start = self.at - self.held.len();
        if end.is_some() && self.held.is_empty() {
            // Most elements come in one piece and are not copied.
            self.element(text, start, out)?;
        } else {
            self.held.extend_from_slice(text);
            if end.is_none() {
                return Ok(taken);
            }
            let mut held = std::mem::take(&mut self.held);
            self.element(&held, start, out)?;
            held.clear();
            self.held = held;
        }
        self.state = State::BehindElement;
        Ok(taken)
    }

    /// Translates one element.
    fn element(&mut self, text: &[u8], start: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let limits = self.limits.limits;
        let around = self.skeleton.open.len() + 1;
        let depth = limits.depth.min(MAX_DEPTH).saturating_sub(around);
        let done = self.way.translate(self.list.of, text, out, &mut self.scratch, Limits { depth, ..limits });
        self.dropped += self.scratch.dropped;
        done.map_err(|fault| {
            if fault.kind == FaultKind::Json(BEHIND_DOCUMENT) {
                let offset = start + fault.offset.unwrap_or_default();
                return self.within_list(json::Error { kind: BEHIND_ELEMENT, offset }.into());
            }
            let fault = at_offset(fault, |offset| start + offset);
            self.within_list(fault.within(&format!("[{}]", self.list.index)))
        })
    }

    /// Passes white space and decides on the byte behind it.
    fn between(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let spaces = spaces(rest);
        let space = rest.get(..spaces).unwrap_or_default();
        if matches!(self.state, State::Element { .. } | State::BehindElement) {
            out.extend_from_slice(space);
        } else {
            self.skeleton.text.extend_from_slice(space);
            self.check_size(self.skeleton.text.len())?;
        }
        let Some(byte) = rest.get(spaces) else { return Ok(spaces) };
        self.at += spaces;
        let decided = self.decide(*byte, out);
        self.at -= spaces;
        Ok(spaces + usize::from(decided?))
    }

    /// Decides on a byte that is no white space; answers whether it is taken.
    fn decide(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<bool, Fault> {
        match (self.state, byte) {
            (State::Start | State::Member, _) => return self.value_begins(byte, out),
            (State::Name { .. }, b'"') => {
                self.skeleton.name_begins();
                self.extent = Extent::new(byte);
                self.state = State::InName;
                return Ok(false);
            }
            (State::Colon, b':') => {
                self.skeleton.text.push(byte);
                self.state = State::Member;
            }
            (State::BehindMember, b',') => {
                self.skeleton.text.push(byte);
                self.state = State::Name { first: false };
            }
            (State::Name { first: true } | State::BehindMember, b'}') => {
                self.skeleton.text.push(byte);
                self.skeleton.open.pop();
                self.value_ended(out)?;
            }
            (State::Element { first: true } | State::BehindElement, b']') => {
                out.push(byte);
                self.skeleton.list_ended(self.at + 1 - self.list.start);
                self.value_ended(out)?;
            }
            (State::Element { .. }, _) => {
                self.extent = Extent::new(byte);
                self.state = State::InElement;
                return Ok(false);
            }
            (State::BehindElement, b',') => {
                out.push(byte);
                self.list.index += 1;
                self.state = State::Element { first: false };
            }
            (State::BehindElement, _) => return Err(self.within_list(self.syntax(BEHIND_ELEMENT))),
            _ => {
                // Half a character would be a fault of its own, where any character is one as well.
                self.skeleton.text.push(if byte.is_ascii() { byte } else { 0x7f });
                return Err(self.refuse());
            }
        }
        Ok(true)
    }

    /// A value outside of lists begins: a list that is cut into elements, an object that may hold one, or another.
    fn value_begins(&mut self, first: u8, out: &mut Vec<u8>) -> Result<bool, Fault> {
        match (self.meaning(), first) {
            (Meaning::List(of, slot), b'[') if self.list_begins(of, slot, out)? => return Ok(true),
            (Meaning::Object(node), b'{') => {
                self.skeleton.text.push(first);
                self.skeleton.open.push(node);
                self.state = State::Name { first: true };
                return Ok(true);
            }
            _ => {}
        }
        self.extent = Extent::new(first);
        self.state = State::InMember;
        Ok(false)
    }

    /// What the rules make of the value that begins.
    fn meaning(&self) -> Meaning {
        let lens = match self.way.root {
            Root::ListOf(of) => return Meaning::List(of, None),
            Root::Type(of) => self.way.lenses.by_type.get(of.0),
        };
        let Some(lens) = lens else { return Meaning::Other };
        if self.state == State::Start {
            return match lens.whole_source {
                Some((slot, Nested::Each(of))) => Meaning::List(of, Some(slot)),
                Some(_) => Meaning::Other,
                None => Meaning::Object(0),
            };
        }
        let node = self.skeleton.open.last().and_then(|node| lens.nodes.get(*node));
        let action = node.and_then(|node| node.actions.get(self.skeleton.action(node)?));
        match action.map(|action| &action.kind) {
            Some(ActionKind::Slot { slot, nested: Nested::Each(of), .. }) => Meaning::List(*of, Some(*slot)),
            Some(ActionKind::Enter { node, .. }) => Meaning::Object(*node),
            _ => Meaning::Other,
        }
    }

    /// Writes what comes before the list, if that can be told by now.
    fn list_begins(&mut self, of: TypeId, slot: Option<usize>, out: &mut Vec<u8>) -> Result<bool, Fault> {
        if let (Some(slot), Root::Type(root)) = (slot, self.way.root) {
            let working = (&mut self.scratch, self.limits.limits);
            if !self.skeleton.show_until(slot, root, &self.way, working, out)? {
                return Ok(false);
            }
        }
        out.push(b'[');
        self.has_list = true;
        self.list = List { of, slot, start: self.at, index: 0 };
        self.state = State::Element { first: true };
        Ok(true)
    }

    /// A value outside of lists, or a list, is behind.
    fn value_ended(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.skeleton.open.is_empty() {
            return self.end(out);
        }
        self.state = State::BehindMember;
        Ok(())
    }

    /// The document is whole: writes what has not been written.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let was_list = matches!(self.state, State::Element { .. } | State::BehindElement);
        self.state = State::End;
        let of = match self.way.root {
            Root::ListOf(_) if was_list => return Ok(()),
            Root::ListOf(of) | Root::Type(of) => of,
        };
        let working = (&mut self.scratch, self.limits.limits);
        self.skeleton.show_rest(of, &self.way, self.has_list, working, out)?;
        self.dropped += self.scratch.dropped;
        if self.way.needs_list && !self.has_list {
            return Err(Fault::new(FaultKind::Missing, "the list is missing"));
        }
        Ok(())
    }

    /// What is wrong with the text outside of lists, which ends in a byte that cannot follow or where it should go on.
    fn refuse(&mut self) -> Fault {
        let fault = self.end(&mut Vec::new()).err();
        fault.unwrap_or_else(|| self.syntax(ErrorKind::Syntax("a document")))
    }

    fn check_size(&self, size: usize) -> Result<(), Fault> {
        if size <= self.limits.element {
            return Ok(());
        }
        let limit = self.limits.element;
        let fault = |what: &str| Fault::new(FaultKind::TooLarge, format!("{what} is larger than {limit} bytes"));
        Err(match self.state {
            State::InElement => {
                self.within_list(fault("an element of the list").within(&format!("[{}]", self.list.index)))
            }
            _ => fault("what stands around the list"),
        })
    }

    /// Something is wrong at the next byte.
    fn syntax(&self, kind: ErrorKind) -> Fault {
        json::Error { kind, offset: self.at }.into()
    }

    /// A fault in the list, seen from the document.
    fn within_list(&self, fault: Fault) -> Fault {
        fault.within(
            self.lens()
                .zip(self.list.slot)
                .and_then(|(lens, slot)| lens.slot_names.get(slot))
                .map_or("", String::as_str),
        )
    }

    fn lens(&self) -> Option<&Lens> {
        match self.way.root {
            Root::Type(of) => self.way.lenses.by_type.get(of.0),
            Root::ListOf(_) => None,
        }
    }
}

/// What the rules make of a value outside of lists.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// If it is a list: of these elements, in this slot.
    List(TypeId, Option<usize>),
    /// If it is an object: that of this node.
    Object(usize),
    Other,
}

/// How much white space a text begins with.
fn spaces(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}

/// A fault whose offset is told from elsewhere.
pub(super) fn at_offset(mut fault: Fault, place: impl Fn(usize) -> usize) -> Fault {
    let Some(offset) = fault.offset.map(place) else { return fault };
    fault.offset = Some(offset);
    if let FaultKind::Json(kind) = fault.kind {
        fault.detail = json::Error { kind, offset }.to_string();
    }
    fault
}
