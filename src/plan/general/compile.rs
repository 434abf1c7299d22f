//! Checked rules to the general engine's. Cannot fail: whatever could has been refused before.

use super::calculate::Programs;
use super::trace::Trace;
use super::{Case, Form, FormMember, From, General, Repeated, Rule, RuleKind, Steps, TextPart, Type, Via};
use crate::codecs::{Codec, Direction};
use crate::path::Place;
use crate::plan::compile::default_for;
use crate::plan::lens::Nested;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRule, CheckedStep, CheckedType, TypeId};
use crate::rules::mapping::{self, Convert, Mapping, Member, Part, Pattern, Unfit};

/// The types of a step that need the general engine, which `general` says of each.
pub(in crate::plan) fn compile(step: &CheckedStep, general: Vec<bool>) -> General {
    let is_any = general.contains(&true);
    // `names` and cases may lead to types that the one-pass engine translates: they are compiled for both.
    let types: Vec<Option<Type>> = step.types.iter().map(|of| is_any.then(|| compile_type(of))).collect();
    let takes_all = |of: TypeId| types.get(of.0).and_then(Option::as_ref).is_some_and(Type::takes_all);
    let plain_around_list = step.types.iter().map(|of| is_plain_around_list(of, &general, takes_all)).collect();
    General { types, needed: general, plain_around_list, links: None, trace: None }
}

/// Whether a type needs the general engine for the elements of its only list and for nothing else, and elements that
/// are no objects pass as they are.
fn is_plain_around_list(of: &CheckedType, general: &[bool], takes_all: impl Fn(TypeId) -> bool) -> bool {
    let mut lists = 0;
    let all = of.rules.iter().all(|rule| match &rule.kind {
        CheckedKind::Mapping(_) => false,
        CheckedKind::Equation { codec: BoundCodec::As(of), .. } => general.get(of.0) == Some(&false),
        CheckedKind::Equation { codec: BoundCodec::Each { of, .. }, .. } => {
            lists += 1;
            !takes_all(*of)
        }
        CheckedKind::Equation { .. } | CheckedKind::Added { .. } | CheckedKind::Removed { .. } => true,
    });
    all && lists == 1
}

/// All types of a step, with a place for notes of what their rules do.
pub(in crate::plan) fn compile_traced(step: &CheckedStep) -> General {
    General {
        types: step.types.iter().map(|of| Some(compile_type(of))).collect(),
        needed: vec![true; step.types.len()],
        plain_around_list: vec![false; step.types.len()],
        links: None,
        trace: Some(Trace::default()),
    }
}

impl Type {
    /// Whether a rule owns the whole document.
    pub(super) fn takes_all(&self) -> bool {
        self.rules.iter().any(|rule| match &rule.kind {
            RuleKind::Equation { places: [olds, news], .. } => olds.iter().chain(news).any(Vec::is_empty),
            RuleKind::Cases(cases) => {
                cases.iter().any(|case| case.forms.iter().any(|form| !matches!(form, Form::Object(_))))
            }
            RuleKind::Derived { .. } => false,
        })
    }
}

fn compile_type(of: &CheckedType) -> Type {
    let mut drops = [false, false];
    for rule in &of.rules {
        if let CheckedKind::Mapping(mapping) = &rule.kind
            && let Mapping::Rest(rest) = mapping.as_ref()
        {
            let [old, new] = &mut drops;
            *old |= rest.old;
            *new |= rest.new;
        }
    }
    Type { rules: of.rules.iter().enumerate().filter_map(|(index, rule)| compile_rule(index, rule)).collect(), drops }
}

fn compile_rule(index: usize, rule: &CheckedRule) -> Option<Rule> {
    let steps = |places: &[Place]| places.iter().map(Place::steps).collect::<Vec<Steps>>();
    let always = || [None, None];
    Some(match &rule.kind {
        CheckedKind::Equation { olds, news, codec, default } => {
            let (via, nested, value) = match codec {
                BoundCodec::Value(codec) => (Via::Value(codec.clone()), Nested::No, codec.clone()),
                BoundCodec::As(of) => (Via::As(*of), Nested::As(*of), Codec::Same),
                BoundCodec::Each { of, key } => {
                    let key = key.as_ref().map(|place| place.segments.clone());
                    let of_each = Box::new(Via::As(*of));
                    (Via::Each { of: of_each, key, unfit: Unfit::Refuse }, Nested::Each(*of), Codec::Same)
                }
            };
            let default = |direction| default.as_ref().and_then(|text| default_for(text, &value, nested, direction));
            let defaults = [default(Direction::Down), default(Direction::Up)];
            let places = [steps(olds), steps(news)];
            Rule {
                index,
                when: always(),
                kind: RuleKind::Equation { places, via, defaults, unfit: Unfit::Refuse, keys: None, only: None },
            }
        }
        CheckedKind::Added { place, default } => one_sided(index, true, place, default.as_ref()),
        CheckedKind::Removed { place, default } => one_sided(index, false, place, default.as_ref()),
        CheckedKind::Mapping(mapping) => match mapping.as_ref() {
            Mapping::Rest(_) => return None,
            Mapping::Cases(cases) => {
                Rule { index, when: always(), kind: RuleKind::Cases(cases.iter().map(compile_case).collect()) }
            }
            Mapping::Equation(one) => {
                let via = compile_via(&one.via);
                let old = one.default.as_ref().and_then(|text| match &via {
                    Via::Value(codec) => default_for(text, codec, Nested::No, Direction::Down),
                    _ => None,
                });
                Rule {
                    index,
                    when: when(&one.when),
                    kind: RuleKind::Equation {
                        places: [steps(&one.olds), steps(&one.news)],
                        via,
                        defaults: [old, one.default.clone()],
                        unfit: one.unfit.clone(),
                        keys: one.keys.as_ref().map(compile_via),
                        only: one.only.clone(),
                    },
                }
            }
            Mapping::Derived(one) => Rule {
                index,
                when: when(&one.when),
                kind: RuleKind::Derived {
                    is_new: one.is_new,
                    place: one.place.steps(),
                    from: one.from.as_ref().map(|from| match from {
                        mapping::From::Place(place) => From::Place(place.view, place.steps()),
                        mapping::From::Query(query, reduce) => From::Query(query.clone(), reduce.clone()),
                        mapping::From::Pattern(pattern) => From::Form(Names::default().form(pattern)),
                    }),
                    via: compile_via(&one.via),
                    default: one.default.clone(),
                    unfit: one.unfit.clone(),
                },
            },
        },
    })
}

fn one_sided(index: usize, is_new: bool, place: &Place, default: Option<&String>) -> Rule {
    let kind = RuleKind::Derived {
        is_new,
        place: place.steps(),
        from: None,
        via: Via::Value(Codec::Same),
        default: default.cloned(),
        unfit: Unfit::Refuse,
    };
    Rule { index, when: [None, None], kind }
}

fn when(when: &mapping::When) -> [Option<crate::path::query::Query>; 2] {
    [when.old.clone(), when.new.clone()]
}

fn compile_via(convert: &Convert<TypeId>) -> Via {
    match convert {
        Convert::Value(codec) => Via::Value(codec.clone()),
        Convert::As(of) => Via::As(*of),
        Convert::Each(each) => Via::Each {
            of: Box::new(compile_via(&each.of)),
            key: each.key.as_ref().map(|place| place.segments.clone()),
            unfit: each.unfit.clone(),
        },
        Convert::Values(of) => Via::Values(Box::new(compile_via(of))),
        Convert::Chain(all) => Via::Chain(all.iter().map(compile_via).collect()),
        Convert::Flip(of) => Via::Flip(Box::new(compile_via(of))),
        Convert::Cases(cases) => Via::Cases(cases.iter().map(compile_case).collect()),
        Convert::OneOrMany(of) => Via::OneOrMany(Box::new(compile_via(of))),
        Convert::Flatten => Via::Flatten,
        Convert::Link => Via::Link,
        Convert::Entries(entries) => Via::Entries(entries.clone()),
        Convert::Flat(flat) => Via::Flat(flat.clone()),
        Convert::Names(names) => Via::Names { of: names.of, style: names.style, list: names.list.clone() },
        Convert::Is(kind) => Via::Is(kind.clone()),
        Convert::Cel(cel) => Via::Cel(Box::new(Programs::compile(cel))),
    }
}

fn compile_case(case: &mapping::Case<TypeId>) -> Case {
    let mut names = Names::default();
    let mut one = |pattern: &Pattern| {
        names.repetitions = 0;
        names.form(pattern)
    };
    let forms = [one(&case.old), one(&case.new)];
    let count = names.all.len();
    let paths = forms.each_ref().map(|form| {
        let mut paths = vec![None; count];
        find_paths(form, &mut Vec::new(), &mut paths);
        paths
    });
    let mut with: Vec<Option<Via>> = (0..count).map(|_| None).collect();
    for (name, convert) in &case.with {
        if let Some(slot) = names.all.iter().position(|known| known == name).and_then(|index| with.get_mut(index)) {
            *slot = Some(compile_via(convert));
        }
    }
    Case { when: when(&case.when), forms, paths, with, rules: case.rules }
}

/// Variables by number.
#[derive(Default)]
struct Names {
    all: Vec<String>,
    repetitions: usize,
}

impl Names {
    fn index(&mut self, name: &str) -> usize {
        self.all.iter().position(|known| known == name).unwrap_or_else(|| {
            self.all.push(name.to_owned());
            self.all.len() - 1
        })
    }

    fn repeated(&mut self, key: Option<&str>, pattern: &Pattern) -> Repeated {
        let id = self.repetitions;
        self.repetitions += 1;
        let key = key.map(|name| self.index(name));
        let form = self.form(pattern);
        let (mut variables, mut within) = (Vec::new(), Vec::new());
        direct(&form, &mut variables, &mut within);
        Repeated { id, key, form, variables, within }
    }

    fn form(&mut self, pattern: &Pattern) -> Form {
        match pattern {
            Pattern::Literal(json) => Form::Literal(json.clone().into_bytes()),
            Pattern::Variable(name) => Form::Variable(self.index(name)),
            Pattern::Default(inner) => Form::Default(Box::new(self.form(inner))),
            Pattern::Place(place) => Form::Place(place.view, place.steps()),
            Pattern::Text(parts) => Form::Text(
                parts
                    .iter()
                    .map(|part| match part {
                        Part::Text(text) => TextPart::Text(text.clone()),
                        Part::Variable(name) => TextPart::Variable(self.index(name)),
                        Part::Place(place) => TextPart::Place(place.view, place.steps()),
                    })
                    .collect(),
            ),
            Pattern::Object(members) => Form::Object(
                members
                    .iter()
                    .map(|member| match member {
                        Member::Named { name, optional, value } => {
                            FormMember::Named { name: name.clone(), optional: *optional, form: self.form(value) }
                        }
                        Member::Every { prefix, variable, suffix, value } => FormMember::Every {
                            prefix: prefix.clone(),
                            suffix: suffix.clone(),
                            repeated: self.repeated(Some(variable), value),
                        },
                        Member::Rest(name) => FormMember::Rest(self.index(name)),
                    })
                    .collect(),
            ),
            Pattern::List { first, each, last } => Form::List {
                first: first.iter().map(|one| self.form(one)).collect(),
                each: each.as_ref().map(|one| Box::new(self.repeated(None, one))),
                last: last.iter().map(|one| self.form(one)).collect(),
            },
            Pattern::Set(all) => Form::Set(all.iter().map(|one| self.form(one)).collect()),
        }
    }
}

/// The parts of a form: forms beside each other, repetitions within it.
fn parts(form: &Form) -> (Vec<&Form>, Vec<&Repeated>) {
    match form {
        Form::Object(members) => {
            let forms = members
                .iter()
                .filter_map(|one| if let FormMember::Named { form, .. } = one { Some(form) } else { None });
            let repeated = members
                .iter()
                .filter_map(|one| if let FormMember::Every { repeated, .. } = one { Some(repeated) } else { None });
            (forms.collect(), repeated.collect())
        }
        Form::List { first, each, last } => {
            (first.iter().chain(last).collect(), each.iter().map(AsRef::as_ref).collect())
        }
        Form::Set(all) => (all.iter().collect(), Vec::new()),
        _ => (Vec::new(), Vec::new()),
    }
}

/// The variables of a form that stand in it alone.
fn own(form: &Form) -> Vec<usize> {
    match form {
        Form::Variable(variable) => vec![*variable],
        Form::Text(parts) => {
            parts.iter().filter_map(|part| if let TextPart::Variable(one) = part { Some(*one) } else { None }).collect()
        }
        Form::Object(members) => {
            members.iter().filter_map(|one| if let FormMember::Rest(one) = one { Some(*one) } else { None }).collect()
        }
        _ => Vec::new(),
    }
}

/// Variables outside of inner repetitions, and those of each inner repetition.
fn direct(form: &Form, variables: &mut Vec<usize>, within: &mut Vec<Vec<usize>>) {
    variables.extend(own(form));
    let (forms, repetitions) = parts(form);
    for form in forms {
        direct(form, variables, within);
    }
    for repeated in repetitions {
        let all = repeated.key.iter().copied().chain(repeated.variables.iter().copied());
        within.push(all.chain(repeated.within.iter().flatten().copied()).collect());
    }
}

/// The repetitions in which each variable stands.
fn find_paths(form: &Form, path: &mut Vec<usize>, paths: &mut Vec<Option<Vec<usize>>>) {
    let mut note = |variable: usize, path: &[usize]| {
        if let Some(slot) = paths.get_mut(variable) {
            *slot = Some(path.to_vec());
        }
    };
    for variable in own(form) {
        note(variable, path);
    }
    let (forms, repetitions) = parts(form);
    for form in forms {
        find_paths(form, path, paths);
    }
    for repeated in repetitions {
        path.push(repeated.id);
        if let Some(slot) = repeated.key.and_then(|key| paths.get_mut(key)) {
            *slot = Some(path.clone());
        }
        find_paths(&repeated.form, path, paths);
        path.pop();
    }
}

impl Form {
    /// A member that the form names and the document has, or the document itself where the form is one value.
    pub(super) fn spoken_of(&self, tree: &crate::json::Tree<'_>) -> Option<String> {
        let Self::Object(members) = self else { return Some(String::new()) };
        members.iter().find_map(|member| match member {
            FormMember::Named { name, form, .. } => {
                let value = tree.get(name)?;
                match form {
                    Self::Default(_) => None,
                    Self::Object(_) if value.is_object() => form
                        .spoken_of(value)
                        .map(|inner| if inner.is_empty() { name.clone() } else { format!("{name}.{inner}") }),
                    _ => Some(name.clone()),
                }
            }
            FormMember::Every { .. } | FormMember::Rest(_) => None,
        })
    }
}
