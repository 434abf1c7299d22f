//! The general engine: for types whose rules say more than one codec between plain places.
//!
//! It reads a document into a borrowed tree and puts the target together from references into it, so bytes that no rule
//! names still arrive unchanged; what a rule names is worked out rule by rule. Types whose rules all fit the one-pass
//! engine never come here.

mod calculate;
mod compile;
mod convert;
mod document;
mod form;
mod generate;
mod link;
mod names;
mod place;
mod put;
mod rest;
mod trace;
mod value;

use std::cell::Cell;

use typed_arena::Arena;

use super::address::Surroundings;
use super::{Direction, Fault, FaultKind, Limits, TypeId, Unplaced};
use crate::codecs::Codec;
use crate::json::Tree;
use crate::path::query::Query;
use crate::path::{Step, View};
use crate::rules::mapping::{Entries, Flat, Kind, NameStyle, Reduce, Unfit};

pub(super) use compile::{compile, compile_traced};
pub(super) use link::{Links, NESTED};
pub use trace::{Note, Notes, Point, PointId, What};

/// The types of a step that the one-pass engine does not translate.
#[derive(Debug, Default)]
pub(super) struct General {
    /// By type; nothing where no type of the step needs it.
    types: Vec<Option<Type>>,
    /// By type: whether the one-pass engine does not translate it.
    needed: Vec<bool>,
    /// By type: whether the one-pass engine translates what stands around its only list.
    plain_around_list: Vec<bool>,
    /// What addresses in documents are translated by; nothing where no rule has to do with them.
    links: Option<Box<Links>>,
    /// Where what rules do is noted, if anywhere.
    trace: Option<trace::Trace>,
}

/// One type's rules.
#[derive(Debug)]
struct Type {
    rules: Vec<Rule>,
    /// Whether unnamed members of old and of new documents are left out.
    drops: [bool; 2],
}

type Steps = Vec<Step>;

/// One rule.
#[derive(Debug)]
struct Rule {
    /// Its index in the checked type.
    index: usize,
    when: [Option<Query>; 2],
    kind: RuleKind,
}

#[derive(Debug)]
enum RuleKind {
    Equation {
        /// Old places, new places.
        places: [Vec<Steps>; 2],
        via: Via,
        /// The old and the new side's value where the other has none.
        defaults: [Option<String>; 2],
        unfit: Unfit,
        keys: Option<Via>,
        only: Option<Kind>,
    },
    Cases(Vec<Case>),
    Derived {
        is_new: bool,
        place: Steps,
        from: Option<From>,
        via: Via,
        default: Option<String>,
        unfit: Unfit,
    },
}

/// What a derived value is made from.
#[derive(Debug)]
enum From {
    Place(Option<View>, Steps),
    Form(Form),
    Query(Query, Reduce),
}

/// How a value changes.
#[derive(Debug)]
enum Via {
    Value(Codec),
    As(TypeId),
    Each { of: Box<Via>, key: Option<Vec<String>>, unfit: Unfit },
    Values(Box<Via>),
    Chain(Vec<Via>),
    Flip(Box<Via>),
    Cases(Vec<Case>),
    OneOrMany(Box<Via>),
    Flatten,
    Link,
    Entries(Entries),
    Flat(Flat),
    Names { of: TypeId, style: NameStyle, list: Option<String> },
    Is(Kind),
    Cel(Box<calculate::Programs>),
}

/// One way in which a value may look.
#[derive(Debug)]
struct Case {
    when: [Option<Query>; 2],
    /// Old form, new form.
    forms: [Form; 2],
    /// For each variable, the repetitions that it stands in, outermost first, on either side; nothing where the side does
    /// not name it.
    paths: [Vec<Option<Vec<usize>>>; 2],
    /// How each variable changes.
    with: Vec<Option<Via>>,
    rules: Option<TypeId>,
}

/// The form of a value.
#[derive(Debug)]
enum Form {
    Literal(Vec<u8>),
    Variable(usize),
    Default(Box<Form>),
    Text(Vec<TextPart>),
    Place(Option<View>, Steps),
    Object(Vec<FormMember>),
    List { first: Vec<Form>, each: Option<Box<Repeated>>, last: Vec<Form> },
    Set(Vec<Form>),
}

#[derive(Debug)]
enum TextPart {
    Text(String),
    Variable(usize),
    Place(Option<View>, Steps),
}

#[derive(Debug)]
enum FormMember {
    Named { name: String, optional: bool, form: Form },
    Every { prefix: String, suffix: String, repeated: Repeated },
    Rest(usize),
}

/// A form that any number of elements or members have.
#[derive(Debug)]
struct Repeated {
    /// Its number among the repetitions of its side.
    id: usize,
    /// The variable of a member's name.
    key: Option<usize>,
    form: Form,
    /// Variables in it, but not in repetitions within it.
    variables: Vec<usize>,
    /// The variables of each repetition within it.
    within: Vec<Vec<usize>>,
}

/// What a message is part of: the request that a response answers, as each version sees it, one document each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Requests<'a> {
    pub(crate) old: Option<&'a [u8]>,
    pub(crate) new: Option<&'a [u8]>,
    /// Where the exchange takes place, and which way its requests go.
    pub(crate) place: Option<(&'a Surroundings, Direction)>,
}

/// Working memory of one translation.
#[derive(Default)]
struct Memory<'a> {
    trees: Arena<Tree<'a>>,
}

/// One translation.
struct Run<'a> {
    general: &'a General,
    memory: &'a Memory<'a>,
    texts: &'a Arena<u8>,
    limits: Limits,
    /// Whether documents are parts of documents: what is not there is left alone.
    partial: bool,
    /// The request's views.
    requests: [Option<&'a Tree<'a>>; 2],
    unplaced: Cell<Unplaced>,
    /// Where the exchange takes place, and which way its requests go.
    place: Option<(&'a Surroundings, Direction)>,
    /// Whether the rule at work has its sides exchanged.
    flipped: Cell<bool>,
    dropped: Cell<usize>,
    work: Cell<usize>,
    trace: Option<&'a trace::Trace>,
    /// The whole document's: parts may go the other way.
    direction: Direction,
}

impl General {
    /// Whether it translates a type.
    pub(super) fn has(&self, of: TypeId) -> bool {
        self.needed.get(self.whole(of)) == Some(&true)
    }

    /// Whether the one-pass engine translates a type as far as its lists are empty: all of it, or all but the elements
    /// of the only list that its rules name.
    pub(super) fn is_plain_around_list(&self, of: TypeId) -> bool {
        !self.has(of) || self.plain_around_list.get(self.whole(of)) == Some(&true)
    }

    /// Whether a type has rules for whole documents, which need not be objects then.
    pub(super) fn takes_all(&self, of: TypeId) -> bool {
        self.get(of).is_some_and(Type::takes_all)
    }

    /// The same with what addresses in its documents are translated by.
    pub(super) fn with_links(self, links: Option<Box<Links>>) -> Self {
        Self { links, ..self }
    }

    /// Whether any rule has to do with addresses.
    pub(super) fn tells_addresses(&self) -> bool {
        self.links.is_some()
    }

    /// What the query of an address may name: parameters, and the older and the newer version.
    pub(super) fn name_versions(&mut self, parameters: &[String], names: [&str; 2]) {
        self.links.iter_mut().for_each(|links| links.name_versions(parameters, names));
    }

    fn get(&self, of: TypeId) -> Option<&Type> {
        self.types.get(self.whole(of)).and_then(Option::as_ref)
    }

    /// The number of a type's whole form: partial forms have the numbers behind the whole ones.
    fn whole(&self, of: TypeId) -> usize {
        let count = self.types.len();
        if of.0 >= count { of.0 - count } else { of.0 }
    }

    /// Translates one document, appending to `out`; answers how many members were left out for want of a place.
    pub(super) fn translate(
        &self,
        of: TypeId,
        direction: Direction,
        input: &[u8],
        requests: Requests<'_>,
        out: &mut Vec<u8>,
        limits: Limits,
    ) -> Result<usize, Fault> {
        let texts = Arena::new();
        let memory = Memory::default();
        let mut run = Run::new(self, &memory, &texts, limits, of.0 >= self.types.len()).with_requests(requests)?;
        (run.trace, run.direction) = (self.trace.as_ref(), direction);
        let tree = run.keep(Tree::parse_within(input, limits.depth, limits.nodes)?);
        let result = run.nested(of, direction, tree)?;
        run.finish(&result, out)?;
        Ok(run.dropped.get())
    }

    /// Writes an old document onto a live new one, appending the result to `out`.
    pub(super) fn put(
        &self,
        of: TypeId,
        old: &[u8],
        base: &[u8],
        requests: Requests<'_>,
        out: &mut Vec<u8>,
        limits: Limits,
    ) -> Result<(), Fault> {
        let texts = Arena::new();
        let memory = Memory::default();
        let run = Run::new(self, &memory, &texts, limits, false).with_requests(requests)?;
        let old = run.keep(Tree::parse_within(old, limits.depth, limits.nodes)?);
        let base = Tree::parse_within(base, limits.depth, limits.nodes)
            .map_err(|error| Fault::new(FaultKind::Missing, format!("the live document is unusable: {error}")))?;
        let result = run.put(of, old, run.keep(base))?;
        run.finish(&result, out)
    }
}

impl<'a> Run<'a> {
    fn new(general: &'a General, memory: &'a Memory<'a>, texts: &'a Arena<u8>, limits: Limits, partial: bool) -> Self {
        let (dropped, work) = (Cell::new(0), Cell::new(MAX_WORK));
        Self {
            general,
            memory,
            texts,
            limits,
            partial,
            requests: [None, None],
            unplaced: Cell::new(limits.unplaced),
            place: None,
            flipped: Cell::new(false),
            dropped,
            work,
            trace: None,
            direction: Direction::Up,
        }
    }

    fn with_requests(mut self, requests: Requests<'a>) -> Result<Self, Fault> {
        let parse = |text: Option<&'a [u8]>| match text {
            None => Ok(None),
            Some(text) => Ok::<_, Fault>(Some(self.keep(Tree::parse(text, crate::json::MAX_DEPTH)?))),
        };
        let (old, new) = (parse(requests.old)?, parse(requests.new)?);
        (self.requests, self.place) = ([old, new], requests.place);
        Ok(self)
    }

    fn keep(&self, tree: Tree<'a>) -> &'a Tree<'a> {
        self.memory.trees.alloc(tree)
    }

    /// A text that lives as long as the translation.
    fn text(&self, text: &[u8]) -> &'a [u8] {
        self.texts.alloc_extend(text.iter().copied())
    }

    fn finish(&self, result: &value::Out<'a>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let before = out.len();
        result.write(out);
        if out.len() - before > self.limits.output {
            out.truncate(before);
            return Err(Fault::new(FaultKind::TooLarge, "the translated document is larger than the limit"));
        }
        Ok(())
    }

    /// Counts one unit of work: rules that apply types to types could otherwise take for ever.
    fn spend(&self) -> Result<(), Fault> {
        self.spend_all(1)
    }

    fn spend_all(&self, steps: usize) -> Result<(), Fault> {
        match self.work.get().checked_sub(steps) {
            Some(left) => {
                self.work.set(left);
                Ok(())
            }
            None => Err(Fault::new(FaultKind::TooLarge, "the rules need more steps for this document than the limit")),
        }
    }

    /// What a caller of the old interface has seen of a live document: what has no place there was left out.
    fn seen<T>(&self, look: impl FnOnce() -> T) -> T {
        let before = self.unplaced.replace(Unplaced::Drop);
        let seen = look();
        self.unplaced.set(before);
        seen
    }

    /// A member that has nowhere to go.
    fn unplaced(&self, path: &[&str]) -> Result<(), Fault> {
        if self.unplaced.get() == Unplaced::Drop {
            self.dropped.set(self.dropped.get() + 1);
            return Ok(());
        }
        let detail = "the other interface has another field at this place, so it cannot be passed on";
        Err(Fault::new(FaultKind::Collision, detail).within(&path.join(".")))
    }
}

/// Steps that one translation may take: a rule, a member, an element each count one.
const MAX_WORK: usize = 20_000_000;

/// The index of a direction's source side among `[old, new]`.
fn source_side(direction: Direction) -> usize {
    usize::from(direction == Direction::Down)
}

/// One of `[old, new]`.
fn side<T>(pair: &[T; 2], is_new: usize) -> &T {
    let [old, new] = pair;
    if is_new == 0 { old } else { new }
}
