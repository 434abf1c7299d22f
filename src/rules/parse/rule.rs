//! One entry of a rule list.

use super::{Parser, short};
use crate::codecs;
use crate::diagnostic::{Span, codes, suggest};
use crate::path::Place;
use crate::rules::ast::{CodecDecl, Rule, RuleKind, Spanned, TypeRef};
use crate::rules::yaml::{Kind, Node};

/// Keys of an equation's map beside codecs and their options.
const COMMON: [&str; 5] = ["as", "each", "key", "default", "loss"];
const ONE_SIDED: [&str; 2] = ["added", "removed"];

impl Parser<'_> {
    /// A list of rules, not empty.
    pub(super) fn rules(&mut self, node: &Node, what: &str) -> Option<Vec<Rule>> {
        let Some(list) = node.as_list() else {
            self.shape(node, what, "a list of rules");
            return None;
        };
        if list.is_empty() {
            self.list(node, what)?;
        }
        if list.len() > self.rules_left {
            // Reported once: the rest of the service has no room either.
            if self.rules_left > 0 {
                self.diagnostics
                    .error(codes::E15, super::start(node.span), format!("more than {} rules", super::MAX_RULES))
                    .help("a type's rules apply wherever its schema appears: name shared shapes once under `types`");
            }
            self.rules_left = 0;
            return None;
        }
        self.rules_left -= list.len();
        Some(list.iter().filter_map(|one| self.rule(one)).collect())
    }

    fn rule(&mut self, node: &Node) -> Option<Rule> {
        match &node.kind {
            Kind::Scalar { .. } if !node.is_null() => self.two_sided(node, None),
            Kind::Map(members) => {
                let one_sided =
                    members.iter().find(|(key, _)| key.as_str().is_some_and(|key| ONE_SIDED.contains(&key)));
                match (one_sided, members.as_slice()) {
                    (Some((key, place)), _) => self.one_sided(node, key, place),
                    (None, [(equation, argument)]) => self.two_sided(equation, Some(argument)),
                    (None, _) => {
                        let help = "each rule is an entry of its own: begin it with `- `";
                        self.diagnostics.error(codes::R9, node.span, "several rules in one entry").help(help);
                        None
                    }
                }
            }
            Kind::Scalar { .. } | Kind::List(_) => {
                self.shape(node, "a rule", "an equation such as `old = new`");
                None
            }
        }
    }

    /// `{added: place, default: …}` and `{removed: place, …}`.
    fn one_sided(&mut self, node: &Node, key: &Node, value: &Node) -> Option<Rule> {
        let is_added = key.as_str() == Some("added");
        let (own, what) = if is_added { ("added", "`added`") } else { ("removed", "`removed`") };
        let members = self.members(node, what, &[own, "default", "loss"])?;
        let text = self.text(value, what)?.value;
        let place = self.place(value, 0, text.len());
        let default = members.get("default").map(|node| self.json(node));
        let loss = members.get("loss").and_then(|node| self.text(node, "`loss`"));
        let (place, default) = (place?, default.map_or(Some(None), |read| read.map(Some))?);
        let kind = if is_added { RuleKind::Added { place, default } } else { RuleKind::Removed { place, default } };
        Some(Rule { kind, loss, span: node.span })
    }

    fn two_sided(&mut self, equation: &Node, argument: Option<&Node>) -> Option<Rule> {
        self.text(equation, "a rule")?;
        let sides = self.equation(equation);
        let mut loss = None;
        let mut default = None;
        let codec = match argument {
            None => Some((CodecDecl::Value(codecs::Codec::Same), None)),
            Some(node) if node.is_null() => Some((CodecDecl::Value(codecs::Codec::Same), None)),
            Some(node) if node.as_map().is_none() => self.type_ref(node).map(|of| (CodecDecl::As(of), None)),
            Some(node) => {
                let map = node.as_map().unwrap_or_default();
                let value = |key: &str| map.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value);
                loss = value("loss").and_then(|node| self.text(node, "`loss`"));
                default = value("default").map(|node| self.json(node));
                self.codec(node, map)
            }
        };
        let ((olds, news), (codec, info)) = (sides?, codec?);
        self.check_places(&olds, &news, &codec, info, equation.span)?;
        let default = default.map_or(Some(None), |read| read.map(Some))?;
        if let (Some(default), [_, second, ..]) = (&default, news.as_slice()) {
            self.diagnostics
                .error(codes::R17, default.span, "a default for several new places")
                .related(second.span, "which place would get it?")
                .help("use the codec's own option, such as `fill` of `split`");
            return None;
        }
        Some(Rule { kind: RuleKind::Equation { olds, news, codec, default }, loss, span: equation.span })
    }

    /// The one codec of an equation's map, with what is known of it if it is a value codec.
    fn codec(&mut self, node: &Node, map: &[(Node, Node)]) -> Option<(CodecDecl, Option<&'static codecs::Info>)> {
        let names = || codecs::ALL.iter().map(|info| info.name);
        let key_name = |key: &Node| key.as_str().map(ToOwned::to_owned).unwrap_or_default();
        let mut chosen: Option<&(Node, Node)> = None;
        for entry in map {
            let name = key_name(&entry.0);
            if !(names().any(|codec| codec == name) || name == "as" || name == "each") {
                continue;
            }
            if let Some((first, _)) = chosen {
                self.diagnostics
                    .error(codes::R11, entry.0.span, format!("a second codec, `{name}`, in one rule"))
                    .related(first.span, "the first codec")
                    .help("a rule converts its value by one codec; do the rest where the value is made");
                return None;
            }
            chosen = Some(entry);
        }
        let codec = chosen.map(|(key, _)| key_name(key));
        let info = codecs::ALL.iter().find(|info| Some(info.name) == codec.as_deref());
        self.check_options(map, codec.as_deref(), info);
        match (codec.as_deref(), chosen) {
            (None, _) => {
                // Unknown keys are reported already; what the author meant by them is not to be guessed at.
                let known = map.iter().all(|(key, _)| key.as_str().is_some_and(|key| COMMON.contains(&key)));
                if map.is_empty() {
                    self.shape(node, "a codec", "a map such as `{decimal: 2}`, or the name of a type");
                }
                (known && !map.is_empty()).then_some((CodecDecl::Value(codecs::Codec::Same), None))
            }
            (Some("as"), Some((_, of))) => Some((CodecDecl::As(self.type_ref(of)?), None)),
            (Some("each"), Some((_, of))) => {
                let key = map.iter().find(|(name, _)| name.as_str() == Some("key")).map(|(_, value)| value);
                let of = self.type_ref(of);
                let key = match key {
                    None => None,
                    Some(node) => {
                        let text = self.text(node, "`key`")?.value;
                        Some(self.place(node, 0, text.len())?)
                    }
                };
                Some((CodecDecl::Each(of?, key), None))
            }
            (Some(name), _) => codecs::parse(name, map, self.diagnostics).map(|codec| (CodecDecl::Value(codec), info)),
        }
    }

    /// Keys that mean nothing beside this codec.
    fn check_options(&mut self, map: &[(Node, Node)], codec: Option<&str>, info: Option<&codecs::Info>) {
        let options = info.map(|info| info.options).unwrap_or_default();
        for (key, _) in map {
            let name = key.as_str().unwrap_or_default();
            let fits = Some(name) == codec
                || matches!(name, "default" | "loss")
                || (name == "key" && codec == Some("each"))
                || options.contains(&name);
            if fits {
                continue;
            }
            let owner = codecs::ALL.iter().find(|info| info.options.contains(&name)).map(|info| info.name);
            let owner = owner.or((name == "key").then_some("each"));
            let found = self.diagnostics.error(codes::R5, key.span, format!("unknown key `{}` in a rule", short(name)));
            if let Some(owner) = owner {
                found.help(format!("`{name}` belongs to `{owner}`"));
                continue;
            }
            let known = codecs::ALL.iter().map(|info| info.name).chain(COMMON).chain(options.iter().copied());
            match suggest::closest(name, known) {
                Some(near) => found.help(format!("did you mean `{near}`?")),
                None => found.help("`bifocal explain` lists the codecs"),
            };
        }
    }

    /// A type's name, or its rules in place.
    pub(super) fn type_ref(&mut self, node: &Node) -> Option<TypeRef> {
        if node.as_list().is_some() {
            return Some(TypeRef::Inline(self.rules(node, "a list of rules")?, node.span));
        }
        if node.as_map().is_some() {
            self.shape(node, "a type", "its name or a list of rules");
            return None;
        }
        let name = self.text(node, "a type")?;
        Some(TypeRef::Named(Spanned { value: name.value.trim().to_owned(), span: name.span }))
    }

    /// Whether the codec joins as many places as the equation names.
    fn check_places(
        &mut self,
        olds: &[Place],
        news: &[Place],
        codec: &CodecDecl,
        info: Option<&codecs::Info>,
        span: Span,
    ) -> Option<()> {
        let (old, new) = info.map_or((1, 1), |info| info.places);
        if (olds.len(), news.len()) == (old, new) {
            return Some(());
        }
        let name = match (info, codec) {
            (Some(info), _) => format!("`{}`", info.name),
            (None, CodecDecl::As(_)) => "a type".to_owned(),
            (None, CodecDecl::Each(..)) => "`each`".to_owned(),
            (None, CodecDecl::Value(_)) => "a plain `=`".to_owned(),
        };
        let count = |places: usize, side: &str| format!("{places} {side} place{}", if places == 1 { "" } else { "s" });
        let found = self.diagnostics.error(
            codes::R17,
            span,
            format!("{name} joins {} and {}", count(old, "old"), count(new, "new")),
        );
        found.label(format!("{} and {} here", count(olds.len(), "old"), count(news.len(), "new")));
        let fitting = codecs::ALL.iter().find(|info| info.places != (1, 1) && info.places == (olds.len(), news.len()));
        if let Some(fitting) = fitting {
            found.help(format!("`{}` joins that many: `bifocal explain {}`", fitting.name, fitting.name));
        }
        None
    }
}
