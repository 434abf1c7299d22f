//! Places in schemas.

use super::{Prover, Side};
use crate::contract::interface::Interface;
use crate::contract::schema::{Additional, Kinds, SchemaId};
use crate::diagnostic::{Span, codes, suggest};
use crate::path::Place;

/// A place found in a schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located {
    pub(super) schema: SchemaId,
    /// Whether every document has it.
    pub(super) always: bool,
    /// Where its member is declared.
    pub(super) span: Span,
}

/// What became of looking for a place.
pub(super) enum Found {
    /// There.
    At(Located),
    /// Not in the schema; reported.
    Nowhere,
    /// The schema does not say; why.
    Unsaid(String),
}

/// The schema's answer, without reports.
enum Step {
    At(Located),
    Missing { at: usize, names: Vec<String>, span: Span, what: String },
    Unsaid(String),
}

impl Prover<'_, '_> {
    /// The schema at a place; reports E1 where there is none.
    pub(super) fn locate(&mut self, side: Side, root: SchemaId, place: &Place, is_message: bool) -> Found {
        match walk(self.interface(side), root, &place.segments, is_message) {
            Step::At(located) => Found::At(located),
            Step::Unsaid(reason) => Found::Unsaid(reason),
            Step::Missing { at, names, span, what } => {
                let version = self.interface(side).version.clone();
                let name = place.segments.get(at).cloned().unwrap_or_default();
                let shown = place.segments.join(".");
                if let Some(near) = suggest::closest(&name, names.iter().map(String::as_str)) {
                    self.meant.insert((side, near.to_owned()));
                }
                let help = suggest::help(&name, names.iter().map(String::as_str));
                let message = format!("no place `{shown}` in {version}");
                if let Some(found) = self.error(codes::E1, place.span, message) {
                    found.label(what).related(span, format!("{version} declares it here"));
                    found.help = help;
                }
                Found::Nowhere
            }
        }
    }
}

/// The schema at a place, without reports.
pub(super) fn find(interface: &Interface, root: SchemaId, segments: &[String], is_message: bool) -> Found {
    match walk(interface, root, segments, is_message) {
        Step::At(located) => Found::At(located),
        Step::Unsaid(reason) => Found::Unsaid(reason),
        Step::Missing { .. } => Found::Nowhere,
    }
}

fn walk(interface: &Interface, root: SchemaId, segments: &[String], is_message: bool) -> Step {
    let mut located = Located { schema: root, always: true, span: interface.schema(root).span };
    for (at, name) in segments.iter().enumerate() {
        let schema = interface.schema(located.schema);
        let ignores_case = is_message && at == 1 && segments.first().is_some_and(|root| root == "header");
        let declared = schema
            .properties
            .iter()
            .find(|one| one.name == *name || (ignores_case && one.name.eq_ignore_ascii_case(name)));
        // Under a parent that may be null (or another type) the member may be missing.
        let is_always = located.always && schema.kinds == Kinds::OBJECT;
        if let Some(property) = declared {
            located = Located { schema: property.schema, always: is_always && property.required, span: property.span };
            continue;
        }
        if schema.choice.is_some() {
            return Step::Unsaid("inside a `oneOf`".to_owned());
        }
        match schema.additional {
            Additional::Map(Some(id)) => {
                located = Located { schema: id, always: false, span: interface.schema(id).span };
                continue;
            }
            Additional::Map(None) => return Step::Unsaid("inside a map of any values".to_owned()),
            Additional::Unsaid | Additional::Refused => {}
        }
        if let Some(outside) = schema.outside.first() {
            return Step::Unsaid(format!("`{}` in {} is not decided", outside.text, interface.version));
        }
        if schema.kinds == Kinds::ANY && schema.properties.is_empty() {
            return Step::Unsaid(format!("{} allows anything there", interface.version));
        }
        let what = if schema.kinds.holds(Kinds::OBJECT) {
            format!("no member `{name}`")
        } else {
            format!("{} is expected there", schema.kinds.describe())
        };
        let names = schema.properties.iter().map(|one| one.name.clone()).collect();
        return Step::Missing { at, names, span: schema.span, what };
    }
    Step::At(located)
}
