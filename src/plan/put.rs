//! Writing an old document onto a live new one: unchanged is untouched.
//!
//! For each equation: if the live document, seen through the rule, already says what the old document says, its bytes
//! stay, however lossy the rule is. Otherwise the old value is translated and set. Nested documents are written the
//! same way, list elements found by their key. What only the live document has stays, including members that the old
//! interface has never heard of.

use std::collections::{HashMap, HashSet};

use super::compile::default_for;
use super::edit::Edit;
use super::engine::MAX_PLACES;
use super::lens::Nested;
use super::{Direction, Fault, FaultKind, Limits, Scratch, StepPlan, TypeId};
use crate::codecs::{Codec, Written};
use crate::json::{Tree, TreeKind, separate};
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedType};

type Path = Vec<String>;

/// One rule as writing back sees it.
#[derive(Debug)]
pub(super) struct PutRule {
    olds: Vec<Path>,
    news: Vec<Path>,
    how: How,
    default_new: Option<String>,
    default_old: Option<String>,
}

#[derive(Debug)]
enum How {
    Value(Codec),
    As(TypeId),
    Each(TypeId, Option<Path>),
    /// One-sided: its place belongs to the rule, and nothing is done.
    Leave,
}

pub(super) fn compile_put(of: &CheckedType) -> Vec<PutRule> {
    let path = |place: &crate::path::Place| place.segments.clone();
    let one_sided = |olds, news| PutRule { olds, news, how: How::Leave, default_new: None, default_old: None };
    let rules = of.rules.iter().map(|rule| match &rule.kind {
        CheckedKind::Added { place, .. } => one_sided(Vec::new(), vec![path(place)]),
        CheckedKind::Removed { place, .. } => one_sided(vec![path(place)], Vec::new()),
        CheckedKind::Mapping(_) => one_sided(Vec::new(), Vec::new()),
        CheckedKind::Equation { olds, news, codec, default } => {
            let (how, nested, codec) = match codec {
                BoundCodec::Value(codec) => (How::Value(codec.clone()), Nested::No, codec),
                BoundCodec::As(of) => (How::As(*of), Nested::As(*of), &Codec::Same),
                BoundCodec::Each { of, key } => {
                    (How::Each(*of, key.as_ref().map(path)), Nested::Each(*of), &Codec::Same)
                }
            };
            let default = |direction| default.as_ref().and_then(|text| default_for(text, codec, nested, direction));
            PutRule {
                olds: olds.iter().map(path).collect(),
                news: news.iter().map(path).collect(),
                default_new: default(Direction::Up),
                default_old: default(Direction::Down),
                how,
            }
        }
    });
    rules.collect()
}

/// See [`StepPlan::put`].
pub(super) fn put(
    step: &StepPlan,
    of: TypeId,
    old: &[u8],
    base: &[u8],
    out: &mut Vec<u8>,
    limits: Limits,
) -> Result<(), Fault> {
    let old = Tree::parse_within(old, limits.depth, limits.nodes)?;
    let base = Tree::parse_within(base, limits.depth, limits.nodes).map_err(|error| {
        let mut fault = Fault::new(FaultKind::Missing, format!("the live document is unusable: {error}"));
        fault.offset = None;
        fault
    })?;
    let writer = Putter { step, limits };
    let text = writer.document(of, &old, &base)?;
    if text.len() > limits.output {
        return Err(Fault::new(FaultKind::TooLarge, "the translated document is larger than the limit"));
    }
    out.extend_from_slice(&text);
    Ok(())
}

struct Putter<'p> {
    step: &'p StepPlan,
    limits: Limits,
}

impl Putter<'_> {
    /// One document of a type. Recursion is bounded by the documents' depth, which parsing has bounded.
    fn document(&self, of: TypeId, old: &Tree<'_>, base: &Tree<'_>) -> Result<Vec<u8>, Fault> {
        let rules = self.step.puts.get(of.0).map(Vec::as_slice).unwrap_or_default();
        let is_whole = |rule: &PutRule| rule.olds.iter().chain(&rule.news).any(Vec::is_empty);
        let members_on_both = old.is_object() && base.is_object();
        if !members_on_both && !rules.iter().any(is_whole) {
            return self.translate(of, Direction::Up, old.raw);
        }
        let mut edit = Edit::default();
        for rule in rules.iter().filter(|rule| !matches!(rule.how, How::Leave)) {
            self.rule(rule, old, base, &mut edit)?;
        }
        if !rules.iter().any(is_whole) {
            Unnamed { rules, base }.visit(old, &mut Vec::new(), &mut edit)?;
        }
        let mut out = Vec::new();
        edit.apply(Some(base), &mut out);
        Ok(out)
    }

    fn rule(&self, rule: &PutRule, old: &Tree<'_>, base: &Tree<'_>, edit: &mut Edit) -> Result<(), Fault> {
        let olds: Vec<Option<&Tree<'_>>> = rule.olds.iter().map(|path| old.at(path)).collect();
        let news: Vec<Option<&Tree<'_>>> = rule.news.iter().map(|path| base.at(path)).collect();
        // A live value that the rule cannot read cannot be what the old client saw: its write wins.
        let seen = self.convert(rule, Direction::Down, &news);
        if seen.is_ok_and(|seen| self.all_same(&seen, &olds)) {
            return Ok(());
        }
        let name = || rule.olds.first().map(|path| path.join(".")).unwrap_or_default();
        let written = match (&rule.how, olds.as_slice(), news.as_slice()) {
            (How::As(of), [Some(old)], [Some(base)]) if old.is_object() && base.is_object() => {
                self.document(*of, old, base).map(|text| vec![Some(text)])
            }
            (How::Each(of, Some(key)), [Some(old)], [Some(base)]) => match (old.elements(), base.elements()) {
                (Some(old), Some(base)) => self.list(*of, key, old, base).map(|text| vec![Some(text)]),
                _ => self.convert(rule, Direction::Up, &olds),
            },
            _ => self.convert(rule, Direction::Up, &olds),
        };
        for (path, text) in rule.news.iter().zip(written.map_err(|fault| fault.within(&name()))?) {
            edit.set(path, text);
        }
        Ok(())
    }

    fn all_same(&self, seen: &[Option<Vec<u8>>], olds: &[Option<&Tree<'_>>]) -> bool {
        seen.len() == olds.len()
            && seen.iter().zip(olds).all(|(seen, old)| match (seen, old) {
                (None, None) => true,
                (Some(seen), Some(old)) => Tree::parse(seen, self.limits.depth).is_ok_and(|seen| seen.same(old)),
                _ => false,
            })
    }

    /// The rule's own conversion, values in and texts out, without a base.
    fn convert(
        &self,
        rule: &PutRule,
        direction: Direction,
        values: &[Option<&Tree<'_>>],
    ) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let default = match direction {
            Direction::Up => &rule.default_new,
            Direction::Down => &rule.default_old,
        };
        if let (Some(text), [None]) = (default, values) {
            return Ok(vec![Some(text.clone().into_bytes())]);
        }
        match (&rule.how, values) {
            (How::Value(codec), _) => convert_values(codec, direction, values),
            (_, [None]) => Ok(vec![None]),
            (How::As(of), [Some(value)]) => Ok(vec![Some(self.translate(*of, direction, value.raw)?)]),
            (How::Each(of, _), [Some(value)]) => match value.elements() {
                None => Ok(vec![Some(value.raw.to_vec())]),
                Some(elements) => {
                    let texts = elements.iter().map(|element| self.translate(*of, direction, element.raw));
                    let texts = texts.enumerate().map(|(index, text)| at_index(index, text));
                    Ok(vec![Some(join(&texts.collect::<Result<Vec<_>, _>>()?))])
                }
            },
            _ => Ok(Vec::new()),
        }
    }

    fn translate(&self, of: TypeId, direction: Direction, raw: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        self.step.translate(of, direction, raw, &mut out, &mut Scratch::default(), self.limits)?;
        Ok(out)
    }

    /// A list whose elements are told apart by a key: each is written onto the live element of the same key, wherever
    /// it stands; a new key has no base.
    fn list(&self, of: TypeId, key: &[String], old: &[Tree<'_>], base: &[Tree<'_>]) -> Result<Vec<u8>, Fault> {
        let mut live: HashMap<String, Option<&Tree<'_>>> = HashMap::new();
        for element in base {
            let seen = self.translate(of, Direction::Down, element.raw)?;
            let Ok(seen) = Tree::parse(&seen, self.limits.depth) else { continue };
            if let Some(key) = seen.at(key).map(canonical) {
                // Two live elements of one key cannot be told apart: neither may be written to.
                live.entry(key).and_modify(|found| *found = None).or_insert(Some(element));
            }
        }
        let mut met: HashSet<String> = HashSet::new();
        let mut texts = Vec::with_capacity(old.len());
        for (index, element) in old.iter().enumerate() {
            let name = element.at(key).map(canonical);
            let found = name.as_ref().and_then(|name| live.get(name));
            let again = name.is_some_and(|name| !met.insert(name));
            let text = match found {
                Some(None) => Err(Fault::guard("expected a key that one live element has, not several".into())),
                Some(Some(_)) if again => Err(Fault::guard("expected each key once".into())),
                Some(Some(base)) => at_index(index, self.document(of, element, base)),
                None => at_index(index, self.translate(of, Direction::Up, element.raw)),
            };
            texts.push(text.map_err(|fault| {
                if fault.place.is_empty() { fault.within(&key.join(".")).within(&format!("[{index}]")) } else { fault }
            })?);
        }
        Ok(join(&texts))
    }
}

fn at_index<T>(index: usize, result: Result<T, Fault>) -> Result<T, Fault> {
    result.map_err(|fault| fault.within(&format!("[{index}]")))
}

fn join(texts: &[Vec<u8>]) -> Vec<u8> {
    let mut list = vec![b'['];
    for text in texts {
        separate(&mut list);
        list.extend_from_slice(text);
    }
    list.push(b']');
    list
}

/// One text for all spellings of a key.
fn canonical(key: &Tree<'_>) -> String {
    match (key.text(), key.number()) {
        (Some(text), _) => format!("s{text}"),
        (_, Some(number)) => {
            format!("n{}{}e{}", number.negative, String::from_utf8_lossy(&number.digits), number.exponent)
        }
        _ => format!("r{}", String::from_utf8_lossy(key.raw)),
    }
}

fn convert_values(
    codec: &Codec,
    direction: Direction,
    values: &[Option<&Tree<'_>>],
) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    let inputs: Vec<Option<&[u8]>> = values.iter().map(|value| value.map(|tree| tree.raw)).collect();
    let mut written: [Written; MAX_PLACES] = [None; MAX_PLACES];
    let count = codec.arity(direction).1.min(MAX_PLACES);
    let mut text = Vec::new();
    let outputs = written.get_mut(..count).unwrap_or_default();
    codec.convert_many(direction, &inputs, outputs, &mut text).map_err(Fault::guard)?;
    Ok(outputs.iter().map(|range| range.and_then(|(start, end)| text.get(start..end)).map(<[u8]>::to_vec)).collect())
}

/// Carries members that no rule names from the old document to the live one.
struct Unnamed<'u, 'b> {
    rules: &'u [PutRule],
    base: &'u Tree<'b>,
}

impl Unnamed<'_, '_> {
    fn visit(&self, old: &Tree<'_>, path: &mut Path, edit: &mut Edit) -> Result<(), Fault> {
        let TreeKind::Object(members) = &old.kind else { return Ok(()) };
        for (name, value) in members {
            path.push(name.clone().into_owned());
            self.member(value, path, edit)?;
            path.pop();
        }
        Ok(())
    }

    fn member(&self, value: &Tree<'_>, path: &mut Path, edit: &mut Edit) -> Result<(), Fault> {
        let olds = || self.rules.iter().flat_map(|rule| &rule.olds);
        let news = || self.rules.iter().flat_map(|rule| &rule.news);
        if olds().any(|place| place == path) {
            return Ok(());
        }
        let below = |place: &Path| place.len() > path.len() && place.starts_with(path);
        if olds().any(below) || news().any(below) {
            if value.is_object() {
                return self.visit(value, path, edit);
            }
            if matches!(value.kind, TreeKind::Null) {
                return Ok(());
            }
        }
        // What the live document says already needs no place: it passed on the way down as it would on the way up.
        if self.base.at(path).is_some_and(|live| live.same(value)) {
            return Ok(());
        }
        if news().any(|place| below(place) || path.starts_with(place)) {
            let detail = "the other interface has another field at this place, so it cannot be passed on";
            return Err(Fault::new(FaultKind::Collision, detail).within(&path.join(".")));
        }
        edit.set(path, Some(value.raw.to_vec()));
        Ok(())
    }
}
