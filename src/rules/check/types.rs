//! Types: names resolved, rules lowered, overlaps and endless recursion refused.

use std::collections::{HashMap, HashSet};

use super::message::{Part, check_message_rule};
use super::place::check_disjoint;
use crate::codecs::{Codec, Direction};
use crate::diagnostic::{Diagnostics, Sources, Span, codes, suggest};
use crate::path::Place;
use crate::rules::ast::{CodecDecl, Rule, RuleKind, Spanned, TypeDecl, TypeRef};
use crate::rules::calls::CheckedCalls;
use crate::rules::checked::{
    BoundCodec, CheckedExample, CheckedKind, CheckedRoute, CheckedRule, CheckedType, Origin, TypeId, Verdict,
};

/// The types of one step while they are put together.
pub(super) struct Types<'f> {
    sources: &'f Sources,
    /// Whether schemas will say more about values.
    has_schemas: bool,
    names: HashMap<&'f str, TypeId>,
    all: Vec<CheckedType>,
}

/// Where a rule list stands.
#[derive(Clone, Copy)]
pub(super) enum Within<'n> {
    /// A type of this name.
    Type(&'n str),
    /// A message of a route.
    Message(&'n str, Part),
}

impl<'f> Types<'f> {
    /// Names all declared types, so that rules may refer to later ones.
    pub(super) fn new(declared: &'f [TypeDecl], has_schemas: bool, sources: &'f Sources) -> Self {
        let names = declared.iter().enumerate().map(|(index, one)| (one.old.value.as_str(), TypeId(index))).collect();
        let all = declared
            .iter()
            .map(|one| CheckedType {
                name: one.old.value.clone(),
                origin: Origin::Named { old: one.old.value.clone(), new: one.new.value.clone() },
                rules: Vec::new(),
                span: one.old.span,
            })
            .collect();
        Self { sources, has_schemas, names, all }
    }

    pub(super) fn finish(self) -> Vec<CheckedType> {
        self.all
    }

    pub(super) fn check_named(&mut self, declared: &[TypeDecl], diagnostics: &mut Diagnostics) {
        for (index, one) in declared.iter().enumerate() {
            let rules = self.rules(&one.rules, Within::Type(&one.old.value), diagnostics);
            if let Some(checked) = self.all.get_mut(index) {
                checked.rules = rules;
            }
        }
    }

    /// The type that a name stands for.
    pub(super) fn find(&self, name: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<TypeId> {
        let found = self.names.get(name.value.as_str()).copied();
        if found.is_none() {
            let error = diagnostics.error(codes::R13, name.span, format!("unknown type `{}`", name.value));
            if name.value.contains('.') {
                error.help(
                    "a place of the new side stands behind `=`, as in `old = new`; behind the colon stands a type",
                );
                return None;
            }
            let declared = self.all.iter().filter(|one| matches!(one.origin, Origin::Named { .. }));
            match suggest::help(&name.value, declared.map(|one| one.name.as_str())) {
                Some(help) => error.help(help),
                None => error.help("declare it under `types:` in this file"),
            };
        }
        found
    }

    /// Adds a type that has no name of its own.
    pub(super) fn add(
        &mut self,
        rules: &[Rule],
        within: Within<'_>,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> TypeId {
        let (name, origin) = match within {
            Within::Type(name) => (name, Origin::Inline),
            Within::Message(name, _) => (name, Origin::Message),
        };
        // Its index is taken before its rules are read: they may hold further types.
        let id = TypeId(self.all.len());
        self.all.push(CheckedType { name: name.to_owned(), origin, rules: Vec::new(), span });
        let rules = self.rules(rules, within, diagnostics);
        if let Some(checked) = self.all.get_mut(id.0) {
            checked.rules = rules;
        }
        id
    }

    fn rules(&mut self, rules: &[Rule], within: Within<'_>, diagnostics: &mut Diagnostics) -> Vec<CheckedRule> {
        let sound: Vec<&Rule> = match within {
            Within::Type(_) => rules.iter().collect(),
            Within::Message(_, part) => {
                rules.iter().filter(|rule| check_message_rule(rule, part, diagnostics).is_some()).collect()
            }
        };
        check_disjoint(&sound, matches!(within, Within::Message(..)), diagnostics);
        sound.into_iter().filter_map(|rule| self.rule(rule, within, diagnostics)).collect()
    }

    fn rule(&mut self, rule: &Rule, within: Within<'_>, diagnostics: &mut Diagnostics) -> Option<CheckedRule> {
        let lossy = rule.loss.is_some();
        let kind = match &rule.kind {
            RuleKind::Mapping(mapping) => {
                super::mapping::check_mapping(mapping, rule, diagnostics);
                let mut sound = |of: &TypeRef| self.bind(of, within, "…", diagnostics);
                CheckedKind::Mapping(Box::new(mapping.map(&mut sound)?))
            }
            RuleKind::Added { place, default } => {
                CheckedKind::Added { place: place.clone(), default: default.as_ref().map(|text| text.value.clone()) }
            }
            RuleKind::Removed { place, default } => {
                if !lossy {
                    diagnostics
                        .error(codes::E9, place.span, format!("`{place}` vanishes without a reason"))
                        .label("what old callers write here is lost")
                        .help("if that is right, say why: `loss: \"…\"`");
                }
                CheckedKind::Removed { place: place.clone(), default: default.as_ref().map(|text| text.value.clone()) }
            }
            RuleKind::Equation { olds, news, codec, default } => {
                let place = olds.first()?;
                let codec = match codec {
                    CodecDecl::Value(codec) => {
                        if !lossy {
                            check_codec(codec, rule.span, diagnostics);
                            super::cursor::check_cursors(codec, olds.iter().chain(news), diagnostics);
                        }
                        if let Some(default) = default.as_ref().filter(|_| !self.has_schemas) {
                            check_default(codec, default, diagnostics);
                        }
                        BoundCodec::Value(codec.clone())
                    }
                    CodecDecl::As(of) => BoundCodec::As(self.bind(of, within, &place.to_string(), diagnostics)?),
                    CodecDecl::Each(of, key) => BoundCodec::Each {
                        of: self.bind(of, within, &place.to_string(), diagnostics)?,
                        key: key.clone(),
                    },
                };
                CheckedKind::Equation {
                    olds: olds.clone(),
                    news: news.clone(),
                    codec,
                    default: default.as_ref().map(|text| text.value.clone()),
                }
            }
        };
        Some(CheckedRule { kind, lossy, verdict: Verdict::Tested, text: self.written(rule.span), span: rule.span })
    }

    fn bind(&mut self, of: &TypeRef, within: Within<'_>, place: &str, diagnostics: &mut Diagnostics) -> Option<TypeId> {
        match of {
            TypeRef::Named(name) => self.find(name, diagnostics),
            TypeRef::Inline(rules, span) => {
                let (Within::Type(parent) | Within::Message(parent, _)) = within;
                let name = format!("{parent} {place}");
                Some(self.add(rules, Within::Type(&name), *span, diagnostics))
            }
        }
    }

    /// The rule as its author wrote it, on one line.
    fn written(&self, span: Span) -> String {
        let text = self.sources.get(span.source).and_then(|one| one.text.get(span.start as usize..span.end as usize));
        let words: Vec<&str> = text.unwrap_or_default().split_whitespace().collect();
        let line = words.join(" ");
        if line.chars().count() <= 120 { line } else { line.chars().take(119).chain(['…']).collect() }
    }

    /// A type that applies itself to the same place has no end, whatever the document (R18).
    pub(super) fn check_endless(&self, diagnostics: &mut Diagnostics) {
        let mut done: HashSet<TypeId> = HashSet::new();
        for start in (0..self.all.len()).map(TypeId) {
            // A rule that owns a side's whole document is the only one of its type: the chain has no branches.
            let mut path: Vec<TypeId> = Vec::new();
            let mut next = Some((start, None));
            while let Some((at, span)) = next {
                if let (true, Some(span)) = (path.contains(&at), span) {
                    let name = self.all.get(at.0).map_or("", |one| one.name.as_str());
                    diagnostics
                        .error(codes::R18, span, format!("`{name}` contains itself at the same place"))
                        .help("a type may contain itself only at a deeper place");
                    break;
                }
                if done.contains(&at) {
                    break;
                }
                path.push(at);
                next = self
                    .all
                    .get(at.0)
                    .and_then(|one| one.rules.iter().find_map(whole))
                    .map(|(of, span)| (of, Some(span)));
            }
            done.extend(path);
        }
    }

    /// These types and all that their rules lead to.
    fn reachable(&self, from: impl IntoIterator<Item = TypeId>) -> HashSet<TypeId> {
        let mut open: Vec<TypeId> = from.into_iter().collect();
        let mut seen: HashSet<TypeId> = HashSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.rules_of(id).iter().flat_map(bound));
            }
        }
        seen
    }

    fn rules_of(&self, id: TypeId) -> &[CheckedRule] {
        self.all.get(id.0).map(|one| one.rules.as_slice()).unwrap_or_default()
    }

    /// Whether the body of a message has members that only the new side knows.
    pub(super) fn adds_to_body(&self, message: TypeId) -> bool {
        let is_body = |place: &Place| place.segments.first().is_some_and(|part| part == "body");
        let is_added = |rule: &CheckedRule| matches!(rule.kind, CheckedKind::Added { .. });
        let of_message = self.rules_of(message).iter();
        let direct =
            of_message.clone().any(|rule| matches!(&rule.kind, CheckedKind::Added { place, .. } if is_body(place)));
        let inner = self.reachable(of_message.flat_map(bound));
        direct || inner.iter().any(|id| self.rules_of(*id).iter().any(is_added))
    }

    /// Types that no route and no example leads to (W1).
    pub(super) fn check_unused(
        &self,
        routes: &[&CheckedRoute],
        calls: &[CheckedCalls],
        examples: &[CheckedExample],
        diagnostics: &mut Diagnostics,
    ) {
        let of_calls = calls.iter().flat_map(CheckedCalls::messages);
        let messages = routes.iter().flat_map(|route| route.messages()).chain(of_calls);
        let used = self.reachable(messages.chain(examples.iter().map(|one| one.of)));
        for (index, one) in self.all.iter().enumerate() {
            if matches!(one.origin, Origin::Named { .. }) && !used.contains(&TypeId(index)) {
                diagnostics
                    .warning(codes::W1, one.span, format!("nothing uses the type `{}`", one.name))
                    .help("name it in a route or in another type's rule");
            }
        }
    }
}

/// The types that a rule applies.
fn bound(rule: &CheckedRule) -> Vec<TypeId> {
    match &rule.kind {
        CheckedKind::Equation { codec: BoundCodec::As(of) | BoundCodec::Each { of, .. }, .. } => vec![*of],
        CheckedKind::Mapping(mapping) => mapping.types().into_iter().copied().collect(),
        _ => Vec::new(),
    }
}

/// The type that a rule applies to a whole document of either side.
fn whole(rule: &CheckedRule) -> Option<(TypeId, Span)> {
    match &rule.kind {
        CheckedKind::Equation { olds, news, codec: BoundCodec::As(of), .. }
            if olds.iter().chain(news).any(|place| place.segments.is_empty()) =>
        {
            Some((*of, rule.span))
        }
        _ => None,
    }
}

/// A default is the new side's value; the old side gets what it becomes on the way down (E6).
fn check_default(codec: &Codec, default: &Spanned<String>, diagnostics: &mut Diagnostics) {
    if codec.arity(Direction::Down) != (1, 1) {
        return;
    }
    if let Err(guard) = codec.convert(Direction::Down, Some(default.value.as_bytes()), &mut Vec::new()) {
        diagnostics
            .error(codes::E6, default.span, format!("`default: {}` cannot be translated down", default.value))
            .label(guard)
            .help("a default is the new side's value; old documents get what it becomes");
    }
}

/// What can be said of a codec's laws without schemas (E8).
pub(super) fn check_codec(codec: &Codec, span: Span, diagnostics: &mut Diagnostics) {
    if let Some(why) = codec.loses() {
        diagnostics
            .error(codes::E8, span, format!("`{}` does not give every old value back", codec.name()))
            .label(why)
            .help("if that is right, say why: `loss: \"…\"`");
        return;
    }
    let Codec::Enum(table) = codec else { return };
    let mut up: HashMap<&str, &str> = HashMap::new();
    let mut down: HashMap<&str, &str> = HashMap::new();
    for (old, new) in &table.rows {
        up.entry(old).or_insert(new);
        down.entry(new).or_insert(old);
    }
    for (old, _) in &table.rows {
        let (Some(new), back) = (up.get(old.as_str()), up.get(old.as_str()).and_then(|new| down.get(new))) else {
            continue;
        };
        if let Some(back) = back.filter(|back| *back != old) {
            let found = diagnostics.error(codes::E8, span, format!("the old value `{old}` comes back as `{back}`"));
            found.label(format!("both become `{new}`"));
            found.help("give each old value a new one of its own, or say why not: `loss: \"…\"`");
            return;
        }
    }
}
