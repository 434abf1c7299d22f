//! YAML values as exact JSON text.

use std::fmt::Write as _;

use super::{Kind, Node};
use crate::diagnostic::Span;

/// What a plain scalar means by the YAML 1.2 core schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `True`, `TRUE` and their opposites.
    Bool(bool),
    /// A number whose text is JSON as it stands.
    Number,
    /// Some reader takes it for a number, but it is not JSON: `012`, `1_000`, `0x1F`, `.5`, `+1`, `.inf`, `.nan`.
    Unclear,
    /// A string.
    Text,
}

/// Why a node has no exact JSON form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotJson {
    /// The scalar.
    pub span: Span,
    /// What is wrong with it.
    pub message: String,
    /// How to mend it.
    pub help: String,
}

/// What a plain scalar's text means.
pub fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Bool(true),
        "false" | "False" | "FALSE" => Plain::Bool(false),
        _ if is_json_number(text) => Plain::Number,
        _ if looks_like_a_number(text) => Plain::Unclear,
        _ => Plain::Text,
    }
}

/// The node as JSON text: numbers keep their spelling, members their order.
///
/// # Errors
/// The first plain scalar that is nearly a number but not JSON.
pub fn to_json(node: &Node) -> Result<String, NotJson> {
    let mut out = String::new();
    write_json(node, &mut out)?;
    Ok(out)
}

// Recursion is bounded: a tree is never deeper than the limit it was read with.
fn write_json(node: &Node, out: &mut String) -> Result<(), NotJson> {
    match &node.kind {
        Kind::Scalar { text, plain: false } => quote(text, out),
        Kind::Scalar { text, plain: true } => match plain(text) {
            Plain::Null => out.push_str("null"),
            Plain::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Plain::Number => out.push_str(text),
            Plain::Text => quote(text, out),
            Plain::Unclear => {
                return Err(NotJson {
                    span: node.span,
                    message: format!("`{text}` is not a JSON number"),
                    help: format!("write `\"{text}\"` for the string, or the number as JSON spells it"),
                });
            }
        },
        Kind::List(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(element, out)?;
            }
            out.push(']');
        }
        Kind::Map(members) => {
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                quote(key.as_str().unwrap_or_default(), out);
                out.push(':');
                write_json(value, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// Appends a JSON string literal (RFC 8259, 7): only what must be escaped is.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// RFC 8259, 6.
fn is_json_number(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let (whole, rest) = digits(rest);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
        return false;
    }
    let rest = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => match digits(fraction) {
            ("", _) => return false,
            (_, rest) => rest,
        },
    };
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let (power, rest) = digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
            !power.is_empty() && rest.is_empty()
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Numbers of YAML 1.1 and 1.2 that JSON does not have.
fn looks_like_a_number(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" = rest {
        return true;
    }
    let based = |prefix: &str, radix: u32| {
        rest.strip_prefix(prefix)
            .is_some_and(|tail| !tail.is_empty() && tail.chars().all(|one| one == '_' || one.is_digit(radix)))
    };
    if based("0x", 16) || based("0o", 8) || based("0b", 2) {
        return true;
    }
    // Digits with `_` between them, a fraction, an exponent: every spelling some reader would take for a number.
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (rest, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let number = |part: &str| part.chars().all(|one| one == '_' || one.is_ascii_digit());
    let starts = |part: &str| part.starts_with(|one: char| one.is_ascii_digit());
    number(whole)
        && number(fraction)
        && (starts(whole) || (whole.is_empty() && starts(fraction)))
        && exponent.is_none_or(|power| !power.is_empty() && power.chars().all(|one| one.is_ascii_digit()))
}
