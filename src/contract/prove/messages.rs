//! Routes: whole messages as documents, and bodies that no rule speaks of.

use super::bind::plain;
use super::cover::of_side;
use super::{Prover, Side};
use crate::codecs::Codec;
use crate::contract::include::{Comparison, Inclusion};
use crate::contract::interface::{Body, Carrier, Operation, Parameter, Response, member};
use crate::contract::schema::{Additional, Kinds, Schema, SchemaId};
use crate::diagnostic::{Span, codes};
use crate::path::template::Template;
use crate::rules::ast::StatusKey;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRule, CheckedType, Origin, TypeId, Verdict};

/// One message of a route on one side.
struct Message<'o> {
    body: Option<Body>,
    parameters: &'o [Parameter],
}

impl Prover<'_, '_> {
    /// Every route: its message types meet schemas, or are derived.
    pub(super) fn routes(&mut self) {
        for index in 0..self.step.routes.len() {
            let Some(route) = self.step.routes.get(index).cloned() else { continue };
            let old = self.operation(Side::Old, &route.old);
            let new = self.operation(Side::New, &route.new);
            let (Some(old), Some(new)) = (old, new) else { continue };
            let sides = (
                Message { body: old.request, parameters: &old.parameters },
                Message { body: new.request, parameters: &new.parameters },
            );
            let name = format!("request of {}", written(&route.old));
            let request = self.message(route.request, &sides, &name, route.old.span, true);
            let mut responses = route.responses.clone();
            for status in statuses(&old, &new) {
                let (Some(a), Some(b)) = (response(&old, status), response(&new, status)) else { continue };
                let sides = (
                    Message { body: a.body, parameters: &a.headers },
                    Message { body: b.body, parameters: &b.headers },
                );
                let explicit = answering(&route.responses, status);
                let name = format!("{} response of {}", shown(status), written(&route.old));
                if let Some(made) = self.message(explicit, &sides, &name, route.old.span, false)
                    && explicit.is_none()
                {
                    responses.push((status, made));
                }
            }
            if let Some(route) = self.step.routes.get_mut(index) {
                route.request = request;
                route.responses = responses;
            }
        }
    }

    fn operation(&mut self, side: Side, template: &Template) -> Option<Operation> {
        if template.method == "*" {
            return None;
        }
        let interface = self.interface(side);
        if let Some(found) = interface.operation(template) {
            return Some(found.clone());
        }
        let message = format!("{} does not describe `{}`", interface.version, written(template));
        let help = "its messages cannot be proven; describe the operation, or mend the path";
        self.diagnostics.warning(codes::W3, template.span, message).help(help);
        None
    }

    /// Checks one message; answers its type, made where the schemas ask for one.
    fn message(
        &mut self,
        explicit: Option<TypeId>,
        (old, new): &(Message<'_>, Message<'_>),
        name: &str,
        span: Span,
        is_request: bool,
    ) -> Option<TypeId> {
        let mut id = explicit;
        if !self.owns_body(explicit)
            && let (Some(a), Some(b)) = (old.body, new.body)
        {
            let rule = plain(vec!["body".to_owned()], span);
            if let Some(known) = explicit {
                if let Some(of) = self.step.types.get_mut(known.0) {
                    of.rules.push(rule);
                }
            } else if self.needs_rule(a.schema, b.schema) {
                id = Some(TypeId(self.step.types.len()));
                let (name, rules) = (name.to_owned(), vec![rule]);
                self.step.types.push(CheckedType { name, origin: Origin::Message, rules, span });
            }
        }
        self.check_parameters(id, old.parameters, new.parameters, span, is_request);
        let id = id?;
        let a = self.whole(Side::Old, old, span);
        let b = self.whole(Side::New, new, span);
        self.visit(id, a, b);
        self.cover_body(id, a, b);
        Some(id)
    }

    fn owns_body(&self, id: Option<TypeId>) -> bool {
        id.is_some_and(|id| {
            [Side::Old, Side::New].iter().any(|side| {
                of_side(self.rules(id), *side).iter().any(|one| one.first().is_some_and(|root| root == "body"))
            })
        })
    }

    /// Whether passing a body on as it is would be wrong, or hide a declared type.
    fn needs_rule(&mut self, a: SchemaId, b: SchemaId) -> bool {
        let plain_same = Comparison::new(&self.old, &self.new).decide(a, b) == Inclusion::Yes
            && Comparison::new(&self.new, &self.old).decide(b, a) == Inclusion::Yes;
        !plain_same || self.holds_declared(a, b)
    }

    /// The whole message as one object schema.
    fn whole(&mut self, side: Side, message: &Message<'_>, span: Span) -> SchemaId {
        let interface = match side {
            Side::Old => &mut self.old,
            Side::New => &mut self.new,
        };
        let mut whole = Schema::anything(span);
        whole.kinds = Kinds::OBJECT;
        for carrier in [Carrier::Path, Carrier::Query, Carrier::Header, Carrier::Cookie] {
            let mut part = Schema::anything(span);
            part.kinds = Kinds::OBJECT;
            if carrier == Carrier::Header || carrier == Carrier::Cookie {
                // Interfaces rarely declare every header.
                part.additional = Additional::Map(None);
            }
            for parameter in message.parameters.iter().filter(|one| one.carrier == carrier) {
                let text = interface.add_text(parameter);
                part.properties.push(member(parameter.name.clone(), parameter.span, text, parameter.required));
            }
            let part = interface.add(part);
            whole.properties.push(member(carrier.root(), span, part, true));
        }
        if let Some(body) = message.body {
            whole.properties.push(member("body", body.span, body.schema, body.required));
        }
        for (root, kinds) in [("status", Kinds::INTEGER), ("method", Kinds::STRING)] {
            let mut part = Schema::anything(span);
            part.kinds = kinds;
            let part = interface.add(part);
            whole.properties.push(member(root, span, part, true));
        }
        interface.add(whole)
    }

    /// Declared parameters that no rule mentions must mean the same on both sides.
    fn check_parameters(
        &mut self,
        id: Option<TypeId>,
        olds: &[Parameter],
        news: &[Parameter],
        span: Span,
        is_request: bool,
    ) {
        let rules: &[CheckedRule] = id.map(|id| self.rules(id)).unwrap_or_default();
        let owned = [of_side(rules, Side::Old), of_side(rules, Side::New)];
        let [old_owned, new_owned] = &owned;
        let is_owned = |all: &[Vec<String>], one: &Parameter| {
            all.iter().any(|place| match place.as_slice() {
                [root] => root == one.carrier.root(),
                [root, name, ..] => root == one.carrier.root() && same_name(one.carrier, name, &one.name),
                [] => true,
            })
        };
        let twin = |all: &[Parameter], one: &Parameter| {
            all.iter()
                .find(|other| other.carrier == one.carrier && same_name(one.carrier, &other.name, &one.name))
                .cloned()
        };
        let mut alone = Vec::new();
        for (side, mine, theirs, owned) in [(Side::Old, olds, news, old_owned), (Side::New, news, olds, new_owned)] {
            for one in mine.iter().filter(|one| one.carrier != Carrier::Path && !is_owned(owned, one)) {
                match twin(theirs, one) {
                    None => alone.push((side, one.clone())),
                    Some(other) if side == Side::Old && !is_owned(new_owned, &other) => {
                        self.compare_parameters(one, &other, span);
                    }
                    Some(_) => {}
                }
            }
        }
        for (side, one) in alone {
            // Headers of responses and optional headers pass as they are: nobody lists them all.
            if one.carrier == Carrier::Header && !(is_request && one.required) {
                continue;
            }
            let (version, place) =
                (self.interface(side).version.clone(), format!("{}.{}", one.carrier.root(), one.name));
            let message = format!("{version} declares `{place}`, but no rule of this route mentions it");
            let help = match side {
                Side::Old => format!("write `request: [{place} = …]`, or `{{removed: {place}, loss: \"why\"}}`"),
                Side::New => format!("write `request: [… = {place}]`, or `{{added: {place}, default: …}}`"),
            };
            if let Some(found) = self.error(codes::E3, span, message) {
                found.related(one.span, "declared here").help(help);
            }
        }
    }

    fn compare_parameters(&mut self, old: &Parameter, new: &Parameter, span: Span) {
        let place = format!("{}.{}", old.carrier.root(), old.name);
        if new.required && !old.required {
            let message = format!("`{place}`: {} requires it, {} may leave it out", self.new.version, self.old.version);
            if let Some(found) = self.error(codes::E5, span, message) {
                found.related(new.span, "required here").help(format!("write `request: [{place}: {{default: …}}]`"));
            }
        }
        let (Some(a), Some(b)) = (old.schema, new.schema) else { return };
        let answer = match Comparison::new(&self.old, &self.new).decide(a, b) {
            Inclusion::Yes => Comparison::new(&self.new, &self.old).decide(b, a),
            other => other,
        };
        if let Inclusion::No(mismatch) = answer {
            let message = format!("`{place}` holds different values, and no rule mentions it");
            if let Some(found) = self.error(codes::E4, span, message) {
                found
                    .label(mismatch.detail)
                    .related(old.span, "the old side")
                    .related(new.span, "the new side")
                    .help(format!("write a rule: `request: [{place}: {{…}}]`"));
            }
        }
    }

    /// E3 for bodies of which rules own a part.
    fn cover_body(&mut self, id: TypeId, a: SchemaId, b: SchemaId) {
        let Some(of) = self.step.types.get(id.0) else { return };
        let (name, span) = (of.name.clone(), of.span);
        let rules = of.rules.clone();
        if rules.iter().any(|rule| matches!(&rule.kind, CheckedKind::Equation { olds, codec: BoundCodec::Value(Codec::Same), .. } if olds.iter().any(|one| one.segments.len() == 1 && one.segments.first().is_some_and(|root| root == "body")))) {
            return;
        }
        for (side, root) in [(Side::Old, a), (Side::New, b)] {
            let owned: Vec<Vec<String>> = of_side(&rules, side)
                .into_iter()
                .filter(|one| one.first().is_some_and(|root| root == "body"))
                .collect();
            let interface = self.interface(side);
            let Some(body) = interface.schema(root).property("body") else { continue };
            let version = interface.version.clone();
            let below: Vec<&[String]> =
                owned.iter().filter_map(|one| one.split_first()).map(|(_, rest)| rest).collect();
            if below.is_empty() {
                let at = body.span;
                let message = format!("{version} declares a body, but no rule of the {name} mentions it");
                if let Some(found) = self.error(codes::E3, span, message) {
                    found.related(at, "declared here").help("write a rule whose place begins with `body`");
                }
                continue;
            }
            let mut gaps = Vec::new();
            super::cover::find_gaps(interface, body.schema, &below, &mut vec!["body".to_owned()], &mut gaps);
            for gap in gaps {
                let field = gap.path.join(".");
                let message = format!("{version} declares `{field}`, but no rule of the {name} mentions it");
                let help = match side {
                    Side::Old => format!("write an equation for it, or `{{removed: {field}, loss: \"why\"}}`"),
                    Side::New => format!("write an equation for it, or `{{added: {field}}}`"),
                };
                if let Some(found) = self.error(codes::E3, span, message) {
                    found.related(gap.span, "declared here").help(help);
                }
                self.lower((id, 0), Verdict::Refuted, "a field is not accounted for");
            }
        }
    }
}

fn same_name(carrier: Carrier, a: &str, b: &str) -> bool {
    a == b || (carrier == Carrier::Header && a.eq_ignore_ascii_case(b))
}

/// The explicit rules for a status: the most specific key wins.
fn answering(responses: &[(StatusKey, TypeId)], status: StatusKey) -> Option<TypeId> {
    let of = |key: StatusKey| responses.iter().find(|(one, _)| *one == key).map(|(_, id)| *id);
    match status {
        StatusKey::Exact(code) => of(status)
            .or_else(|| of(StatusKey::Class(u8::try_from(code / 100).unwrap_or(0))))
            .or_else(|| of(StatusKey::Default)),
        StatusKey::Class(_) => of(status).or_else(|| of(StatusKey::Default)),
        StatusKey::Default => of(status),
    }
}

/// The described response that answers with a status.
fn response(operation: &Operation, status: StatusKey) -> Option<&Response> {
    let of = |key: StatusKey| operation.responses.iter().find(|one| one.status == key);
    match status {
        StatusKey::Exact(code) => of(status)
            .or_else(|| of(StatusKey::Class(u8::try_from(code / 100).unwrap_or(0))))
            .or_else(|| of(StatusKey::Default)),
        StatusKey::Class(_) => of(status).or_else(|| of(StatusKey::Default)),
        StatusKey::Default => of(status),
    }
}

/// Every status that either side describes, once.
fn statuses(old: &Operation, new: &Operation) -> Vec<StatusKey> {
    let mut all: Vec<StatusKey> = Vec::new();
    for one in old.responses.iter().chain(&new.responses) {
        if !all.contains(&one.status) {
            all.push(one.status);
        }
    }
    all
}

fn shown(status: StatusKey) -> String {
    match status {
        StatusKey::Exact(code) => code.to_string(),
        StatusKey::Class(class) => format!("{class}XX"),
        StatusKey::Default => "default".to_owned(),
    }
}

/// A template as text.
pub(super) fn written(template: &Template) -> String {
    template.to_string()
}
