//! One version's interface: its schemas and operations.

use std::collections::{BTreeMap, HashMap};

use super::schema::{Kinds, Property, Schema, SchemaId};
use crate::diagnostic::Span;
use crate::path::template::{Segment, Template};
use crate::rules::ast::StatusKey;

/// What one OpenAPI document says.
#[derive(Debug, Clone)]
pub struct Interface {
    /// The version that it describes, for messages.
    pub version: String,
    /// The whole document.
    pub span: Span,
    pub(super) schemas: Vec<Schema>,
    pub(super) components: BTreeMap<String, SchemaId>,
    pub(super) operations: Operations,
}

/// The operations of a document, found by what they match.
#[derive(Debug, Clone, Default)]
pub(super) struct Operations {
    all: Vec<Operation>,
    by_shape: HashMap<Shape, usize>,
}

/// A method and its path's literals; nothing stands for a parameter.
type Shape = (String, Vec<Option<String>>);

/// The shape of a method and path; none where an operation cannot have it.
fn shape(method: &str, path: &[Segment]) -> Option<Shape> {
    let segment = |segment: &Segment| match segment {
        Segment::Literal(text) => Some(Some(text.clone())),
        Segment::Param(_) => Some(None),
        Segment::Part { .. } | Segment::Rest(_) => None,
    };
    Some((method.to_owned(), path.iter().map(segment).collect::<Option<_>>()?))
}

impl Operations {
    /// Of two that match the same requests, the first one is meant.
    pub(super) fn new(all: Vec<Operation>) -> Self {
        let mut by_shape = HashMap::with_capacity(all.len());
        for (index, one) in all.iter().enumerate() {
            if let Some(shape) = shape(&one.method, &one.path) {
                by_shape.entry(shape).or_insert(index);
            }
        }
        Self { all, by_shape }
    }

    fn find(&self, template: &Template) -> Option<&Operation> {
        self.all.get(*self.by_shape.get(&shape(&template.method, &template.segments)?)?)
    }
}

/// One operation: a method on a path.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Upper-case method.
    pub method: String,
    /// The path's segments.
    pub path: Vec<Segment>,
    /// Where its method is written.
    pub span: Span,
    /// Its parameters and those of its path.
    pub parameters: Vec<Parameter>,
    /// Its JSON request body.
    pub request: Option<Body>,
    /// Its responses in written order.
    pub responses: Vec<Response>,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// A header.
    Header,
    /// A cookie.
    Cookie,
}

impl Carrier {
    /// The first segment of places in it.
    pub fn root(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

/// One parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Where it stands.
    pub carrier: Carrier,
    /// Its name as written.
    pub name: String,
    /// Whether every request has it.
    pub required: bool,
    /// The schema of the value that its text spells, if it is declared.
    pub schema: Option<SchemaId>,
    /// Where it is written.
    pub span: Span,
}

/// A JSON body.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    /// Its schema.
    pub schema: SchemaId,
    /// Whether there always is one.
    pub required: bool,
    /// Where it is written.
    pub span: Span,
}

/// One response.
#[derive(Debug, Clone)]
pub struct Response {
    /// For which statuses.
    pub status: StatusKey,
    /// Its JSON body, if one is described.
    pub body: Option<Body>,
    /// Its headers.
    pub headers: Vec<Parameter>,
    /// Where its status is written.
    pub span: Span,
}

impl Interface {
    /// A schema. Ids are only ever made by this interface.
    ///
    /// # Panics
    /// Never for an id of this interface.
    #[expect(clippy::indexing_slicing, reason = "an id is an index that this arena gave out and never takes back")]
    pub fn schema(&self, id: SchemaId) -> &Schema {
        &self.schemas[id.0]
    }

    /// The schema of that name under `components/schemas`.
    pub fn component(&self, name: &str) -> Option<SchemaId> {
        self.components.get(name).copied()
    }

    /// Every name under `components/schemas`.
    pub fn component_names(&self) -> impl Iterator<Item = &str> {
        self.components.keys().map(String::as_str)
    }

    /// The operation of a route's side: same method, same path but for the names of its parameters.
    pub fn operation(&self, template: &Template) -> Option<&Operation> {
        self.operations.find(template)
    }

    /// Without `null`: the schema that others refer to.
    pub fn core(&self, id: SchemaId) -> SchemaId {
        self.schema(id).but_for_null.unwrap_or(id)
    }

    /// Adds a schema that no document has, such as that of a whole message.
    pub(super) fn add(&mut self, schema: Schema) -> SchemaId {
        self.schemas.push(schema);
        SchemaId(self.schemas.len() - 1)
    }

    /// The schema of a parameter as rules see it: the text that spells the value.
    pub(super) fn add_text(&mut self, parameter: &Parameter) -> SchemaId {
        let mut text = Schema::anything(parameter.span);
        text.kinds = Kinds::STRING;
        text.text_of = parameter.schema;
        if let Some(id) = parameter.schema {
            let value = self.schema(id);
            if value.kinds.only(Kinds::STRING) {
                let (kinds, span) = (text.kinds, text.span);
                text = Schema { kinds, span, component: None, but_for_null: None, ..value.clone() };
            }
        }
        self.add(text)
    }
}

/// A member of a message.
pub(super) fn member(name: impl Into<String>, span: Span, schema: SchemaId, required: bool) -> Property {
    Property { name: name.into(), span, schema, required }
}
