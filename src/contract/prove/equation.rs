//! One type against one pair of schemas, one rule against its places.

use super::bind::Meaning;
use super::codecs::{Finding, Level};
use super::locate::{Found, Located};
use super::{Prover, RuleAt, Side};
use crate::codecs::{Codec, Direction, Empty};
use crate::contract::documents::violations;
use crate::contract::include::{Comparison, Inclusion, Mismatch};
use crate::contract::schema::{Kinds, SchemaId};
use crate::diagnostic::{Span, codes};
use crate::json::{MAX_DEPTH, Tree};
use crate::path::Place;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRule, Origin, TypeId, Verdict};

impl Prover<'_, '_> {
    pub(super) fn check_type(&mut self, id: TypeId, a: SchemaId, b: SchemaId) {
        let Some(of) = self.step.types.get(id.0) else { return };
        let (name, span, rules) = (of.name.clone(), of.span, of.rules.clone());
        let is_message = of.origin == Origin::Message;
        for (side, root) in [(Side::Old, a), (Side::New, b)] {
            let schema = self.interface(side).schema(root);
            if !schema.kinds.holds(Kinds::OBJECT) {
                let (version, kinds, at) = (self.interface(side).version.clone(), schema.kinds.describe(), schema.span);
                let message = format!("`{name}` has rules for an object, but {version} has {kinds} there");
                if let Some(found) = self.error(codes::E4, span, message) {
                    found.related(at, "declared here");
                }
                return;
            }
        }
        for (position, rule) in rules.iter().enumerate() {
            let at = (id, position);
            self.lower(at, Verdict::Proven, "");
            if rule.lossy {
                self.lower(at, Verdict::Tested, "its author accepted a loss");
            }
            let sites = Sites { a, b, is_message };
            match &rule.kind {
                CheckedKind::Equation { olds, news, codec, default } => {
                    self.check_equation(at, rule, &sites, (olds, news), codec, default.as_deref());
                }
                CheckedKind::Added { place, default } => {
                    self.check_one_sided(at, rule, &sites, Side::New, place, default.as_deref());
                }
                CheckedKind::Removed { place, default } => {
                    self.check_one_sided(at, rule, &sites, Side::Old, place, default.as_deref());
                }
                CheckedKind::Mapping(mapping) => {
                    self.lower(at, Verdict::Tested, "its form is checked document by document");
                    for (side, root, is_new) in [(Side::Old, a, false), (Side::New, b, true)] {
                        for place in mapping.places(is_new).iter().filter(|place| place.is_plain()) {
                            let mut place = place.clone();
                            place.span = rule.span;
                            if matches!(self.locate(side, root, &place, is_message), Found::Nowhere) {
                                self.lower(at, Verdict::Refuted, "no such place");
                            }
                        }
                    }
                }
            }
        }
        if !rules.iter().any(owns_all) {
            if !is_message {
                self.cover(id, a, b);
            }
            self.check_parents(id, &rules, &Sites { a, b, is_message });
        }
    }

    fn check_one_sided(
        &mut self,
        at: RuleAt,
        rule: &CheckedRule,
        sites: &Sites,
        side: Side,
        place: &Place,
        default: Option<&str>,
    ) {
        let root = if side == Side::New { sites.b } else { sites.a };
        let located = match self.locate(side, root, place, sites.is_message) {
            Found::At(located) => located,
            Found::Nowhere => return self.lower(at, Verdict::Refuted, "no such place"),
            Found::Unsaid(reason) => return self.lower(at, Verdict::Tested, reason),
        };
        let interface = self.interface(side);
        let version = interface.version.clone();
        let shown = place.segments.join(".");
        let read_only = interface.schema(located.schema).read_only;
        match default {
            Some(json) => self.check_default(at, rule.span, side, located, json, "default"),
            None if located.always => {
                let message = format!("{version} requires `{shown}`, and nothing says what to write there");
                if let Some(found) = self.error(codes::E5, rule.span, message) {
                    found.related(located.span, "required here").help("add `default: …`");
                }
                self.lower(at, Verdict::Refuted, "required without default");
            }
            None => {}
        }
        if side == Side::Old && !rule.lossy && !read_only {
            let message = format!("what callers of {version} write to `{shown}` would vanish");
            if let Some(found) = self.error(codes::E9, rule.span, message) {
                found.related(located.span, "writable here").help("add `loss: \"why\"` if that has been decided");
            }
            self.lower(at, Verdict::Refuted, "a written value vanishes");
        }
    }

    /// E6: a value written by a rule must be valid where it is written.
    fn check_default(&mut self, at: RuleAt, span: Span, side: Side, located: Located, json: &str, what: &str) {
        let interface = self.interface(side);
        let Ok(tree) = Tree::parse(json.as_bytes(), MAX_DEPTH) else { return };
        let Some(first) = violations(interface, located.schema, &tree).into_iter().next() else { return };
        let version = interface.version.clone();
        if let Some(found) = self.error(codes::E6, span, format!("`{what}: {json}` is not valid in {version}")) {
            found.label(first.detail).related(located.span, "declared here");
        }
        self.lower(at, Verdict::Refuted, "an invalid default");
    }

    fn check_equation(
        &mut self,
        at: RuleAt,
        rule: &CheckedRule,
        sites: &Sites,
        (olds, news): (&[Place], &[Place]),
        codec: &BoundCodec,
        default: Option<&str>,
    ) {
        let mut found = [Vec::new(), Vec::new()];
        let mut is_known = true;
        for (side, root, places, into) in [(Side::Old, sites.a, olds, 0), (Side::New, sites.b, news, 1)] {
            for place in places {
                match self.locate(side, root, place, sites.is_message) {
                    Found::At(located) => found.get_mut(into).into_iter().for_each(|all| all.push(located)),
                    Found::Nowhere => {
                        self.lower(at, Verdict::Refuted, "no such place");
                        is_known = false;
                    }
                    Found::Unsaid(reason) => {
                        self.lower(at, Verdict::Tested, reason);
                        is_known = false;
                    }
                }
            }
        }
        let [olds_at, news_at] = found;
        let (true, Some(&a), Some(&b)) = (is_known, olds_at.first(), news_at.first()) else { return };
        match codec {
            BoundCodec::Value(Codec::Same) => self.check_same(at, rule, sites, a, b, olds),
            BoundCodec::Value(codec) => {
                let findings = super::codecs::check(codec, &self.old, &self.new, &olds_at, &news_at);
                for finding in findings {
                    self.report(at, rule, a, b, finding);
                }
            }
            BoundCodec::As(of) => self.check_nested(at, rule, (a, b), Kinds::OBJECT, *of),
            BoundCodec::Each { of, key } => {
                self.check_nested(at, rule, (a, b), Kinds::ARRAY, *of);
                if let Some(key) = key {
                    self.check_key(at, a, key);
                }
            }
        }
        self.check_presence(at, rule, codec, default, (&olds_at, &news_at));
        if let Some(json) = default {
            self.check_default(at, rule.span, Side::New, b, json, "default");
            if let BoundCodec::Value(codec) = codec
                && codec.arity(Direction::Down) == (1, 1)
            {
                let mut out = Vec::new();
                match codec.convert(Direction::Down, Some(json.as_bytes()), &mut out) {
                    Ok(_) => {
                        let text = String::from_utf8_lossy(&out).into_owned();
                        self.check_default(at, rule.span, Side::Old, a, &text, "default");
                    }
                    Err(guard) => {
                        let message = format!("`default: {json}` cannot be translated down");
                        if let Some(found) = self.error(codes::E6, rule.span, message) {
                            found.label(guard);
                        }
                    }
                }
            }
        }
    }

    fn check_same(&mut self, at: RuleAt, rule: &CheckedRule, sites: &Sites, a: Located, b: Located, olds: &[Place]) {
        let name = olds.first().map(|one| one.segments.join(".")).unwrap_or_default();
        let is_wire =
            sites.is_message && olds.first().is_some_and(|one| one.segments.first().is_some_and(|root| root != "body"));
        let meaning = if is_wire { Meaning::Same } else { self.bind(at, rule.span, a.schema, b.schema, &name) };
        if meaning == Meaning::Same {
            if self.is_map_of_declared(a.schema, b.schema) {
                self.lower(at, Verdict::Tested, "a map of a declared type");
            }
            for (from, to, is_up) in [(Side::Old, Side::New, true), (Side::New, Side::Old, false)] {
                let (wide, narrow) = if is_up { (a, b) } else { (b, a) };
                let answer =
                    Comparison::new(self.interface(from), self.interface(to)).decide(wide.schema, narrow.schema);
                match answer {
                    Inclusion::Yes => {}
                    Inclusion::Unknown(why) => self.lower(at, Verdict::Tested, why),
                    Inclusion::No(mismatch) => {
                        self.refuse_difference(at, rule, &mismatch);
                        break;
                    }
                }
            }
        } else {
            self.check_null(at, rule, a, b);
            if matches!(meaning, Meaning::Each(_)) {
                self.check_counts(at, rule, a, b);
            }
        }
    }

    fn refuse_difference(&mut self, at: RuleAt, rule: &CheckedRule, mismatch: &Mismatch) {
        if rule.lossy && !mismatch.is_kind {
            return self.lower(at, Verdict::Tested, mismatch.detail.clone());
        }
        let below = if mismatch.place.is_empty() { String::new() } else { format!(" (at `{}`)", mismatch.place) };
        let message = format!("`{}` joins places that hold different values{below}", rule.text);
        let help = if mismatch.place.is_empty() {
            "name the codec that converts one to the other (`enum`, `type`, `decimal`, …), or accept it with `loss: \"why\"`"
        } else {
            "declare the type under `types:` with its own rules, or accept it with `loss: \"why\"`"
        };
        let (wide, narrow) = (mismatch.wide, mismatch.narrow);
        if let Some(found) = self.error(codes::E4, rule.span, message) {
            found
                .label(mismatch.detail.clone())
                .related(wide, "allowed here")
                .related(narrow, "but not here")
                .help(help);
        }
        self.lower(at, Verdict::Refuted, mismatch.detail.clone());
    }

    fn report(&mut self, at: RuleAt, rule: &CheckedRule, a: Located, b: Located, finding: Finding) {
        let (old, new) = (a.span, b.span);
        match finding.level {
            Level::Tested => self.lower(at, Verdict::Tested, finding.message),
            Level::Waivable if rule.lossy => self.lower(at, Verdict::Tested, finding.message),
            Level::Waivable | Level::Wrong => {
                if let Some(found) = self.error(finding.code, rule.span, finding.message.clone()) {
                    found
                        .label(finding.label)
                        .related(old, "the old side")
                        .related(new, "the new side")
                        .help(finding.help);
                }
                self.lower(at, Verdict::Refuted, finding.message);
            }
        }
    }

    fn check_nested(&mut self, at: RuleAt, rule: &CheckedRule, (a, b): (Located, Located), kind: Kinds, of: TypeId) {
        for (side, one) in [(Side::Old, a), (Side::New, b)] {
            let schema = self.interface(side).schema(one.schema);
            if !schema.kinds.holds(kind) {
                let (version, described) = (self.interface(side).version.clone(), schema.kinds.describe());
                let expected = if kind == Kinds::ARRAY { "a list" } else { "an object" };
                let message = format!("`{}` needs {expected}, but {version} has {described}", rule.text);
                if let Some(found) = self.error(codes::E4, rule.span, message) {
                    found.related(one.span, "declared here");
                }
                return self.lower(at, Verdict::Refuted, "wrong types");
            }
            if !schema.kinds.only(kind) {
                self.lower(at, Verdict::Tested, "other types are allowed there too");
            }
        }
        self.check_null(at, rule, a, b);
        if kind == Kinds::OBJECT {
            return self.visit(of, a.schema, b.schema);
        }
        self.check_counts(at, rule, a, b);
        match (self.old.schema(a.schema).items, self.new.schema(b.schema).items) {
            (Some(x), Some(y)) => self.visit(of, x, y),
            _ => self.lower(at, Verdict::Tested, "the schemas do not say what the elements are"),
        }
    }

    fn check_null(&mut self, at: RuleAt, rule: &CheckedRule, a: Located, b: Located) {
        let (old, new) = (self.old.schema(a.schema).is_nullable(), self.new.schema(b.schema).is_nullable());
        if old == new {
            return;
        }
        let (yes, no) = if old { (&self.old, &self.new) } else { (&self.new, &self.old) };
        let detail = format!("{} allows null, {} does not", yes.version, no.version);
        let (wide, narrow) = if old { (a.span, b.span) } else { (b.span, a.span) };
        let place = String::new();
        self.refuse_difference(at, rule, &Mismatch { place, detail, wide, narrow, is_kind: false });
    }

    fn check_counts(&mut self, at: RuleAt, rule: &CheckedRule, a: Located, b: Located) {
        let (x, y) = (self.old.schema(a.schema), self.new.schema(b.schema));
        if x.unique || y.unique {
            self.lower(at, Verdict::Tested, "`uniqueItems` is not decided across types");
        }
        let (x, y) = (self.old.schema(a.schema), self.new.schema(b.schema));
        if x.count != y.count {
            let detail = format!("{} and {} allow different numbers of elements", self.old.version, self.new.version);
            let (wide, narrow, place) = (x.span, y.span, String::new());
            self.refuse_difference(at, rule, &Mismatch { place, detail, wide, narrow, is_kind: false });
        }
    }

    /// E10: the key must tell elements apart, so every old element must have one.
    fn check_key(&mut self, at: RuleAt, a: Located, key: &Place) {
        let Some(items) = self.old.schema(a.schema).items else { return };
        match self.locate(Side::Old, items, key, false) {
            Found::At(located) if located.always => {}
            Found::At(located) => {
                let message = format!("`key: {}` may be missing in {}", key.segments.join("."), self.old.version);
                if let Some(found) = self.error(codes::E10, key.span, message) {
                    found.related(located.span, "not required here").help("choose a member that every element has");
                }
                self.lower(at, Verdict::Refuted, "a key that may be missing");
            }
            Found::Nowhere => self.lower(at, Verdict::Refuted, "no such key"),
            Found::Unsaid(reason) => self.lower(at, Verdict::Tested, reason),
        }
    }

    /// E5: what the target requires, the source must have.
    fn check_presence(
        &mut self,
        at: RuleAt,
        rule: &CheckedRule,
        codec: &BoundCodec,
        default: Option<&str>,
        (olds, news): (&[Located], &[Located]),
    ) {
        let (Some(a), Some(b)) = (olds.first().copied(), news.first().copied()) else { return };
        let mut gaps: Vec<(Side, Located)> = Vec::new();
        match codec {
            // Up always writes a list; down writes `empty` (or null) where there is nothing.
            // Their findings say it.
            BoundCodec::Value(Codec::Head(_) | Codec::Presence(_)) => {}
            BoundCodec::Value(Codec::Nothing(nothing)) => {
                let fills_old = nothing.new == Empty::Absent;
                let fills_new = nothing.old == Empty::Absent;
                if b.always && !fills_new && (fills_old || (!a.always && default.is_none())) {
                    gaps.push((Side::New, b));
                }
                if a.always && !fills_old && (fills_new || (!b.always && default.is_none())) {
                    gaps.push((Side::Old, a));
                }
            }
            BoundCodec::Value(Codec::Page(_)) => {
                let any = |all: &[Located]| all.iter().any(|one| one.always);
                if !any(olds) {
                    gaps.extend(news.iter().filter(|one| one.always).map(|one| (Side::New, *one)));
                }
                if !any(news) {
                    gaps.extend(olds.iter().filter(|one| one.always).map(|one| (Side::Old, *one)));
                }
            }
            BoundCodec::Value(Codec::Split(split)) => {
                if !a.always {
                    gaps.extend(news.iter().filter(|one| one.always).map(|one| (Side::New, *one)));
                } else if let (None, Some(second)) = (&split.fill, news.get(1).filter(|one| one.always)) {
                    let version = self.new.version.clone();
                    let message = format!(
                        "`{}` is required in {version}, but a text without separator leaves it empty",
                        rule.text.split('+').next_back().unwrap_or_default().trim()
                    );
                    if let Some(found) = self.error(codes::E5, rule.span, message) {
                        found.related(second.span, "required here").help("add `fill: …`");
                    }
                    self.lower(at, Verdict::Refuted, "required without fill");
                }
                if a.always && !news.iter().any(|one| one.always) {
                    gaps.push((Side::Old, a));
                }
            }
            _ => {
                if default.is_none() && b.always && !a.always {
                    gaps.push((Side::New, b));
                }
                if default.is_none() && a.always && !b.always {
                    gaps.push((Side::Old, a));
                }
            }
        }
        for (side, located) in gaps {
            let source = if side == Side::New { Side::Old } else { Side::New };
            let message = format!(
                "`{}`: {} requires it, {} may leave it out",
                rule.text,
                self.interface(side).version,
                self.interface(source).version
            );
            if let Some(found) = self.error(codes::E5, rule.span, message) {
                found.related(located.span, "required here").help("add `default: …` (the new side's value)");
            }
            self.lower(at, Verdict::Refuted, "required on one side only");
        }
        if default.is_some() && !a.always {
            // Absent goes up as the default and comes back as its old form: harmless, but not the same document.
            self.lower(at, Verdict::Proven, "");
        }
    }
}

/// The schemas of both sides.
pub(super) struct Sites {
    pub(super) a: SchemaId,
    pub(super) b: SchemaId,
    /// Whether they are whole messages.
    pub(super) is_message: bool,
}

/// Whether a rule owns the whole document on both sides.
fn owns_all(rule: &CheckedRule) -> bool {
    match &rule.kind {
        CheckedKind::Equation { olds, news, .. } => {
            olds.iter().any(|one| one.segments.is_empty()) && news.iter().any(|one| one.segments.is_empty())
        }
        CheckedKind::Added { .. } | CheckedKind::Removed { .. } => false,
        CheckedKind::Mapping(mapping) => {
            let is_whole = |is_new| mapping.places(is_new).iter().any(|one| one.segments.is_empty());
            is_whole(false) || is_whole(true)
        }
    }
}
