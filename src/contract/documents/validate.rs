//! Is a document allowed by a schema? Keywords that are not decided count as satisfied.

use super::super::interface::Interface;
use super::super::schema::{Additional, Kinds, Schema, SchemaId};
use super::is_multiple;
use crate::json::{Tree, TreeKind};

/// Where a document breaks its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Member names and `[]` from the root; list positions are left out.
    pub path: Vec<String>,
    /// The place for people: `lines[3].total`; empty: the whole.
    pub place: String,
    /// What was expected.
    pub detail: String,
}

/// Checks and alternatives tried for one document; beyond, the rest counts as satisfied.
const BUDGET: usize = 200_000;
/// Violations that are worth having.
const ENOUGH: usize = 16;

/// Every way (up to 16) in which a document breaks a schema.
pub fn violations(interface: &Interface, schema: SchemaId, tree: &Tree<'_>) -> Vec<Violation> {
    let mut check = Check { interface, found: Vec::new(), path: Vec::new(), place: Vec::new(), spent: 0 };
    check.value(interface.schema(schema), tree);
    check.found
}

/// Whether a schema allows a value.
pub(in crate::contract) fn is_allowed(interface: &Interface, schema: &Schema, tree: &Tree<'_>) -> bool {
    let mut check = Check { interface, found: Vec::new(), path: Vec::new(), place: Vec::new(), spent: 0 };
    check.value(schema, tree);
    check.found.is_empty()
}

struct Check<'a> {
    interface: &'a Interface,
    found: Vec<Violation>,
    path: Vec<String>,
    place: Vec<String>,
    spent: usize,
}

impl Check<'_> {
    fn fail(&mut self, detail: impl Into<String>) {
        let place = self.place.concat();
        let place = place.strip_prefix('.').unwrap_or(&place).to_owned();
        self.found.push(Violation { path: self.path.clone(), place, detail: detail.into() });
    }

    // Recursion follows the document, whose depth its reader has bounded.
    fn value(&mut self, schema: &Schema, tree: &Tree<'_>) {
        self.spent += 1;
        if self.spent > BUDGET || self.found.len() >= ENOUGH {
            return;
        }
        let kind = kind_of(tree);
        if !schema.kinds.holds(kind) {
            return self.fail(format!("{} where {} is expected", kind.describe(), schema.kinds.describe()));
        }
        if let Some(values) = &schema.values
            && !values.iter().any(|one| {
                Tree::parse(one.json.as_bytes(), crate::json::MAX_DEPTH).is_ok_and(|listed| listed.same(tree))
            })
        {
            return self.fail("not one of the values that the schema lists");
        }
        match &tree.kind {
            TreeKind::Null | TreeKind::Bool(_) => {}
            TreeKind::Number => self.number(schema, tree),
            TreeKind::String => self.string(schema, tree),
            TreeKind::Array(elements) => self.array(schema, elements),
            TreeKind::Object(_) => self.object(schema, tree),
        }
        if !schema.alternatives.is_empty() && !self.any(&schema.alternatives, tree) {
            self.fail("none of the alternatives of the schema");
        }
    }

    fn any(&mut self, alternatives: &[SchemaId], tree: &Tree<'_>) -> bool {
        let interface = self.interface;
        alternatives.iter().any(|id| {
            let mut inner =
                Check { interface, found: Vec::new(), path: Vec::new(), place: Vec::new(), spent: self.spent };
            inner.value(interface.schema(*id), tree);
            self.spent = inner.spent;
            inner.found.is_empty()
        })
    }

    fn number(&mut self, schema: &Schema, tree: &Tree<'_>) {
        let Some(value) = tree.number() else { return };
        if let Some(limit) = &schema.minimum {
            let order = value.compare(&limit.value);
            if order.is_lt() || (limit.exclusive && order.is_eq()) {
                self.fail(format!("below the minimum {}", limit.text));
            }
        }
        if let Some(limit) = &schema.maximum {
            let order = value.compare(&limit.value);
            if order.is_gt() || (limit.exclusive && order.is_eq()) {
                self.fail(format!("above the maximum {}", limit.text));
            }
        }
        if let Some(by) = &schema.multiple_of
            && is_multiple(&value, by) == Some(false)
        {
            self.fail("not a multiple as the schema asks");
        }
    }

    fn string(&mut self, schema: &Schema, tree: &Tree<'_>) {
        let Some(text) = tree.text() else { return };
        let length = text.chars().count() as u64;
        if !schema.length.contains(length) {
            let most = schema.length.max.map_or_else(|| "any number".to_owned(), |max| max.to_string());
            self.fail(format!("{length} characters where {} to {most} are allowed", schema.length.min));
        }
        if let Some(format) = &schema.format
            && !fits_format(&format.text, &text)
        {
            self.fail(format!("not of the format `{}`", format.text));
        }
    }

    fn array(&mut self, schema: &Schema, elements: &[Tree<'_>]) {
        if !schema.count.contains(elements.len() as u64) {
            self.fail(format!("{} elements are not allowed", elements.len()));
        }
        if schema.unique {
            let mut rest = elements;
            while let Some((first, others)) = rest.split_first() {
                if others.iter().any(|other| other.same(first)) {
                    self.fail("equal elements where the schema says `uniqueItems`");
                    break;
                }
                rest = others;
            }
        }
        if let Some(items) = schema.items {
            let items = self.interface.schema(items);
            for (index, element) in elements.iter().enumerate() {
                self.path.push("[]".to_owned());
                self.place.push(format!("[{index}]"));
                self.value(items, element);
                self.place.pop();
                self.path.pop();
            }
        }
    }

    fn object(&mut self, schema: &Schema, tree: &Tree<'_>) {
        if let Some(choice) = &schema.choice {
            let tag = tree.get(&choice.tag).and_then(Tree::text);
            match choice.cases.iter().find(|(name, _)| tag.as_deref() == Some(name)) {
                Some((_, case)) => self.value(self.interface.schema(*case), tree),
                None => self.fail(format!("`{}` names none of the cases", choice.tag)),
            }
            return;
        }
        for property in &schema.properties {
            match tree.get(&property.name) {
                Some(value) => self.member(&property.name, property.schema, value),
                None if property.required => self.fail(format!("`{}` is missing", property.name)),
                None => {}
            }
        }
        for (name, value) in tree.members() {
            if schema.property(name).is_none() {
                match schema.additional {
                    Additional::Unsaid | Additional::Map(None) => {}
                    Additional::Map(Some(id)) => self.member(name, id, value),
                    Additional::Refused => self.fail(format!("`{name}` is not allowed")),
                }
            }
        }
    }

    fn member(&mut self, name: &str, schema: SchemaId, value: &Tree<'_>) {
        self.path.push(name.to_owned());
        self.place.push(format!(".{name}"));
        self.value(self.interface.schema(schema), value);
        self.place.pop();
        self.path.pop();
    }
}

fn kind_of(tree: &Tree<'_>) -> Kinds {
    match &tree.kind {
        TreeKind::Null => Kinds::NULL,
        TreeKind::Bool(_) => Kinds::BOOLEAN,
        TreeKind::Number => match tree.number() {
            Some(number) if number.is_integer() => Kinds::INTEGER,
            _ => Kinds::NUMBER.without(Kinds::INTEGER),
        },
        TreeKind::String => Kinds::STRING,
        TreeKind::Array(_) => Kinds::ARRAY,
        TreeKind::Object(_) => Kinds::OBJECT,
    }
}

/// The formats whose texts codecs depend on; of others every text fits.
fn fits_format(format: &str, text: &str) -> bool {
    match format {
        "lower" => text.to_lowercase() == text,
        "upper" => text.to_uppercase() == text,
        "int32" | "int64" | "intstr" => is_integer_text(text),
        "decimal" => crate::json::Decimal::parse(text).is_some(),
        _ => match super::decimals(format) {
            Some(scale) => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                fraction.len() == scale
                    && fraction.bytes().all(|byte| byte.is_ascii_digit())
                    && (is_integer_text(whole) || whole == "-0")
            }
            None => true,
        },
    }
}

fn is_integer_text(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && (!digits.starts_with('0') || text == "0")
}
