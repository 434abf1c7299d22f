//! Route templates such as `GET /orders/{id}`.

use std::fmt::{self, Write as _};

use super::{PlaceError, percent};
use crate::diagnostic::Span;

/// One segment of a path template.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Matches this text, compared after percent-decoding. Empty only as the last one: a path that ends with `/`.
    Literal(String),
    /// Matches any one non-empty segment and names it.
    Param(String),
    /// Matches a segment with these texts around the named part.
    Part {
        /// Before it.
        prefix: String,
        /// Its name.
        name: String,
        /// Behind it.
        suffix: String,
    },
    /// Only as the last one: matches one or more segments, slashes included, and names them.
    Rest(String),
}

/// A query parameter that a template names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum QueryValue {
    /// It must have this value.
    Literal(String),
    /// It must be there; its value is a parameter of this name.
    Param(String),
}

/// A method and a path template. `*` as method matches every method.
#[derive(Debug, Clone)]
pub struct Template {
    /// Upper-case method name, or `*`.
    pub method: String,
    /// The path, split at `/`; `/` alone has no segments.
    pub segments: Vec<Segment>,
    /// Query parameters that a request must have: names and values, decoded.
    pub query: Vec<(String, QueryValue)>,
    /// Where it is written.
    pub span: Span,
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.method == other.method && self.segments == other.segments && self.query == other.query
    }
}
impl Eq for Template {}

/// A method, what each segment matches, and the query parameters that must be there.
pub type Shape<'t> = (&'t str, Vec<(&'t str, &'t str)>, Vec<(&'t str, Option<&'t str>)>);

/// Segments of one template.
const MAX_SEGMENTS: usize = 64;

impl Template {
    /// Reads `METHOD /path`.
    ///
    /// # Errors
    /// The first mistake, counted in bytes of `text`.
    pub fn parse(text: &str, span: Span) -> Result<Self, PlaceError> {
        let error = |at: std::ops::Range<usize>, message: &str, help: Option<&'static str>| {
            Err(PlaceError { at, message: message.to_owned(), help, over_limit: false })
        };
        let Some((method, path)) = text.split_once(' ') else {
            return error(0..text.len(), "expected a method and a path, such as `GET /orders/{id}`", None);
        };
        let is_method = |one: u8| one.is_ascii_uppercase() || one == b'-';
        if method != "*" && (method.is_empty() || !method.bytes().all(is_method)) {
            let help = "write methods in capitals, or `*` for any";
            return error(0..method.len(), &format!("`{method}` is not a method"), Some(help));
        }
        let path = path.trim_start();
        let mut at = text.len() - path.len();
        let (path, query) = match path.split_once('?') {
            None => (path, Vec::new()),
            Some((path, query)) => {
                if let Some(query) = parse_query(query) {
                    (path, query)
                } else {
                    let help = "write `?name=value`, or `?name={param}` for any value";
                    return error(at + path.len()..text.len(), "a query that cannot be read", Some(help));
                }
            }
        };
        let Some(rest) = path.strip_prefix('/') else {
            return error(at..text.len(), "a path starts with `/`", None);
        };
        at += 1;
        let mut segments: Vec<Segment> = Vec::new();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let here = at..at + part.len();
            at += part.len() + 1;
            let last = parts.peek().is_none();
            if part.is_empty() && last {
                if !segments.is_empty() {
                    segments.push(Segment::Literal(String::new()));
                }
                break;
            }
            let segment = match parse_segment(part) {
                Ok(segment) => segment,
                Err((within, message, help)) => {
                    return error(here.start + within.start..here.start + within.end, &message, help);
                }
            };
            if let Some(name) = segment.name()
                && segments.iter().any(|before| before.name() == Some(name))
            {
                return error(here, &format!("the parameter `{name}` appears twice"), None);
            }
            if matches!(segment, Segment::Rest(_)) && !last {
                return error(here, "`{name...}` must be the last segment", None);
            }
            segments.push(segment);
            if segments.len() > MAX_SEGMENTS {
                return Err(PlaceError {
                    at: 0..text.len(),
                    message: format!("the path has more than {MAX_SEGMENTS} segments"),
                    help: None,
                    over_limit: true,
                });
            }
        }
        Ok(Self { method: method.to_owned(), segments, query, span })
    }

    /// Parameter names in order.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        let of_query = self.query.iter().filter_map(|(_, value)| match value {
            QueryValue::Param(name) => Some(name.as_str()),
            QueryValue::Literal(_) => None,
        });
        self.segments.iter().filter_map(Segment::name).chain(of_query)
    }

    /// Whether both have the same path, whatever their parameters are called.
    pub fn is_of_shape(&self, other: &Self) -> bool {
        let same = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Param(_), Segment::Param(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
            (a, b) => a == b,
        };
        self.segments.len() == other.segments.len() && self.segments.iter().zip(&other.segments).all(same)
    }

    /// What it matches, whatever its parameters are called. Two templates that match one request and of which neither
    /// is more specific have equal shapes; and only those.
    pub fn shape(&self) -> Shape<'_> {
        let texts = self.segments.iter().map(|one| match one {
            Segment::Literal(text) => ("=", text.as_str()),
            Segment::Param(_) => ("{}", ""),
            Segment::Part { prefix, suffix, .. } => (prefix.as_str(), suffix.as_str()),
            Segment::Rest(_) => ("...", ""),
        });
        let mut query: Vec<(&str, Option<&str>)> = self
            .query
            .iter()
            .map(|(name, value)| match value {
                QueryValue::Literal(text) => (name.as_str(), Some(text.as_str())),
                QueryValue::Param(_) => (name.as_str(), None),
            })
            .collect();
        query.sort_unstable();
        (&self.method, texts.collect(), query)
    }

    /// Of several templates that match one request, the one with the greatest specificity wins: at the first segment
    /// that differs a literal beats a parameter; of equal paths, a named method beats `*`.
    pub fn specificity(&self) -> (Vec<usize>, usize, bool) {
        let rank = |one: &Segment| match one {
            Segment::Literal(_) => usize::MAX,
            Segment::Part { prefix, suffix, .. } => 2 + prefix.len() + suffix.len(),
            Segment::Param(_) => 2,
            Segment::Rest(_) => 1,
        };
        let literal = |(_, value): &&(String, QueryValue)| matches!(value, QueryValue::Literal(_));
        let query = self.query.len() + self.query.iter().filter(literal).count();
        (self.segments.iter().map(rank).collect(), query, self.method != "*")
    }
}

type Mistake = (std::ops::Range<usize>, String, Option<&'static str>);

fn parse_segment(part: &str) -> Result<Segment, Mistake> {
    let whole = 0..part.len();
    let mistake = |message: &str, help| Err((whole.clone(), message.to_owned(), help));
    if part.is_empty() {
        return mistake("an empty segment", None);
    }
    if let Some(name) =
        part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).filter(|name| !name.contains('{'))
    {
        if let Some(name) = name.strip_suffix("...").filter(|name| !name.is_empty()) {
            return Ok(Segment::Rest(name.to_owned()));
        }
        let plain = |one: char| one.is_alphanumeric() || one == '_' || one == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return mistake("a parameter needs a name of letters, digits, `_` and `-`", None);
        }
        return Ok(Segment::Param(name.to_owned()));
    }
    if let Some((before, rest)) = part.split_once('{') {
        let Some((name, after)) = rest.split_once('}') else {
            return mistake("a brace without its partner", None);
        };
        let plain = |one: char| one.is_alphanumeric() || one == '_' || one == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return mistake("a parameter needs a name of letters, digits, `_` and `-`", None);
        }
        if after.contains(['{', '}']) {
            return mistake("two parameters in one segment", Some("take the segment whole, and apart by a rule"));
        }
        let mut texts = Vec::new();
        for text in [before, after] {
            texts.push(match text {
                "" => String::new(),
                text => match parse_segment(text) {
                    Ok(Segment::Literal(text)) => text,
                    Ok(_) => return mistake("a brace without its partner", None),
                    Err(error) => return Err(error),
                },
            });
        }
        let (suffix, prefix) = (texts.pop().unwrap_or_default(), texts.pop().unwrap_or_default());
        return Ok(Segment::Part { prefix, name: name.to_owned(), suffix });
    }
    if part.contains('}') {
        return mistake("a brace without its partner", None);
    }
    let odd = |one: char| one.is_whitespace() || one.is_control() || "?#\\\"<>^`|".contains(one);
    if let Some((at, one)) = part.char_indices().find(|(_, one)| odd(*one)) {
        let help = (one == '?').then_some("query parameters are places: `query.limit`");
        return Err((at..at + one.len_utf8(), format!("`{one}` cannot stand in a path"), help));
    }
    let Some(text) = percent::decode(part) else {
        return mistake("a broken percent-encoding", Some("`%` and two hexadecimal digits, together UTF-8"));
    };
    if text == "." || text == ".." {
        return mistake(&format!("`{text}` leads out of the path"), None);
    }
    if text.contains('/') {
        return mistake("an encoded `/` in a literal", Some("services disagree about `%2F`; use a parameter"));
    }
    if text.contains(char::is_control) {
        return mistake("a control character", None);
    }
    Ok(Segment::Literal(text))
}

/// `a=b&c={d}`; nothing where it is not of that form.
fn parse_query(text: &str) -> Option<Vec<(String, QueryValue)>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = match value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => QueryValue::Param(name.to_owned()),
            None => QueryValue::Literal(percent::decode(value)?),
        };
        (!name.is_empty()).then_some((percent::decode(name)?, value))
    };
    let pairs: Vec<(String, QueryValue)> = text.split('&').map(pair).collect::<Option<_>>()?;
    let twice = pairs.iter().enumerate().any(|(at, (name, _))| pairs.iter().take(at).any(|(before, _)| before == name));
    (!twice).then_some(pairs)
}

impl Segment {
    /// The parameter's name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Param(name) | Self::Part { name, .. } | Self::Rest(name) => Some(name),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ", self.method)?;
        if self.segments.is_empty() {
            out.write_char('/')?;
        }
        for segment in &self.segments {
            let encoded = |text: &str| {
                let mut encoded = String::new();
                percent::encode(text, percent::SEGMENT, &mut encoded);
                encoded
            };
            match segment {
                Segment::Param(name) => write!(out, "/{{{name}}}")?,
                Segment::Rest(name) => write!(out, "/{{{name}...}}")?,
                Segment::Part { prefix, name, suffix } => {
                    write!(out, "/{}{{{name}}}{}", encoded(prefix), encoded(suffix))?;
                }
                Segment::Literal(text) => write!(out, "/{}", encoded(text))?,
            }
        }
        for (index, (name, value)) in self.query.iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            match value {
                QueryValue::Literal(text) => write!(out, "{mark}{name}={text}")?,
                QueryValue::Param(param) => write!(out, "{mark}{name}={{{param}}}")?,
            }
        }
        Ok(())
    }
}
