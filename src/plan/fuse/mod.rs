//! Two neighbouring steps said as one: rules joined at the places of the version between them.
//!
//! A fused type takes a part of the documents that its two types take, and makes the same of them but for the order of
//! members; whatever it would have to think about it refuses, and the steps translate it one by one. So what is asked
//! here is not "what becomes of it", but "is there any doubt".

mod chain;
mod places;

use std::collections::{HashMap, HashSet};

use self::chain::chain;
use self::places::{deepens, news, news_mut, olds, olds_mut};
use crate::codecs::{Codec, Direction};
use crate::path::Place;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedStep, TypeId};

/// A type that says one step or several.
#[derive(Debug, Clone, Default)]
pub(super) struct Fused {
    pub(super) rules: Vec<CheckedKind>,
    /// Places of the versions between that no unnamed member of the old document may have, and of the new one.
    taken: [Vec<Place>; 2],
    /// How much deeper values may be nested in one of the versions than in the document that is read, places apart.
    pub(super) rise: usize,
}

impl Fused {
    /// What no unnamed member of a direction's source may have as its place.
    pub(super) fn taken(&self, direction: Direction) -> &[Place] {
        let [old, new] = &self.taken;
        match direction {
            Direction::Up => old,
            Direction::Down => new,
        }
    }

    /// How many levels down its deepest place is.
    pub(super) fn deepest(&self) -> usize {
        let places = self.olds().chain(self.news()).chain(self.taken.iter().flatten());
        places.map(|place| place.segments.len()).max().unwrap_or(1)
    }

    /// How much it takes to keep it.
    fn weight(&self) -> usize {
        1 + self.olds().chain(self.news()).chain(self.taken.iter().flatten()).count()
    }

    fn olds(&self) -> impl Iterator<Item = &Place> {
        self.rules.iter().flat_map(olds)
    }

    fn news(&self) -> impl Iterator<Item = &Place> {
        self.rules.iter().flat_map(news)
    }
}

/// The types of one step or of several, by type; nothing for those that cannot be said as one.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) types: Vec<Option<Fused>>,
}

/// A type of the older steps and one of the newest; nothing where a version takes the documents as they are.
pub(super) type Pair = (Option<TypeId>, Option<TypeId>);

impl Table {
    /// The types of one step.
    pub(super) fn of(step: &CheckedStep) -> Self {
        let fused = |rules: Vec<CheckedKind>| {
            let rise = rules.iter().map(deepens).max().unwrap_or(0);
            Fused { rules, rise, ..Fused::default() }
        };
        let types = step.types.iter().zip(step.general()).map(|(of, general)| {
            let rules = of.rules.iter().map(|rule| &rule.kind).filter(|kind| !is_nothing(kind));
            let plain = !general && of.rules.iter().all(|rule| is_plain(&rule.kind));
            plain.then(|| fused(rules.cloned().collect()))
        });
        Self { types: types.collect() }
    }

    /// The pairs, at the index that each was given as, and whatever types they need behind them; no more than there is
    /// room for. Those beyond are not fused.
    pub(super) fn fuse(older: &Self, newest: &Self, pairs: Vec<Pair>, room: usize) -> Self {
        let mut open = Open { index: HashMap::new(), pairs: Vec::new() };
        for pair in pairs {
            open.id(pair);
        }
        let mut types: Vec<Option<Fused>> = Vec::new();
        let mut left = room;
        while let Some((older_type, newest_type)) = open.pairs.get(types.len()).copied() {
            let nothing = Fused::default();
            let of = |table: &'_ Self, of: Option<TypeId>| match of {
                Some(of) => table.types.get(of.0).cloned().flatten(),
                None => Some(nothing.clone()),
            };
            let both = of(older, older_type).zip(of(newest, newest_type)).filter(|_| types.len() < room);
            let fused = both.and_then(|(older, newest)| join(&older, &newest, &mut open));
            let fused = fused.filter(|fused| fused.weight() <= left);
            left -= fused.as_ref().map_or(0, Fused::weight);
            types.push(fused);
        }
        let mut table = Self { types };
        table.refuse_what_needs_refused();
        table
    }

    /// How much it takes to keep them.
    pub(super) fn weight(&self) -> usize {
        self.types.iter().flatten().map(Fused::weight).sum()
    }

    /// A type whose inner types are not fused cannot be, either.
    fn refuse_what_needs_refused(&mut self) {
        loop {
            let is_refused: Vec<bool> = self.types.iter().map(Option::is_none).collect();
            let needs = |kind: &CheckedKind| inner(kind).is_some_and(|of| is_refused.get(of.0) != Some(&false));
            let mut changed = false;
            for of in &mut self.types {
                if of.as_ref().is_some_and(|of| of.rules.iter().any(needs)) {
                    *of = None;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }
}

/// Pairs that were asked for, each with its index in the table that is being made.
struct Open {
    index: HashMap<Pair, TypeId>,
    pairs: Vec<Pair>,
}

impl Open {
    fn id(&mut self, pair: Pair) -> TypeId {
        *self.index.entry(pair).or_insert_with(|| {
            self.pairs.push(pair);
            TypeId(self.pairs.len() - 1)
        })
    }

    /// The rule with its inner type seen from the fused table.
    fn lift(&mut self, mut kind: CheckedKind, pair: fn(TypeId) -> Pair) -> CheckedKind {
        if let CheckedKind::Equation { codec: BoundCodec::As(of) | BoundCodec::Each { of, .. }, .. } = &mut kind {
            *of = self.id(pair(*of));
        }
        kind
    }
}

/// Both types as one; nothing where there is any doubt.
fn join(older: &Fused, newest: &Fused, open: &mut Open) -> Option<Fused> {
    let lifted = |of: &Fused, pair: fn(TypeId) -> Pair, open: &mut Open| {
        of.rules.iter().map(|kind| open.lift(kind.clone(), pair)).collect::<Vec<_>>()
    };
    if newest.rules.is_empty() {
        let rules = lifted(older, |of| (Some(of), None), open);
        return Some(Fused { rules, taken: older.taken.clone(), rise: older.rise });
    }
    if older.rules.is_empty() && older.taken.iter().all(Vec::is_empty) {
        let rules = lifted(newest, |of| (None, Some(of)), open);
        return Some(Fused { rules, rise: older.rise.saturating_add(newest.rise), ..Fused::default() });
    }
    if !lie_apart(older, newest) {
        return None;
    }
    let rules = Joint::new(older, newest)?.rules(open).ok()?;
    let [taken_old, taken_new] = &older.taken;
    let with = |taken: &[Place], more: Vec<&Place>| taken.iter().chain(more).cloned().collect();
    let taken = [with(taken_old, older.news().collect()), with(taken_new, newest.olds().collect())];
    let fused = Fused { rules, taken, rise: older.rise.saturating_add(newest.rise) };
    (are_distinct(fused.olds()) && are_distinct(fused.news())).then_some(fused)
}

/// Whether no place of any version lies within one of another, so that no object of one version is a value of another;
/// and nothing that the newest step reads has a name that the older ones keep free.
fn lie_apart(older: &Fused, newest: &Fused) -> bool {
    let places: HashSet<&[String]> = older
        .olds()
        .chain(older.news())
        .chain(newest.olds())
        .chain(newest.news())
        .chain(older.taken.iter().flatten())
        .map(|place| place.segments.as_slice())
        .collect();
    let is_within =
        |place: &&[String]| (0..place.len()).any(|end| place.get(..end).is_some_and(|up| places.contains(up)));
    let read: HashSet<&[String]> = older.news().map(|place| place.segments.as_slice()).collect();
    let kept_free = |place: &Place| {
        older.taken.iter().flatten().any(|taken| taken == place) && !read.contains(place.segments.as_slice())
    };
    !places.iter().any(is_within) && !newest.olds().any(kept_free)
}

fn are_distinct<'p>(mut places: impl Iterator<Item = &'p Place>) -> bool {
    let mut seen = HashSet::new();
    places.all(|place| seen.insert(place.segments.as_slice()))
}

/// It is not certain that one rule does what two do, so the types stay apart.
struct Doubt;

/// Two types side by side.
struct Joint<'f> {
    older: &'f Fused,
    newest: &'f Fused,
    /// For each place of the version between them that an older rule writes: that rule.
    written: HashMap<&'f [String], &'f CheckedKind>,
    /// For each that a rule of the newest step reads: that rule.
    read: HashMap<&'f [String], &'f CheckedKind>,
}

impl<'f> Joint<'f> {
    fn new(older: &'f Fused, newest: &'f Fused) -> Option<Self> {
        let by_place = |of: &'f Fused, places: fn(&CheckedKind) -> &[Place]| {
            let each = of.rules.iter().flat_map(move |kind| places(kind).iter().map(move |place| (place, kind)));
            each.map(|(place, kind)| (place.segments.as_slice(), kind)).collect::<HashMap<_, _>>()
        };
        let joint = Self { older, newest, written: by_place(older, news), read: by_place(newest, olds) };
        let leaves_no_husk = |(place, older): (&&[String], &&CheckedKind)| {
            joint.read.get(place).is_none_or(|newest| leaves_no_husk(place, older, newest))
        };
        joint.written.iter().all(leaves_no_husk).then_some(joint)
    }

    fn reader(&self, place: &Place) -> Option<&'f CheckedKind> {
        self.read.get(place.segments.as_slice()).copied()
    }

    fn writer(&self, place: &Place) -> Option<&'f CheckedKind> {
        self.written.get(place.segments.as_slice()).copied()
    }

    fn rules(&self, open: &mut Open) -> Result<Vec<CheckedKind>, Doubt> {
        let mut rules = Vec::new();
        for kind in &self.older.rules {
            rules.extend(self.of_older(kind, open)?);
        }
        for kind in &self.newest.rules {
            rules.extend(self.of_newest(kind, open)?);
        }
        Ok(rules)
    }

    /// What an older rule comes to; nothing inside where it is told with its reader, or comes to nothing.
    fn of_older(&self, kind: &CheckedKind, open: &mut Open) -> Result<Option<CheckedKind>, Doubt> {
        let readers: Vec<&CheckedKind> = news(kind).iter().filter_map(|place| self.reader(place)).collect();
        if !readers.is_empty() && is_move(kind) {
            return Ok(None);
        }
        if readers.iter().all(|reader| is_move(reader)) {
            let mut moved = open.lift(kind.clone(), |of| (Some(of), None));
            for place in news_mut(&mut moved) {
                if let Some(to) = self.reader(place).and_then(|reader| news(reader).first()) {
                    *place = to.clone();
                }
            }
            return Ok(Some(moved));
        }
        match (news(kind), readers.as_slice()) {
            ([_], [reader]) => chain(kind, reader, open),
            _ => Err(Doubt),
        }
    }

    /// What a rule of the newest step comes to; nothing inside where it is told with its writer.
    fn of_newest(&self, kind: &CheckedKind, open: &mut Open) -> Result<Option<CheckedKind>, Doubt> {
        let mut writers = olds(kind).iter().filter_map(|place| self.writer(place));
        if !writers.all(is_move) {
            return if olds(kind).len() == 1 { Ok(None) } else { Err(Doubt) };
        }
        let mut moved = open.lift(kind.clone(), |of| (None, Some(of)));
        for place in olds_mut(&mut moved) {
            if let Some(from) = self.writer(place).and_then(|writer| olds(writer).first()) {
                *place = from.clone();
            }
        }
        Ok(Some(moved))
    }
}

/// Whether the newest step's reading a place that an older one wrote leaves the objects around it as one step would.
///
/// On the way up, an object emptied by moves stays as `{}`. One that the older steps made for the value alone would be
/// left behind, and one step would never make it; unless something else is sure to be written in it, or the old document
/// is sure to have had it.
fn leaves_no_husk(place: &[String], older: &CheckedKind, newest: &CheckedKind) -> bool {
    if matches!(older, CheckedKind::Added { default: None, .. }) {
        return true;
    }
    let follows = |kind: &CheckedKind, is_read: bool| match kind {
        CheckedKind::Equation { codec, default, .. } => {
            let is_sure = match codec {
                BoundCodec::Value(codec) => codec.is_steady() || matches!(codec, Codec::Split(_)),
                BoundCodec::As(_) | BoundCodec::Each { .. } => true,
            };
            is_sure && (default.is_none() || !is_read)
        }
        CheckedKind::Added { .. } | CheckedKind::Removed { .. } | CheckedKind::Mapping(_) => false,
    };
    let target = news(newest).first().filter(|_| follows(newest, false));
    let source = olds(older).first().filter(|_| follows(older, true));
    (1..place.len()).all(|end| {
        let parent = place.get(..end).unwrap_or_default();
        let is_below = |place: &Place| place.segments.starts_with(parent) && place.segments.len() > parent.len();
        target.is_some_and(is_below) || source.is_some_and(is_below)
    })
}

/// One value goes from one place to another as it is.
fn is_move(kind: &CheckedKind) -> bool {
    matches!(
        kind,
        CheckedKind::Equation { olds, news, codec: BoundCodec::Value(Codec::Same), default: None }
            if olds.len() == 1 && news.len() == 1
    )
}

/// The same bytes at the same place: what happens to members that no rule names.
fn is_nothing(kind: &CheckedKind) -> bool {
    is_move(kind) && olds(kind) == news(kind) && olds(kind).iter().all(|place| !place.segments.is_empty())
}

/// Places of member names alone; and where one is the whole document, so is the other: a document that is put into
/// another is nested by so much more, however little it was.
fn is_plain(kind: &CheckedKind) -> bool {
    let mut places = olds(kind).iter().chain(news(kind));
    let is_whole = |place: &Place| place.segments.is_empty();
    let wholes = places.clone().filter(|place| is_whole(place)).count();
    !matches!(kind, CheckedKind::Mapping(_)) && places.all(Place::is_plain) && (wholes == 0 || wholes == 2)
}

fn inner(kind: &CheckedKind) -> Option<TypeId> {
    match kind {
        CheckedKind::Equation { codec: BoundCodec::As(of) | BoundCodec::Each { of, .. }, .. } => Some(*of),
        _ => None,
    }
}
