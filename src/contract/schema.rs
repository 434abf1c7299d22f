//! Schemas as flat data: one entry each in an arena, references are indices, everything carries its span.

use crate::diagnostic::Span;
use crate::json::Decimal;

/// Index of a schema in its [`super::Interface`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub usize);

/// A set of JSON types. [`Kinds::NUMBER`] holds the integers too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// `null`
    pub const NULL: Self = Self(1);
    /// `true`, `false`
    pub const BOOLEAN: Self = Self(2);
    /// Numbers without a fraction.
    pub const INTEGER: Self = Self(4);
    /// Every number.
    pub const NUMBER: Self = Self(4 | 8);
    /// Strings.
    pub const STRING: Self = Self(16);
    /// Arrays.
    pub const ARRAY: Self = Self(32);
    /// Objects.
    pub const OBJECT: Self = Self(64);
    /// Everything.
    pub const ANY: Self = Self(127);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// The type of that name in JSON Schema.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => return None,
        })
    }

    /// Whether every value of `other` is in here.
    pub fn holds(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether some value is in both.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What is in either.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in here but not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing but these kinds is in here, leaving `null` aside.
    pub fn only(self, other: Self) -> bool {
        let rest = self.without(Self::NULL);
        rest != Self::NONE && other.holds(rest)
    }

    /// For people: `string or null`.
    pub fn describe(self) -> String {
        if self.holds(Self::ANY) {
            return "any value".to_owned();
        }
        let mut names = Vec::new();
        for (kind, name) in [
            (Self::STRING, "string"),
            (Self::NUMBER, "number"),
            (Self::INTEGER, "integer"),
            (Self::BOOLEAN, "boolean"),
            (Self::ARRAY, "array"),
            (Self::OBJECT, "object"),
            (Self::NULL, "null"),
        ] {
            let covered = kind == Self::INTEGER && self.holds(Self::NUMBER);
            if self.holds(kind) && !covered {
                names.push(name);
            }
        }
        if names.is_empty() { "nothing".to_owned() } else { names.join(" or ") }
    }
}

/// One schema, every keyword of the decidable fragment in its own field, the rest in [`Schema::outside`].
#[derive(Debug, Clone)]
pub struct Schema {
    /// Where it is written; for merged schemas the first part.
    pub span: Span,
    /// Its name under `components/schemas`, if it has one.
    pub component: Option<String>,
    /// The schema that this one is but for `null` (`oneOf: [{$ref: A}, {type: "null"}]`, `nullable` beside a
    /// reference).
    pub but_for_null: Option<SchemaId>,
    /// For parameters and headers: the schema of the value that this text spells.
    pub text_of: Option<SchemaId>,
    /// Which JSON types it allows; already narrowed by `values`.
    pub kinds: Kinds,
    /// `enum` and `const`: the only values allowed.
    pub values: Option<Vec<Constant>>,
    /// `minimum`, `exclusiveMinimum`.
    pub minimum: Option<Bound>,
    /// `maximum`, `exclusiveMaximum`.
    pub maximum: Option<Bound>,
    /// `multipleOf`.
    pub multiple_of: Option<Decimal>,
    /// Code points of strings.
    pub length: Range,
    /// `pattern`: never decided, always reported as unproven.
    pub pattern: Option<Text>,
    /// `format`, where it narrows strings.
    pub format: Option<Text>,
    /// Declared members in written order.
    pub properties: Vec<Property>,
    /// Further members.
    pub additional: Additional,
    /// Elements of arrays; `None`: anything.
    pub items: Option<SchemaId>,
    /// Number of elements.
    pub count: Range,
    /// `uniqueItems`.
    pub unique: bool,
    /// `oneOf` with a `discriminator`.
    pub choice: Option<Choice>,
    /// Keywords that are not decided: each makes proofs about this schema impossible.
    pub outside: Vec<Text>,
    /// The alternatives of an `anyOf` or bare `oneOf` in `outside`: documents are generated from these.
    pub alternatives: Vec<SchemaId>,
    /// `readOnly`: only in responses.
    pub read_only: bool,
    /// `writeOnly`: only in requests.
    pub write_only: bool,
}

impl Schema {
    /// A schema that allows everything.
    pub fn anything(span: Span) -> Self {
        Self {
            span,
            component: None,
            but_for_null: None,
            text_of: None,
            kinds: Kinds::ANY,
            values: None,
            minimum: None,
            maximum: None,
            multiple_of: None,
            length: Range::default(),
            pattern: None,
            format: None,
            properties: Vec::new(),
            additional: Additional::Unsaid,
            items: None,
            count: Range::default(),
            unique: false,
            choice: None,
            outside: Vec::new(),
            alternatives: Vec::new(),
            read_only: false,
            write_only: false,
        }
    }

    /// A declared member.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|one| one.name == name)
    }

    /// Whether `null` is allowed.
    pub fn is_nullable(&self) -> bool {
        self.kinds.holds(Kinds::NULL)
    }
}

/// A value of `enum` or `const`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// JSON text.
    pub json: String,
    /// Where it is written.
    pub span: Span,
}

/// One end of a number range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The number.
    pub value: Decimal,
    /// Whether the number itself is outside.
    pub exclusive: bool,
    /// As written.
    pub text: String,
}

/// A range of counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: Option<u64>,
}

impl Range {
    /// Whether every count of `other` is in here.
    pub fn holds(self, other: Self) -> bool {
        self.min <= other.min && self.max.is_none_or(|max| other.max.is_some_and(|theirs| theirs <= max))
    }

    /// Whether a count is in here.
    pub fn contains(self, count: u64) -> bool {
        self.min <= count && self.max.is_none_or(|max| count <= max)
    }
}

/// A keyword's text and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A declared member of an object.
#[derive(Debug, Clone)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// Where the name is written.
    pub span: Span,
    /// Its schema.
    pub schema: SchemaId,
    /// Whether every object has it.
    pub required: bool,
}

/// What `additionalProperties` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Additional {
    /// Nothing: a tolerant reader lets unknown members be.
    Unsaid,
    /// `false`: there are none.
    Refused,
    /// `true`, or the schema of each: the object is a map.
    Map(Option<SchemaId>),
}

/// `oneOf` with `discriminator`.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The member whose value chooses.
    pub tag: String,
    /// Each tag's value and schema.
    pub cases: Vec<(String, SchemaId)>,
    /// Where it is written.
    pub span: Span,
}
