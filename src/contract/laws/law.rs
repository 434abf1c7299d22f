//! The laws, each over one sample.

use super::super::documents::{End, Random, UNKNOWN, Value, Violation, violations};
use super::super::interface::Interface;
use super::super::schema::SchemaId;
use super::shape::Shape;
use crate::codecs::Direction;
use crate::json::{MAX_DEPTH, Tree};
use crate::plan::{Fault, FaultKind};
use crate::rules::checked::TypeId;

/// What the laws are tried on: the engine, or one that is broken on purpose.
pub trait Translator {
    /// Translates one document of a type.
    ///
    /// # Errors
    /// The engine's fault.
    fn translate(&mut self, of: TypeId, direction: Direction, input: &[u8]) -> Result<Vec<u8>, Fault>;

    /// Writes an old document onto a live new one.
    ///
    /// # Errors
    /// The engine's fault.
    fn put(&mut self, of: TypeId, old: &[u8], base: &[u8]) -> Result<Vec<u8>, Fault>;
}

/// What must hold for every document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// A valid old document goes up to a valid new one.
    ValidUp,
    /// A valid new document comes down to a valid old one.
    ValidDown,
    /// An old document that goes up and comes down is the same.
    OldExact,
    /// Writing back what was read changes nothing.
    GetPut,
    /// What was written is what is read.
    PutGet,
    /// An edit changes nothing but the edited place.
    Local,
    /// A new document that comes down and goes up is the same. Reported, never required.
    NewExact,
}

impl Law {
    /// Every law, the required ones first.
    pub const ALL: [Self; 7] =
        [Self::ValidUp, Self::ValidDown, Self::OldExact, Self::GetPut, Self::PutGet, Self::Local, Self::NewExact];

    /// Whether breaking it refuses the rules.
    pub fn is_required(self) -> bool {
        self != Self::NewExact
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ValidUp => "ValidUp",
            Self::ValidDown => "ValidDown",
            Self::OldExact => "OldExact",
            Self::GetPut => "GetPut",
            Self::PutGet => "PutGet",
            Self::Local => "Local",
            Self::NewExact => "NewExact",
        }
    }

    /// What it says, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::ValidUp => "a valid old document goes up to a valid new one",
            Self::ValidDown => "a valid new document comes down to a valid old one",
            Self::OldExact => "an old document that goes up and comes down is the same",
            Self::GetPut => "writing back what was read changes nothing",
            Self::PutGet => "what was written is what is read",
            Self::Local => "an edit changes nothing but the edited place",
            Self::NewExact => "a new document that comes down and goes up is the same",
        }
    }
}

/// One type with its schemas, where known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) of: TypeId,
    pub(super) shape: Shape<'a>,
    /// Whether its rules say more than generators know, so that what they refuse may be none of its documents.
    pub(super) is_general: bool,
    pub(super) old: Option<(&'a Interface, SchemaId)>,
    pub(super) new: Option<(&'a Interface, SchemaId)>,
}

/// The documents of one trial.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) old: Value,
    pub(super) new: Value,
    /// Where an edit takes its values from.
    pub(super) donor: Value,
    pub(super) seed: u64,
}

/// How a law was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// Failures of one kind are shrunk as one.
    pub(super) kind: BrokenKind,
    pub(super) detail: String,
    pub(super) expected: Option<Value>,
    pub(super) actual: Option<Value>,
    /// The edited old document, for locality.
    pub(super) edit: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokenKind {
    Different,
    Fault,
    Invalid,
}

impl Subject<'_> {
    fn end(&self, end: End) -> Option<(&Interface, SchemaId)> {
        match end {
            End::Old => self.old,
            End::New => self.new,
        }
    }

    /// Whether a document is one that this side allows.
    pub(super) fn allows(&self, end: End, value: &Value) -> bool {
        match self.end(end) {
            Some(_) => self.broken_at(end, value).is_none(),
            None => self.shape.is_whole(self.of, end, value),
        }
    }

    fn broken_at(&self, end: End, value: &Value) -> Option<Violation> {
        let (interface, schema) = self.end(end)?;
        let text = value.to_json();
        let tree = Tree::parse(&text, MAX_DEPTH).ok()?;
        violations(interface, schema, &tree).into_iter().find(|one| !self.shape.is_excused(self.of, end, &one.path))
    }

    /// `None` where the law holds, or says nothing about this sample.
    pub(super) fn broken(&self, law: Law, sample: &Sample, engine: &mut dyn Translator) -> Option<Broken> {
        match law {
            Law::ValidUp => self.valid(Direction::Up, &sample.old, engine),
            Law::ValidDown => self.valid(Direction::Down, &sample.new, engine),
            Law::OldExact => {
                let up = self.go(engine, Direction::Up, &sample.old)?;
                let back = match self.try_go(engine, Direction::Down, &up) {
                    Ok(back) => back?,
                    Err(broken) => return Some(*broken),
                };
                self.compare_old(&sample.old, back)
            }
            Law::GetPut => {
                let seen = self.go(engine, Direction::Down, &sample.new)?;
                match self.write(engine, &seen, &sample.new) {
                    Ok(written) => differ(&sample.new, written?),
                    Err(broken) => Some(*broken),
                }
            }
            Law::PutGet => {
                // What only the live document has stays on a write, and would show in what is read back.
                let mut base = sample.new.clone();
                remove_unknown(&mut base);
                if self.is_general {
                    self.shape.keep_named(&mut base);
                }
                let written = self.write(engine, &sample.old, &base).ok()??;
                let mut seen = match self.try_go(engine, Direction::Down, &written) {
                    Ok(seen) => seen?,
                    Err(broken) => return Some(*broken),
                };
                if self.is_general {
                    self.shape.strip_strangers(&sample.old, &mut seen);
                }
                self.compare_old(&sample.old, seen)
            }
            Law::Local => {
                let seen = self.go(engine, Direction::Down, &sample.new)?;
                let mut edit = seen.clone();
                let mut random = Random::new(sample.seed);
                super::edit::edit(&mut edit, &sample.donor, &self.shape.key_names(), &mut random);
                let written = self.write(engine, &edit, &sample.new).ok()??;
                let place = self.shape.stray(self.of, &seen, &edit, &sample.new, &written)?;
                Some(Broken {
                    kind: BrokenKind::Different,
                    detail: format!("`{place}` changed, but the edit did not touch it"),
                    expected: Some(sample.new.clone()),
                    actual: Some(written),
                    edit: Some(edit),
                })
            }
            Law::NewExact => {
                let seen = self.go(engine, Direction::Down, &sample.new)?;
                differ(&sample.new, self.go(engine, Direction::Up, &seen)?)
            }
        }
    }

    fn valid(&self, direction: Direction, input: &Value, engine: &mut dyn Translator) -> Option<Broken> {
        let output = match self.try_go(engine, direction, input) {
            Ok(output) => output?,
            Err(broken) => return Some(*broken),
        };
        let end = match direction {
            Direction::Up => End::New,
            Direction::Down => End::Old,
        };
        let first = self.broken_at(end, &output)?;
        let place = if first.place.is_empty() { "the document".to_owned() } else { format!("`{}`", first.place) };
        Some(Broken {
            kind: BrokenKind::Invalid,
            detail: format!("{place}: {}", first.detail),
            expected: None,
            actual: Some(output),
            edit: None,
        })
    }

    /// Compares old documents but for what the laws leave out.
    fn compare_old(&self, before: &Value, mut after: Value) -> Option<Broken> {
        let mut before = before.clone();
        self.shape.forgive_defaults(self.of, &before, &mut after);
        self.shape.strip(self.of, &mut before);
        self.shape.strip(self.of, &mut after);
        differ(&before, after)
    }

    fn go(&self, engine: &mut dyn Translator, direction: Direction, input: &Value) -> Option<Value> {
        self.try_go(engine, direction, input).ok().flatten()
    }

    /// `Ok(None)` where the engine refused a place at which a loss is accepted.
    fn try_go(
        &self,
        engine: &mut dyn Translator,
        direction: Direction,
        input: &Value,
    ) -> Result<Option<Value>, Box<Broken>> {
        let end = match direction {
            Direction::Up => End::Old,
            Direction::Down => End::New,
        };
        self.outcome(end, engine.translate(self.of, direction, &input.to_json()))
    }

    fn write(&self, engine: &mut dyn Translator, old: &Value, base: &Value) -> Result<Option<Value>, Box<Broken>> {
        self.outcome(End::Old, engine.put(self.of, &old.to_json(), &base.to_json()))
    }

    fn outcome(&self, end: End, result: Result<Vec<u8>, Fault>) -> Result<Option<Value>, Box<Broken>> {
        let fault = match result {
            Ok(text) => match Value::parse(&text) {
                Some(value) => return Ok(Some(value)),
                None => "the engine wrote something that is not JSON".to_owned(),
            },
            // An unknown member in the way of a rule is the caller's to mend, whatever the rules.
            Err(fault) if fault.kind == FaultKind::Collision || self.is_general => return Ok(None),
            Err(fault) if self.shape.is_excused(self.of, end, &path_of(&fault.place)) => return Ok(None),
            Err(fault) if fault.place.is_empty() => fault.detail,
            Err(fault) => format!("`{}`: {}", fault.place, fault.detail),
        };
        Err(Box::new(Broken { kind: BrokenKind::Fault, detail: fault, expected: None, actual: None, edit: None }))
    }
}

/// Takes away the members that generators add.
fn remove_unknown(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|(name, _)| !name.starts_with(UNKNOWN));
            for (_, value) in members {
                remove_unknown(value);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(remove_unknown),
        _ => {}
    }
}

/// `lines[3].total` as `lines`, `[]`, `total`.
fn path_of(place: &str) -> Vec<String> {
    let mut path = Vec::new();
    for name in place.split('.') {
        let (name, rest) = name.split_once('[').map_or((name, ""), |(name, rest)| (name, rest));
        if !name.is_empty() {
            path.push(name.to_owned());
        }
        path.extend(rest.matches(']').map(|_| "[]".to_owned()));
    }
    path
}

fn differ(expected: &Value, actual: Value) -> Option<Broken> {
    (!expected.same(&actual)).then(|| Broken {
        kind: BrokenKind::Different,
        detail: String::new(),
        expected: Some(expected.clone()),
        actual: Some(actual),
        edit: None,
    })
}
