//! A document that can be changed: for generating, editing and shrinking. Numbers keep their spelling.

use std::fmt::Write as _;

use crate::json::{Decimal, MAX_DEPTH, Tree, TreeKind, separate, write_name, write_string};

/// A JSON value of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number's text.
    Number(String),
    /// A string's text, unescaped.
    String(String),
    /// Elements.
    Array(Vec<Value>),
    /// Members, no name twice.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// Reads a document; `None` where it is not one that the engine accepts.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Tree::parse(text, MAX_DEPTH).ok().map(|tree| Self::of(&tree))
    }

    /// A copy of a tree.
    pub fn of(tree: &Tree<'_>) -> Self {
        match &tree.kind {
            TreeKind::Null => Self::Null,
            TreeKind::Bool(value) => Self::Bool(*value),
            TreeKind::Number => Self::Number(String::from_utf8_lossy(tree.raw).into_owned()),
            TreeKind::String => Self::String(tree.text().unwrap_or_default().into_owned()),
            TreeKind::Array(elements) => Self::Array(elements.iter().map(Self::of).collect()),
            TreeKind::Object(members) => {
                Self::Object(members.iter().map(|(name, value)| (name.to_string(), Self::of(value))).collect())
            }
        }
    }

    /// JSON text without white space.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Number(text) => out.extend_from_slice(text.as_bytes()),
            Self::String(text) => write_string(text, out),
            Self::Array(elements) => {
                out.push(b'[');
                for element in elements {
                    separate(out);
                    element.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (name, value) in members {
                    write_name(name, out);
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// One member a line, names sorted: for comparing by eye.
    pub fn to_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.add_lines(0, "", "", &mut lines);
        lines
    }

    fn add_lines(&self, depth: usize, name: &str, end: &str, lines: &mut Vec<String>) {
        let indent = "  ".repeat(depth);
        match self {
            Self::Object(members) if !members.is_empty() => {
                lines.push(format!("{indent}{name}{{"));
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                for (index, (key, value)) in sorted.iter().enumerate() {
                    let comma = if index + 1 < sorted.len() { "," } else { "" };
                    let key = String::from_utf8_lossy(&Self::String(key.clone()).to_json()).into_owned();
                    value.add_lines(depth + 1, &format!("{key}: "), comma, lines);
                }
                lines.push(format!("{indent}}}{end}"));
            }
            Self::Array(elements) if !elements.is_empty() => {
                lines.push(format!("{indent}{name}["));
                for (index, value) in elements.iter().enumerate() {
                    let comma = if index + 1 < elements.len() { "," } else { "" };
                    value.add_lines(depth + 1, "", comma, lines);
                }
                lines.push(format!("{indent}]{end}"));
            }
            other => {
                let mut line = format!("{indent}{name}");
                // Writing to a string cannot fail.
                let _ = write!(line, "{}{end}", String::from_utf8_lossy(&other.to_json()));
                lines.push(line);
            }
        }
    }

    /// Equal as JSON: members in any order, numbers by value.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => {
                a == b || matches!((Decimal::parse(a), Decimal::parse(b)), (Some(a), Some(b)) if a == b)
            }
            (Self::Array(a), Self::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, value)| other.get(name).is_some_and(|it| value.same(it)))
            }
            _ => self == other,
        }
    }

    /// A member.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A member, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => members.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value at a path of member names.
    pub fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }

    /// The value at a path of member names, to change it.
    pub fn at_mut(&mut self, path: &[String]) -> Option<&mut Self> {
        path.iter().try_fold(self, |value, name| value.get_mut(name))
    }

    /// Puts a value at a path, making parents.
    pub fn set(&mut self, path: &[String], value: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        if self.get(first).is_none()
            && let Self::Object(members) = self
        {
            members.push((first.clone(), Self::Null));
        }
        if let Some(member) = self.get_mut(first) {
            member.set(rest, value);
        }
    }

    /// Removes the value at a path.
    pub fn remove(&mut self, path: &[String]) {
        let Some((last, parents)) = path.split_last() else { return };
        if let Some(Self::Object(members)) = self.at_mut(parents) {
            members.retain(|(name, _)| name != last);
        }
    }
}
