//! One entry of a rule list.

use super::{Parser, keys};
use crate::codecs;
use crate::diagnostic::{Span, codes};
use crate::path::Place;
use crate::rules::ast::{CodecDecl, Rule, RuleKind, Spanned, TypeRef};
use crate::rules::mapping::{Convert, Equation, Mapping, Unfit};
use crate::rules::yaml::{Kind, Node, get};

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
                    (None, members) if is_cases(members) => self.cases_rule(node),
                    (None, [(key, value), others @ ..])
                        if key.as_str() == Some("rest")
                            && !self.is_type(value)
                            && others.iter().all(|(key, _)| key.as_str() == Some("loss")) =>
                    {
                        self.rest_rule(node, value)
                    }
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
        let map = self.map(node, what)?;
        let general = map.iter().any(|(key, _)| {
            let name = key.as_str().unwrap_or_default();
            matches!(name, "from" | "when" | "reduce") || self.is_codec(name)
        });
        let text = self.text(value, what)?.value;
        let place = self.place(value, 0, text.len());
        if general || place.as_ref().is_some_and(|place| !place.is_plain()) {
            return self.derived(node, own, place?, is_added);
        }
        let members = self.members(node, what, &[own, "default", "loss"])?;
        let default = members.get("default").map(|node| self.json(node));
        let loss = members.get("loss").and_then(|node| self.text(node, "`loss`"));
        let (place, default) = (place?, default.map_or(Some(None), |read| read.map(Some))?);
        let kind = if is_added { RuleKind::Added { place, default } } else { RuleKind::Removed { place, default } };
        Some(Rule { kind, loss, span: node.span })
    }

    /// A type that is one conversion of the whole value.
    pub(super) fn whole_rule(&mut self, name: &Node, argument: &Node) -> Option<Rule> {
        let map = argument.as_map()?;
        let beside = self.beside(map);
        let via = self.convert_map(argument, map, keys::BESIDE)?;
        if !self.check_inner(&via, argument.span) {
            return None;
        }
        let place = || vec![Place::plain(Vec::new(), name.span)];
        let default = beside.default.and_then(Result::ok).map(|text| text.value);
        let (olds, news) = (place(), place());
        let Beside { loss, unfit, when, keys, only, .. } = Beside { default: None, ..beside };
        let equation = Equation { olds, news, via, default, unfit, when, keys, only };
        Some(Rule { kind: RuleKind::Mapping(Box::new(Mapping::Equation(equation))), loss, span: argument.span })
    }

    fn two_sided(&mut self, equation: &Node, argument: Option<&Node>) -> Option<Rule> {
        self.text(equation, "a rule")?;
        let sides = self.equation(equation);
        let mut beside = Beside::default();
        let via = match argument {
            None => Some(Convert::SAME),
            Some(node) if node.is_null() => Some(Convert::SAME),
            Some(node) => match node.as_map() {
                None => self.type_ref(node).map(Convert::As),
                Some(map) => {
                    beside = self.beside(map);
                    let via = self.convert_map(node, map, keys::BESIDE);
                    if map.is_empty() {
                        self.shape(node, "a codec", "a map such as `{decimal: 2}`, or the name of a type");
                    }
                    via.filter(|_| !map.is_empty())
                }
            },
        };
        let ((olds, news), via) = (sides?, via?);
        let loss = beside.loss.take();
        let default = beside.default.take().transpose().ok()?;
        if !self.check_places(&olds, &news, &via, equation.span) {
            return None;
        }
        if let (Some(default), [_, second, ..]) = (&default, news.as_slice()) {
            self.diagnostics
                .error(codes::R17, default.span, "a default for several new places")
                .related(second.span, "which place would get it?")
                .help("use the codec's own option, such as `fill` of `split`");
            return None;
        }
        let is_plain = olds.iter().chain(&news).all(Place::is_plain) && beside.is_empty();
        let kind = match if is_plain { into_core(via) } else { Err(via) } {
            Ok(codec) => RuleKind::Equation { olds, news, codec, default },
            Err(via) => {
                let Beside { unfit, when, keys, only, .. } = beside;
                let default = default.map(|text| text.value);
                let equation = Equation { olds, news, via, default, unfit, when, keys, only };
                RuleKind::Mapping(Box::new(Mapping::Equation(equation)))
            }
        };
        Some(Rule { kind, loss, span: equation.span })
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
    fn check_places(&mut self, olds: &[Place], news: &[Place], via: &Convert<TypeRef>, span: Span) -> bool {
        let (old, new) = places_of(via);
        if (olds.len(), news.len()) == (old, new) {
            return true;
        }
        let found = self.diagnostics.error(codes::R17, span, joins(via));
        found.label(format!("{} and {} here", count(olds.len(), "old"), count(news.len(), "new")));
        let fitting = codecs::ALL.iter().find(|info| info.places != (1, 1) && info.places == (olds.len(), news.len()));
        if let Some(fitting) = fitting {
            found.help(format!("`{}` joins that many: `bifocal explain {}`", fitting.name, fitting.name));
        } else if matches!(via, Convert::Value(codecs::Codec::Page(_))) {
            found.help("it takes a page and its size, an offset and a limit; for a cursor see `bifocal explain page`");
        }
        false
    }

    /// Whether a conversion can stand where it is given one value: inside another, or as a whole type.
    pub(super) fn check_inner(&mut self, via: &Convert<TypeRef>, span: Span) -> bool {
        let is_of_one = places_of(via) == (1, 1);
        if !is_of_one {
            self.diagnostics
                .error(codes::R17, span, joins(via))
                .label("one value is converted here")
                .help("give the places to a rule of their own: `old = new + new: {…}`");
        }
        is_of_one
    }
}

/// What a conversion joins, in words.
fn joins(via: &Convert<TypeRef>) -> String {
    let name = match via {
        Convert::Value(codecs::Codec::Same) => "a plain `=`".to_owned(),
        Convert::As(_) => "a type".to_owned(),
        other => format!("`{}`", super::convert::name_of(other)),
    };
    let (old, new) = places_of(via);
    format!("{name} joins {} and {}", count(old, "old"), count(new, "new"))
}

fn count(places: usize, side: &str) -> String {
    format!("{places} {side} place{}", if places == 1 { "" } else { "s" })
}

/// How many places a conversion joins on the old and on the new side.
fn places_of(via: &Convert<TypeRef>) -> (usize, usize) {
    use codecs::Direction::{Down, Up};
    match via {
        Convert::Value(codec) => (codec.arity(Up).0, codec.arity(Down).0),
        Convert::Flip(inner) => {
            let (old, new) = places_of(inner);
            (new, old)
        }
        _ => (1, 1),
    }
}

/// What an equation's map says beside its codec.
pub(super) struct Beside {
    pub(super) loss: Option<Spanned<String>>,
    /// As read; an error where it could not be.
    pub(super) default: Option<Result<Spanned<String>, ()>>,
    pub(super) unfit: Unfit,
    pub(super) when: crate::rules::mapping::When,
    pub(super) keys: Option<Convert<TypeRef>>,
    pub(super) only: Option<crate::rules::mapping::Kind>,
}

impl Default for Beside {
    fn default() -> Self {
        let when = crate::rules::mapping::When::ALWAYS;
        Self { loss: None, default: None, unfit: Unfit::Refuse, when, keys: None, only: None }
    }
}

impl Beside {
    fn is_empty(&self) -> bool {
        self.unfit == Unfit::Refuse && self.when.is_always() && self.keys.is_none() && self.only.is_none()
    }
}

/// The conversion as the one codec of a core equation, if it is one.
#[expect(clippy::result_large_err, reason = "what is no such codec is given back, not an error")]
fn into_core(via: Convert<TypeRef>) -> Result<CodecDecl, Convert<TypeRef>> {
    match via {
        Convert::Value(codec) => Ok(CodecDecl::Value(codec)),
        Convert::As(of) => Ok(CodecDecl::As(of)),
        Convert::Each(each) => match (*each).into_core() {
            Ok((of, key)) => Ok(CodecDecl::Each(of, key)),
            Err(each) => Err(Convert::Each(Box::new(each))),
        },
        other => Err(other),
    }
}

/// Whether a rule's map is a list of cases rather than an equation.
fn is_cases(members: &[(Node, Node)]) -> bool {
    let value = |name: &str| get(members, name);
    let is_case = |node: &Node| ["old", "new", "else", "rules"].iter().any(|key| node.get(key).is_some());
    value("on").is_some() && value("cases").is_some()
        || value("cases").and_then(Node::as_list).is_some_and(|list| list.iter().all(is_case))
}
