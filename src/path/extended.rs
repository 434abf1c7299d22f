//! Steps of places that are more than a member's name.

use std::fmt;

/// One step of a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of this name.
    Name(String),
    /// Every member that no other rule owns and whose name has this form; its variable part stands for itself on the
    /// other side.
    Pattern {
        /// Text before the variable part.
        prefix: String,
        /// The variable's name.
        variable: String,
        /// Text behind it.
        suffix: String,
    },
    /// The member whose name is a value of the request.
    Asked {
        /// Text before the value.
        prefix: String,
        /// Whose view of the request.
        view: View,
        /// Where in it.
        path: Vec<String>,
        /// Text behind it.
        suffix: String,
    },
    /// The list's element of this index.
    Index(usize),
    /// The list's first element that has these members: paths and JSON values.
    Find(Vec<(Vec<String>, String)>),
    /// The list's elements that no other rule owns.
    Rest,
}

/// Whose view of the request a place of it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// As the version that the place's document comes from sees it.
    Source,
    /// As the old version sees it.
    Old,
    /// As the new version sees it.
    New,
}

impl fmt::Display for View {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Source => "$request",
            Self::Old => "$old_request",
            Self::New => "$new_request",
        })
    }
}

impl View {
    /// Takes `$request`, `$old_request` or `$new_request` from the start of a place.
    pub(super) fn strip(text: &str) -> (Option<Self>, &str) {
        for (view, name) in [(Self::Source, "$request"), (Self::Old, "$old_request"), (Self::New, "$new_request")] {
            if let Some(rest) = text.strip_prefix(name)
                && (rest.is_empty() || rest.starts_with(['.', '[']))
            {
                return (Some(view), rest);
            }
        }
        (None, text)
    }
}

impl Step {
    /// Reads a name with a variable part: `x-{name}`, `{name}`, `{$request.path.id}`.
    pub(super) fn pattern(text: &str) -> Result<Self, &'static str> {
        let (mut before, mut inside, mut after) = (String::new(), None, String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (plain, brace) = rest.split_at(at);
            let target = if inside.is_some() { &mut after } else { &mut before };
            target.push_str(plain);
            if let Some(behind) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                target.push_str(brace.get(..1).unwrap_or_default());
                rest = behind;
                continue;
            }
            let Some((name, behind)) = brace.strip_prefix('{').and_then(|brace| brace.split_once('}')) else {
                return Err("a brace without its partner");
            };
            if inside.is_some() {
                return Err("a second variable part in one name");
            }
            inside = Some(name.trim());
            rest = behind;
        }
        let target = if inside.is_some() { &mut after } else { &mut before };
        target.push_str(rest);
        let Some(name) = inside else { return Ok(Self::Name(before)) };
        if let (Some(view), path) = View::strip(name) {
            let path = super::parse(path.trim_start_matches('.')).map_err(|_| "not a value of the request")?;
            return Ok(Self::Asked { prefix: before, view, path, suffix: after });
        }
        if name.is_empty() || !name.chars().all(|one| one.is_alphanumeric() || one == '_') {
            return Err("a variable's name is letters, digits and `_`");
        }
        Ok(Self::Pattern { prefix: before, variable: name.to_owned(), suffix: after })
    }

    /// Reads what stands between brackets: `0`, `...`, `type=home, primary=true`.
    pub(super) fn selector(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "..." {
            return Some(Self::Rest);
        }
        if !text.is_empty() && text.bytes().all(|one| one.is_ascii_digit()) {
            return text.parse().ok().filter(|index| *index < 10_000).map(Self::Index);
        }
        let conditions = split_outside(text, ',').into_iter().map(|part| {
            let (path, value) = part.split_once('=')?;
            let path = super::parse(path.trim()).ok()?;
            (!path.is_empty()).then_some((path, literal(value.trim())?))
        });
        conditions.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()).map(Self::Find)
    }

    /// What a name binds the variable to, if it has the form.
    pub fn capture<'n>(&self, name: &'n str) -> Option<&'n str> {
        let Self::Pattern { prefix, suffix, .. } = self else { return None };
        let rest = name.get(prefix.len()..).filter(|_| name.starts_with(prefix.as_str()))?;
        rest.strip_suffix(suffix.as_str()).filter(|inner| !inner.is_empty() || prefix.is_empty() && suffix.is_empty())
    }

    /// How exact a pattern is: of two that fit, the longer one owns the name.
    pub fn exactness(&self) -> usize {
        match self {
            Self::Pattern { prefix, suffix, .. } => prefix.len() + suffix.len(),
            _ => usize::MAX,
        }
    }
}

/// Where the bracket that is open closes, outside of quotes.
pub(super) fn bracket_end(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, one) in text.char_indices() {
        match (quote, one) {
            (Some(open), _) if one == open => quote = None,
            (None, '\'' | '"') => quote = Some(one),
            (None, ']') => return Some(at),
            _ => {}
        }
    }
    None
}

fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quote) = (Vec::new(), 0, None);
    for (at, one) in text.char_indices() {
        match (quote, one) {
            (Some(open), _) if one == open => quote = None,
            (None, '\'' | '"') => quote = Some(one),
            (None, _) if one == separator => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + one.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// A value as JSON text: quoted or bare text, a number, `true`, `false` or `null`.
fn literal(text: &str) -> Option<String> {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = quoted('\'').or_else(|| quoted('"')) {
        let mut out = Vec::new();
        crate::json::write_string(inner, &mut out);
        return String::from_utf8(out).ok();
    }
    if text.is_empty() || text.contains(['\'', '"']) {
        return None;
    }
    if matches!(text, "true" | "false" | "null") || crate::json::Decimal::parse(text).is_some() {
        return Some(text.to_owned());
    }
    let mut out = Vec::new();
    crate::json::write_string(text, &mut out);
    String::from_utf8(out).ok()
}

/// Whether two places may own the same value, or one a value inside the other's.
pub(super) fn overlap(left: &[Step], right: &[Step]) -> bool {
    left.iter().zip(right).all(|pair| match pair {
        // A pattern and the rest own only what no other rule owns.
        (Step::Pattern { .. }, Step::Name(_))
        | (Step::Name(_), Step::Pattern { .. })
        | (Step::Rest, Step::Index(_) | Step::Find(_))
        | (Step::Index(_) | Step::Find(_), Step::Rest) => false,
        (left @ Step::Pattern { .. }, right @ Step::Pattern { .. }) => {
            left.exactness() == right.exactness() && same_form(left, right)
        }
        (left, right) => left == right,
    })
}

fn same_form(left: &Step, right: &Step) -> bool {
    match (left, right) {
        (Step::Pattern { prefix: a, suffix: b, .. }, Step::Pattern { prefix: c, suffix: d, .. }) => a == c && b == d,
        _ => false,
    }
}

/// Writes steps as they are read.
pub(super) fn write(steps: &[Step], first: bool, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, step) in steps.iter().enumerate() {
        let dot = if first && index == 0 { "" } else { "." };
        match step {
            Step::Name(name) => {
                let text = super::parse::Shown(std::slice::from_ref(name)).to_string();
                let text = text.trim_start_matches('$');
                let dot = if text.starts_with('[') { "" } else { dot };
                write!(out, "{dot}{text}")?;
            }
            Step::Pattern { prefix, variable, suffix } => write!(out, "{dot}{prefix}{{{variable}}}{suffix}")?,
            Step::Asked { prefix, view, path, suffix } => {
                write!(out, "{dot}{prefix}{{{view}.{}}}{suffix}", path.join("."))?;
            }
            Step::Index(index) => write!(out, "[{index}]")?,
            Step::Find(conditions) => {
                let shown: Vec<String> =
                    conditions.iter().map(|(path, value)| format!("{}={value}", path.join("."))).collect();
                write!(out, "[{}]", shown.join(", "))?;
            }
            Step::Rest => out.write_str("[...]")?,
        }
    }
    Ok(())
}
