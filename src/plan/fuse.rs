//! Two neighbouring steps said as one: rules joined at the places of the version between them.
//!
//! A fused type takes a part of the documents that its two types take, and makes the same of them but for the order of
//! members; whatever it would have to think about it refuses, and the steps translate it one by one. So what is asked
//! here is not "what becomes of it", but "is there any doubt".

use std::collections::{HashMap, HashSet};

use super::compile::default_for;
use super::lens::Nested;
use crate::codecs::{Codec, Direction};
use crate::path::Place;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedStep, TypeId};

/// A type that says one step or several.
#[derive(Debug, Clone, Default)]
pub(super) struct Fused {
    pub(super) rules: Vec<CheckedKind>,
    /// Places of the versions between that no unnamed member of the old document may have, and of the new one.
    taken: [Vec<Place>; 2],
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

/// The most types that one fusing makes; those beyond are not fused.
const MOST_TYPES: usize = 4096;

impl Table {
    /// The types of one step.
    pub(super) fn of(step: &CheckedStep) -> Self {
        let fused = |rules: Vec<CheckedKind>| Fused { rules, taken: [Vec::new(), Vec::new()] };
        let types = step.types.iter().zip(step.general()).map(|(of, general)| {
            let rules = of.rules.iter().map(|rule| &rule.kind).filter(|kind| !is_nothing(kind));
            let plain = !general && of.rules.iter().all(|rule| is_plain(&rule.kind));
            plain.then(|| fused(rules.cloned().collect()))
        });
        Self { types: types.collect() }
    }

    /// The pairs, at the index that each was given as, and whatever types they need behind them.
    pub(super) fn fuse(older: &Self, newest: &Self, pairs: Vec<Pair>) -> Self {
        let mut open = Open { index: HashMap::new(), pairs: Vec::new() };
        for pair in pairs {
            open.id(pair);
        }
        let mut types: Vec<Option<Fused>> = Vec::new();
        while let Some((older_type, newest_type)) = open.pairs.get(types.len()).copied() {
            let nothing = Fused::default();
            let of = |table: &'_ Self, of: Option<TypeId>| match of {
                Some(of) => table.types.get(of.0).cloned().flatten(),
                None => Some(nothing.clone()),
            };
            let both = of(older, older_type).zip(of(newest, newest_type)).filter(|_| types.len() < MOST_TYPES);
            types.push(both.and_then(|(older, newest)| join(&older, &newest, &mut open)));
        }
        let mut table = Self { types };
        table.refuse_what_needs_refused();
        table
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
        return Some(Fused { rules, taken: older.taken.clone() });
    }
    if older.rules.is_empty() && older.taken.iter().all(Vec::is_empty) {
        return Some(Fused { rules: lifted(newest, |of| (None, Some(of)), open), ..Fused::default() });
    }
    if !lie_apart(older, newest) {
        return None;
    }
    let rules = Joint::new(older, newest)?.rules(open).ok()?;
    let [taken_old, taken_new] = &older.taken;
    let with = |taken: &[Place], more: Vec<&Place>| taken.iter().chain(more).cloned().collect();
    let taken = [with(taken_old, older.news().collect()), with(taken_new, newest.olds().collect())];
    let fused = Fused { rules, taken };
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

/// One rule for two that meet at one place, neither of them a mere move of it; nothing inside where they cancel out.
fn chain(older: &CheckedKind, newest: &CheckedKind, open: &mut Open) -> Result<Option<CheckedKind>, Doubt> {
    use CheckedKind::{Added, Equation, Removed};
    let either = |first: &Option<String>, second: &Option<String>| first.clone().or_else(|| second.clone());
    Ok(match (older, newest) {
        (Added { .. }, Removed { .. }) => None,
        // The value is thrown away on the way down, whatever it is: only where no codec would refuse it.
        (Added { default, .. }, Equation { olds, news, codec: BoundCodec::Value(Codec::Same), default: next }) => {
            let ([_], [to]) = (olds.as_slice(), news.as_slice()) else { return Err(Doubt) };
            Some(Added { place: to.clone(), default: either(default, next) })
        }
        (Equation { olds, codec: BoundCodec::Value(Codec::Same), default, .. }, Removed { default: given, .. }) => {
            let [from] = olds.as_slice() else { return Err(Doubt) };
            Some(Removed { place: from.clone(), default: either(given, default) })
        }
        (
            Equation { olds, codec: first, default: first_default, .. },
            Equation { olds: middle, news, codec: second, default: second_default },
        ) if olds.len() == 1 && middle.len() == 1 && news.len() == 1 => {
            let (codec, default) = match (first, second) {
                (BoundCodec::Value(first), BoundCodec::Value(second)) => {
                    let codec = first.then(second).ok_or(Doubt)?;
                    let steps = [(first, first_default.as_deref()), (second, second_default.as_deref())];
                    let default = joined_default(&codec, steps)?;
                    (BoundCodec::Value(codec), default)
                }
                _ if first_default.is_some() || second_default.is_some() => return Err(Doubt),
                (BoundCodec::As(first), BoundCodec::As(second)) => {
                    (BoundCodec::As(open.id((Some(*first), Some(*second)))), None)
                }
                (BoundCodec::Each { of: first, key }, BoundCodec::Each { of: second, .. }) => {
                    let of = open.id((Some(*first), Some(*second)));
                    (BoundCodec::Each { of, key: key.clone() }, None)
                }
                _ => return Err(Doubt),
            };
            Some(Equation { olds: olds.clone(), news: news.clone(), codec, default })
        }
        _ => return Err(Doubt),
    })
}

/// The default of a chained rule: what absent becomes by both rules, up and down. Nothing where one default cannot say it.
fn joined_default(codec: &Codec, steps: [(&Codec, Option<&str>); 2]) -> Result<Option<String>, Doubt> {
    let [(first, first_default), (second, second_default)] = steps;
    let convert = |codec: &Codec, direction, text: &str| {
        let mut out = Vec::new();
        codec.convert(direction, Some(text.as_bytes()), &mut out).ok()?;
        String::from_utf8(out).ok()
    };
    let up = match first_default {
        Some(text) => Some(convert(second, Direction::Up, text).ok_or(Doubt)?),
        None => second_default.map(str::to_owned),
    };
    let filled =
        |codec, default: Option<&str>| default.and_then(|text| default_for(text, codec, Nested::No, Direction::Down));
    let down = match filled(second, second_default) {
        Some(text) => Some(convert(first, Direction::Down, &text).ok_or(Doubt)?),
        None => filled(first, first_default),
    };
    if filled(codec, up.as_deref()) == down { Ok(up) } else { Err(Doubt) }
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

fn is_plain(kind: &CheckedKind) -> bool {
    !matches!(kind, CheckedKind::Mapping(_)) && olds(kind).iter().chain(news(kind)).all(Place::is_plain)
}

fn inner(kind: &CheckedKind) -> Option<TypeId> {
    match kind {
        CheckedKind::Equation { codec: BoundCodec::As(of) | BoundCodec::Each { of, .. }, .. } => Some(*of),
        _ => None,
    }
}

fn olds(kind: &CheckedKind) -> &[Place] {
    match kind {
        CheckedKind::Equation { olds, .. } => olds,
        CheckedKind::Removed { place, .. } => std::slice::from_ref(place),
        CheckedKind::Added { .. } | CheckedKind::Mapping(_) => &[],
    }
}

fn news(kind: &CheckedKind) -> &[Place] {
    match kind {
        CheckedKind::Equation { news, .. } => news,
        CheckedKind::Added { place, .. } => std::slice::from_ref(place),
        CheckedKind::Removed { .. } | CheckedKind::Mapping(_) => &[],
    }
}

fn olds_mut(kind: &mut CheckedKind) -> &mut [Place] {
    match kind {
        CheckedKind::Equation { olds, .. } => olds,
        CheckedKind::Removed { place, .. } => std::slice::from_mut(place),
        CheckedKind::Added { .. } | CheckedKind::Mapping(_) => &mut [],
    }
}

fn news_mut(kind: &mut CheckedKind) -> &mut [Place] {
    match kind {
        CheckedKind::Equation { news, .. } => news,
        CheckedKind::Added { place, .. } => std::slice::from_mut(place),
        CheckedKind::Removed { .. } | CheckedKind::Mapping(_) => &mut [],
    }
}
