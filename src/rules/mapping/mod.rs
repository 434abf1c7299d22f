//! Rules that say more than one codec between two plain places: conversions in a row, cases by form, values derived
//! from others, conditions, names with a variable part. `T` is how a type is referred to: by its author's words in the
//! syntax tree, by its index once checked.

mod headers;
mod places;
mod requests;
mod types;

pub(crate) use headers::header_at;

use crate::codecs::Codec;
use crate::path::Place;
use crate::path::query::Query;

/// What such a rule says.
#[derive(Debug, Clone)]
pub enum Mapping<T> {
    /// Old places and new places hold the same information.
    Equation(Equation<T>),
    /// The first case that fits the document says how some of its members translate.
    Cases(Vec<Case<T>>),
    /// One side's place is made from values of the other side, or of the request.
    Derived(Derived<T>),
    /// Members that no rule names are left out.
    Rest(Rest),
}

/// `old = new: {…}` in its general form.
#[derive(Debug, Clone)]
pub struct Equation<T> {
    /// Old side.
    pub olds: Vec<Place>,
    /// New side.
    pub news: Vec<Place>,
    /// How the value changes, old to new.
    pub via: Convert<T>,
    /// The new side's value where the source has none, as JSON text.
    pub default: Option<String>,
    /// What becomes of a value that does not convert.
    pub unfit: Unfit,
    /// When the rule applies.
    pub when: When,
    /// How the variable part of names changes, old to new.
    pub keys: Option<Convert<T>>,
    /// The kind of values that a rule over names with a variable part takes; others are none of its business.
    pub only: Option<Kind>,
}

/// `{added: place, from: …}` and `{removed: place, from: …}`.
#[derive(Debug, Clone)]
pub struct Derived<T> {
    /// Whether the place is on the new side.
    pub is_new: bool,
    /// The place that is written on its own side, and left out on the way to the other.
    pub place: Place,
    /// What it is made from; nothing but the default where there is none.
    pub from: Option<From>,
    /// How that changes.
    pub via: Convert<T>,
    /// Its value where there is nothing to make it from, as JSON text.
    pub default: Option<String>,
    /// What becomes of a value that does not convert.
    pub unfit: Unfit,
    /// When the rule applies.
    pub when: When,
}

/// What a derived value is made from.
#[derive(Debug, Clone)]
pub enum From {
    /// The value at one place.
    Place(Place),
    /// A text or structure with `$place` and `{place}` in it.
    Pattern(Pattern),
    /// What a query selects, reduced to one value.
    Query(Query, Reduce),
}

/// How several values become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reduce {
    /// Their exact sum.
    Sum,
    /// How many there are.
    Count,
    /// The first.
    First,
    /// The last.
    Last,
    /// The smallest number.
    Min,
    /// The greatest number.
    Max,
    /// Texts joined by a separator.
    Join(String),
    /// All of them as a list.
    List,
    /// Whether there is any.
    Any,
}

/// Which side's unnamed members are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Those of old documents.
    pub old: bool,
    /// Those of new documents.
    pub new: bool,
}

/// Conditions on the source document, one a direction; none: always.
#[derive(Debug, Clone)]
pub struct When {
    /// On old documents (the way up).
    pub old: Option<Query>,
    /// On new documents (the way down).
    pub new: Option<Query>,
}

impl When {
    /// Always.
    pub const ALWAYS: Self = Self { old: None, new: None };

    /// Whether there is no condition.
    pub fn is_always(&self) -> bool {
        self.old.is_none() && self.new.is_none()
    }
}

/// What becomes of a value that does not convert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// The document is refused.
    Refuse,
    /// The value is left out.
    Drop,
    /// The value passes as it is.
    Pass,
    /// The old side's value, and the new side's where given, as JSON text.
    Else(Option<String>, Option<String>),
}

/// How a value changes on its way.
#[derive(Debug, Clone)]
pub enum Convert<T> {
    /// By one codec.
    Value(Codec),
    /// It is a document of a type.
    As(T),
    /// Each element of a list changes.
    Each(Box<Each<T>>),
    /// Each value of a dictionary changes.
    Values(Box<Convert<T>>),
    /// One conversion after another, in this order from old to new.
    Chain(Vec<Convert<T>>),
    /// The same conversion with its sides exchanged.
    Flip(Box<Convert<T>>),
    /// The first case whose form fits.
    Cases(Vec<Case<T>>),
    /// A value that may also be a list of such values.
    OneOrMany(Box<Convert<T>>),
    /// A list of lists, one list of all their elements.
    Flatten,
    /// An address of the service.
    Link,
    /// A dictionary, a list of its entries.
    Entries(Entries),
    /// A flat form with paths as names, a tree.
    Flat(Flat),
    /// The path of a field, as rules of a type rename it.
    Names(Names<T>),
    /// It stays, but must be of this kind.
    Is(Kind),
    /// By an expression for each direction.
    Cel(Box<Cel>),
}

/// `each:` with its options.
#[derive(Debug, Clone)]
pub struct Each<T> {
    /// What changes each element.
    pub of: Convert<T>,
    /// The place inside an old element that tells elements apart on a write.
    pub key: Option<Place>,
    /// What becomes of an element that does not convert.
    pub unfit: Unfit,
}

/// `{k: v}` <-> `[{<key>: k, <value>: v}]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    /// The member that holds the name.
    pub key: String,
    /// The member that holds the value; none: the value's own members stand beside the key.
    pub value: Option<String>,
    /// Whether entries are written in the order of their names.
    pub sort: bool,
    /// Which of several entries of one name counts; none: they are refused.
    pub last_wins: bool,
}

/// `{"a.b.1": v}` <-> `{"a": {"b": [v]}}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flat {
    /// `a[b][0]`, as forms of Rails, PHP and Stripe write it.
    Brackets,
    /// `a.b.member.1`: names joined by a separator, elements counted from 1 behind a marker.
    Joined {
        /// Between names.
        separator: String,
        /// Before an element's number; empty: the number alone.
        list: String,
    },
}

/// Texts that name fields.
#[derive(Debug, Clone)]
pub struct Names<T> {
    /// The type whose rules rename them.
    pub of: T,
    /// How a path is written.
    pub style: NameStyle,
    /// Between several names in one text.
    pub list: Option<String>,
}

/// How a field's path is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameStyle {
    /// `address.line1`
    Dots,
    /// `/address/line1` (RFC 6901).
    Pointer,
    /// `address[line1]`
    Brackets,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Names of JSON types; empty: any.
    pub types: Vec<JsonType>,
    /// Values, as JSON text; empty: any.
    pub values: Vec<String>,
    /// Must not be so.
    pub negated: bool,
}

/// A JSON type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// `null`
    Null,
    /// A boolean.
    Boolean,
    /// A number.
    Number,
    /// A number without fraction.
    Integer,
    /// A text.
    String,
    /// A list.
    Array,
    /// An object.
    Object,
}

/// `cel: {up: …, down: …}`, the last resort.
#[derive(Debug, Clone)]
pub struct Cel {
    /// From old to new.
    pub up: String,
    /// From new to old.
    pub down: String,
}

/// One way in which a document or value may look, on both sides.
#[derive(Debug, Clone)]
pub struct Case<T> {
    /// Further conditions.
    pub when: When,
    /// Its form on the old side.
    pub old: Pattern,
    /// Its form on the new side.
    pub new: Pattern,
    /// How variables change, old to new.
    pub with: Vec<(String, Convert<T>)>,
    /// Further rules of documents of this form.
    pub rules: Option<T>,
}

/// The form of a value: what it must be, and what of it has a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// Exactly this value, as JSON text.
    Literal(String),
    /// Any value, which the variable then stands for.
    Variable(String),
    /// Read: anything, or nothing at all. Written: this.
    Default(Box<Pattern>),
    /// A text with variable parts.
    Text(Vec<Part>),
    /// A value of the document or the request; only where a value is made.
    Place(Place),
    /// An object with at least these members.
    Object(Vec<Member>),
    /// A list of these elements.
    List {
        /// Before the repeated ones.
        first: Vec<Pattern>,
        /// What the elements between look like, any number of them.
        each: Option<Box<Pattern>>,
        /// Behind the repeated ones.
        last: Vec<Pattern>,
    },
    /// A list of these elements in any order.
    Set(Vec<Pattern>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// This text.
    Text(String),
    /// A variable's text.
    Variable(String),
    /// The text of a value of the document or the request.
    Place(Place),
}

/// A member of an object pattern.
#[derive(Debug, Clone, PartialEq)]
pub enum Member {
    /// `name: …`, or `name?: …` where it may be absent.
    Named {
        /// Its name.
        name: String,
        /// Whether it may be absent.
        optional: bool,
        /// Its form.
        value: Pattern,
    },
    /// `"{k}": …`: every further member.
    Every {
        /// Text before the variable part of the name.
        prefix: String,
        /// The variable that stands for it.
        variable: String,
        /// Text behind it.
        suffix: String,
        /// The form of the values.
        value: Pattern,
    },
    /// `"...": $rest`: an object of all further members.
    Rest(String),
}
