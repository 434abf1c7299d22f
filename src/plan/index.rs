//! Which template does a request match best? Found segment by segment: what it costs depends on the request and on how
//! many alternatives a place in a path really has, not on how many templates there are.
//!
//! The templates of one list are a trie. At each segment a literal goes before a segment with texts around its parameter
//! (the longer its texts, the better), then comes a parameter, and last a rest: what [`Template::specificity`] says, so the
//! first way through to a template that fits is the best one, but where two ways are as good at one segment.

use super::names::Names;
use super::query::has_query;
use super::route::{covers_query, takes};
use crate::path::template::{Segment, Template};
use crate::path::{first_segment, percent};

/// What a template is looked for with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked<'a> {
    /// A path and query as on the wire.
    Target(&'a str, Option<&'a str>),
    /// Everything that a template stands for.
    Template(&'a Template),
}

impl Asked<'_> {
    /// Whether a template whose path matches takes the method, and finds in the query what it asks for.
    pub(super) fn is_of(self, template: &Template, method: &str) -> bool {
        takes(template, method) && self.has_query(template)
    }

    /// Whether it has what a template asks of the query.
    pub(super) fn has_query(self, template: &Template) -> bool {
        match self {
            Self::Target(_, query) => has_query(template, query),
            Self::Template(known) => covers_query(template, known),
        }
    }
}

/// The templates of one list, by what they match.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The first one is where paths begin.
    nodes: Vec<Node>,
    /// For each template its place among all by specificity; of equals the later one is the better.
    order: Vec<usize>,
    #[cfg(test)]
    visits: std::sync::atomic::AtomicUsize,
}

/// A place in paths, and what may follow there.
#[derive(Debug, Default)]
struct Node {
    literals: Names<Box<str>, usize>,
    /// The longest texts first.
    parts: Vec<Parts>,
    param: Option<usize>,
    /// Templates that end here, the best first.
    ends: Vec<usize>,
    /// Templates that take whatever follows, the best first.
    rests: Vec<usize>,
}

/// Alternatives whose parameter has texts of these lengths around it.
#[derive(Debug)]
struct Parts {
    prefix: usize,
    suffix: usize,
    /// By the text before and the text behind it.
    around: Names<Box<str>, Names<Box<str>, usize>>,
}

/// How good an alternative is: that of [`Template::specificity`].
type Rank = usize;

const LITERAL: Rank = Rank::MAX;
const PARAM: Rank = 2;

impl Index {
    /// Of templates, which are then known by their place in the list.
    pub(super) fn new<'t>(templates: impl Iterator<Item = &'t Template>) -> Self {
        let templates: Vec<&Template> = templates.collect();
        let mut best: Vec<_> = templates.iter().enumerate().map(|(id, one)| (one.specificity(), id)).collect();
        best.sort_unstable();
        let mut index = Self::default();
        index.nodes.push(Node::default());
        index.order.resize(templates.len(), 0);
        for (place, (_, id)) in best.iter().enumerate() {
            if let Some(order) = index.order.get_mut(*id) {
                *order = place;
            }
        }
        // So each list of templates at one node is in order, too.
        for (_, id) in best.into_iter().rev() {
            if let Some(template) = templates.get(id) {
                index.add(template, id);
            }
        }
        for node in &mut index.nodes {
            node.parts.sort_by_key(|parts| std::cmp::Reverse(parts.prefix + parts.suffix));
        }
        index
    }

    fn add(&mut self, template: &Template, id: usize) {
        let mut at = 0;
        for segment in &template.segments {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            let next = match segment {
                Segment::Literal(text) => *node.literals.entry(text.as_str().into()).or_insert(fresh),
                Segment::Part { prefix, suffix, .. } => node.part(prefix, suffix, fresh),
                Segment::Param(_) => *node.param.get_or_insert(fresh),
                // Always the last one.
                Segment::Rest(_) => return node.rests.push(id),
            };
            if next == fresh {
                self.nodes.push(Node::default());
            }
            at = next;
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.ends.push(id);
        }
    }

    /// The best template that matches a path and passes a test.
    pub(super) fn best(&self, asked: Asked<'_>, passes: impl Fn(usize) -> bool) -> Option<usize> {
        match asked {
            Asked::Target(path, _) => self.find(0, Written::of(path)?, &passes),
            Asked::Template(template) => self.find(0, Known(&template.segments), &passes),
        }
    }

    /// Every template that matches a path and passes a test, in the order of the list.
    pub(super) fn all(&self, asked: Asked<'_>, passes: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        match asked {
            Asked::Target(path, _) => {
                if let Some(way) = Written::of(path) {
                    self.collect(0, way, &mut found);
                }
            }
            Asked::Template(template) => self.collect(0, Known(&template.segments), &mut found),
        }
        found.retain(|id| passes(*id));
        found.sort_unstable();
        found
    }

    /// As deep as templates have segments, which are few.
    fn find<'a, W: Way<'a>>(&self, at: usize, way: W, passes: &impl Fn(usize) -> bool) -> Option<usize> {
        let node = self.node(at)?;
        let first = |all: &[usize]| all.iter().copied().find(|id| passes(*id));
        let Some((piece, after)) = way.next() else { return first(&node.ends) };
        let mut best: Option<(Rank, usize)> = None;
        for (rank, next) in node.alternatives(piece) {
            if best.is_some_and(|(before, _)| rank < before) {
                break;
            }
            // Of ways that are as good here, what comes later decides.
            if let Some(found) = self.find(next, after, passes)
                && best.is_none_or(|(_, before)| self.order.get(found) > self.order.get(before))
            {
                best = Some((rank, found));
            }
        }
        best.map(|(_, found)| found).or_else(|| first(&node.rests).filter(|_| way.is_rest()))
    }

    fn collect<'a, W: Way<'a>>(&self, at: usize, way: W, found: &mut Vec<usize>) {
        let Some(node) = self.node(at) else { return };
        let Some((piece, after)) = way.next() else { return found.extend(&node.ends) };
        if way.is_rest() {
            found.extend(&node.rests);
        }
        for (_, next) in node.alternatives(piece) {
            self.collect(next, after, found);
        }
    }

    fn node(&self, at: usize) -> Option<&Node> {
        #[cfg(test)]
        self.visits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.nodes.get(at)
    }
}

impl Node {
    fn part(&mut self, prefix: &str, suffix: &str, fresh: usize) -> usize {
        let lengths = (prefix.len(), suffix.len());
        let known = self.parts.iter().position(|parts| (parts.prefix, parts.suffix) == lengths);
        let at = known.unwrap_or_else(|| {
            self.parts.push(Parts { prefix: prefix.len(), suffix: suffix.len(), around: Names::default() });
            self.parts.len() - 1
        });
        match self.parts.get_mut(at) {
            Some(parts) => *parts.around.entry(prefix.into()).or_default().entry(suffix.into()).or_insert(fresh),
            None => fresh,
        }
    }

    /// Where a segment may lead, the best first.
    fn alternatives<'n>(&'n self, piece: Piece<'n>) -> impl Iterator<Item = (Rank, usize)> + 'n {
        let (text, decoded, around, any) = match piece {
            Piece::Written(text) => {
                let decoded = text.contains('%').then(|| percent::decode(text)).flatten();
                (Some(text), decoded.filter(|decoded| decoded != text), None, !text.is_empty())
            }
            Piece::Literal(text) => (Some(text), None, None, true),
            Piece::Part(prefix, suffix) => (None, None, Some((prefix, suffix)), true),
            Piece::Param => (None, None, None, true),
            Piece::Rest => (None, None, None, false),
        };
        let literal = |text: &str| self.literals.get(text).map(|next| (LITERAL, *next));
        let literals = [text.and_then(literal), decoded.as_deref().and_then(literal)];
        let parts = self.parts.iter().filter_map(move |parts| {
            let next = match (text, around) {
                (Some(text), _) => parts.matching(text),
                (None, Some((prefix, suffix))) => parts.around.get(prefix)?.get(suffix).copied(),
                (None, None) => None,
            };
            Some((PARAM + parts.prefix + parts.suffix, next?))
        });
        let param = self.param.filter(|_| any).map(|next| (PARAM, next));
        literals.into_iter().flatten().chain(parts).chain(param)
    }
}

impl Parts {
    /// Where a text leads that has something between two of these.
    fn matching(&self, text: &str) -> Option<usize> {
        let behind = text.len().checked_sub(self.suffix).filter(|behind| *behind > self.prefix)?;
        self.around.get(text.get(..self.prefix)?)?.get(text.get(behind..)?).copied()
    }
}

/// One segment of what is looked for.
#[derive(Debug, Clone, Copy)]
enum Piece<'a> {
    /// As on the wire.
    Written(&'a str),
    /// Of a template, and so on.
    Literal(&'a str),
    Part(&'a str, &'a str),
    Param,
    Rest,
}

/// What is left of the segments that are looked for.
trait Way<'a>: Copy {
    /// The next one, and what follows.
    fn next(self) -> Option<(Piece<'a>, Self)>;

    /// Whether something that takes the rest may take this.
    fn is_rest(self) -> bool;
}

/// A path as on the wire; nothing where it is over.
#[derive(Clone, Copy)]
struct Written<'a>(Option<&'a str>);

impl<'a> Written<'a> {
    fn of(path: &'a str) -> Option<Self> {
        path.strip_prefix('/').map(|rest| Self(Some(rest).filter(|rest| !rest.is_empty())))
    }
}

impl<'a> Way<'a> for Written<'a> {
    fn next(self) -> Option<(Piece<'a>, Self)> {
        let text = self.0?;
        let (piece, after) = first_segment(text);
        Some((Piece::Written(piece), Self(after)))
    }

    fn is_rest(self) -> bool {
        self.0.is_some_and(|text| !text.is_empty())
    }
}

/// Segments of a template.
#[derive(Clone, Copy)]
struct Known<'a>(&'a [Segment]);

impl<'a> Way<'a> for Known<'a> {
    fn next(self) -> Option<(Piece<'a>, Self)> {
        let (first, after) = self.0.split_first()?;
        let piece = match first {
            Segment::Literal(text) => Piece::Literal(text),
            Segment::Part { prefix, suffix, .. } => Piece::Part(prefix, suffix),
            Segment::Param(_) => Piece::Param,
            Segment::Rest(_) => Piece::Rest,
        };
        Some((piece, Self(after)))
    }

    fn is_rest(self) -> bool {
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{SourceId, Span};

    const NOWHERE: Span = Span { source: SourceId(0), start: 0, end: 0 };

    /// Nodes that are looked at to find the template of a request among `count` of each kind.
    fn visits(count: usize) -> Vec<usize> {
        let of_kinds = |number: usize| {
            let all = [
                format!("GET /things-{number}/{{id}}/parts"),
                format!("GET /by/{{id}}/kind-{number}"),
                format!("GET /files/name-{number}-{{id}}"),
                format!("GET /files/{{id}}.{number}"),
                format!("GET /all-{number}/{{rest...}}"),
            ];
            all.map(|text| Template::parse(&text, NOWHERE).unwrap())
        };
        let templates: Vec<Template> = (0..count).flat_map(of_kinds).collect();
        let index = Index::new(templates.iter());
        let last = count - 1;
        let paths = [
            format!("/things-{last}/7/parts"),
            format!("/by/7/kind-{last}"),
            format!("/files/name-{last}-7"),
            format!("/files/7.{last}"),
            format!("/all-{last}/a/b/c"),
            "/nothing/of/these".to_owned(),
        ];
        let visits = |path: &String| {
            index.visits.store(0, std::sync::atomic::Ordering::Relaxed);
            let passed = std::cell::Cell::new(0);
            let asked = Asked::Target(path, None);
            let found = index.best(asked, |_| {
                passed.set(passed.get() + 1);
                true
            });
            assert_eq!(found.is_some(), !path.starts_with("/nothing"), "{path}");
            assert_eq!(index.all(asked, |_| true).len(), found.iter().count());
            index.visits.load(std::sync::atomic::Ordering::Relaxed) + passed.get()
        };
        paths.iter().map(visits).collect()
    }

    #[test]
    fn what_is_looked_at_does_not_grow_with_the_templates() {
        let few = visits(2);
        assert!(few.iter().all(|count| (1..=12).contains(count)), "{few:?}");
        assert_eq!(few, visits(2_000));
    }
}
