//! Forms of values: YAML that looks like the documents, with `$variables` where they differ.

use super::Parser;
use crate::diagnostic::codes;
use crate::rules::mapping::{Member, Part, Pattern};
use crate::rules::yaml::{Node, Plain};

/// What `$name` in a form stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Whatever stands there in the other form.
    Variables,
    /// The value at a place.
    Places,
}

impl Parser<'_> {
    /// The form of a value.
    pub(super) fn pattern(&mut self, node: &Node, names: Names) -> Option<Pattern> {
        if let Some(members) = node.as_map() {
            return self.object_pattern(node, members, names);
        }
        if let Some(elements) = node.as_list() {
            return self.list_pattern(elements, names);
        }
        let text = node.as_str().unwrap_or_default();
        if node.as_plain().is_some_and(|plain| plain != Plain::Text) {
            return self.json(node).map(|json| Pattern::Literal(json.value));
        }
        if let Some(literal) = text.strip_prefix("$$") {
            return Some(Pattern::Literal(quoted(&format!("${literal}"))));
        }
        if let Some(name) = text.strip_prefix('$') {
            return self.variable(node, text, name, names);
        }
        if !text.contains(['{', '}']) {
            return Some(Pattern::Literal(quoted(text)));
        }
        let parts = self.parts(node, text, names)?;
        match parts.as_slice() {
            [] | [Part::Text(_)] => {
                let text: String =
                    parts.iter().map(|part| if let Part::Text(text) = part { text } else { "" }).collect();
                Some(Pattern::Literal(quoted(&text)))
            }
            _ => Some(Pattern::Text(parts)),
        }
    }

    fn variable(&mut self, node: &Node, text: &str, name: &str, names: Names) -> Option<Pattern> {
        let is_request = ["$request", "$old_request", "$new_request"]
            .iter()
            .any(|view| text.strip_prefix(view).is_some_and(|rest| rest.starts_with(['.', '['])));
        if is_request {
            return self.place_of(node, text).map(Pattern::Place);
        }
        if names == Names::Places {
            let path = if name.is_empty() { "." } else { name };
            return self.place_of(node, path).map(Pattern::Place);
        }
        if name.chars().all(|one| one.is_alphanumeric() || one == '_') {
            return Some(Pattern::Variable(name.to_owned()));
        }
        self.diagnostics
            .error(codes::R19, node.span, format!("`{text}` is not a variable"))
            .help("a variable is `$` and letters, digits or `_`; for a text that begins with `$` write `$$`");
        None
    }

    /// The parts of a text with `{variables}`.
    fn parts(&mut self, node: &Node, text: &str, names: Names) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if let Some(behind) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                plain.push_str(brace.get(..1).unwrap_or_default());
                rest = behind;
                continue;
            }
            let Some((name, behind)) = brace.strip_prefix('{').and_then(|brace| brace.split_once('}')) else {
                self.diagnostics
                    .error(codes::R19, node.span, "a brace without its partner")
                    .help("a variable part is `{name}`; a literal brace is doubled, `{{`");
                return None;
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            } else if matches!(parts.last(), Some(Part::Variable(_))) && names == Names::Variables {
                self.diagnostics
                    .error(codes::E10, node.span, "two variables without a text between them")
                    .help("nothing says where one ends and the other begins");
                return None;
            }
            let name = name.strip_prefix('$').filter(|name| name.is_empty()).unwrap_or(name);
            let written = if name.starts_with('$') { name.to_owned() } else { format!("${name}") };
            let variable = self.variable(node, &written, name, names)?;
            parts.push(match variable {
                Pattern::Place(place) => Part::Place(place),
                _ => Part::Variable(name.to_owned()),
            });
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Some(parts)
    }

    fn object_pattern(&mut self, node: &Node, members: &[(Node, Node)], names: Names) -> Option<Pattern> {
        if let [(key, value)] = members {
            match key.as_str().unwrap_or_default() {
                "$default" => return self.pattern(value, names).map(|value| Pattern::Default(Box::new(value))),
                "$literal" => return self.json(value).map(|json| Pattern::Literal(json.value)),
                "$set" => {
                    let all = self.list(value, "`$set`")?;
                    return all.iter().map(|one| self.pattern(one, names)).collect::<Option<_>>().map(Pattern::Set);
                }
                "$each" => return self.list_pattern(std::slice::from_ref(node), names),
                _ => {}
            }
        }
        let mut made = Vec::new();
        let mut sound = true;
        for (key, value) in members {
            let member = self.member_pattern(key, value, names);
            sound &= member.is_some();
            made.extend(member);
        }
        sound.then_some(Pattern::Object(made))
    }

    fn member_pattern(&mut self, key: &Node, value: &Node, names: Names) -> Option<Member> {
        let text = key.as_str().unwrap_or_default();
        if text == "..." {
            let Some(Pattern::Variable(name)) = self.pattern(value, Names::Variables) else {
                self.shape(value, "`...`", "a variable, such as `$rest`");
                return None;
            };
            return Some(Member::Rest(name));
        }
        let value = self.pattern(value, names)?;
        if text.contains(['{', '}']) {
            return match self.parts(key, text, Names::Variables)?.as_slice() {
                [Part::Text(name)] => Some(Member::Named { name: name.clone(), optional: false, value }),
                [Part::Variable(variable)] => Some(every("", variable, "", value)),
                [Part::Text(prefix), Part::Variable(variable)] => Some(every(prefix, variable, "", value)),
                [Part::Variable(variable), Part::Text(suffix)] => Some(every("", variable, suffix, value)),
                [Part::Text(prefix), Part::Variable(variable), Part::Text(suffix)] => {
                    Some(every(prefix, variable, suffix, value))
                }
                _ => {
                    self.diagnostics.error(codes::R19, key.span, "more than one variable part in a member's name");
                    None
                }
            };
        }
        let (name, optional) = match text.strip_suffix('?') {
            Some(name) if !name.is_empty() => (name, true),
            _ => (text, false),
        };
        Some(Member::Named { name: name.to_owned(), optional, value })
    }

    fn list_pattern(&mut self, elements: &[Node], names: Names) -> Option<Pattern> {
        let (mut first, mut each, mut last) = (Vec::new(), None, Vec::new());
        for element in elements {
            let repeated = match element.as_map() {
                Some([(key, value)]) if key.as_str() == Some("$each") => Some(value),
                _ => None,
            };
            match repeated {
                Some(value) if each.is_none() => each = Some(Box::new(self.pattern(value, names)?)),
                Some(value) => {
                    self.diagnostics
                        .error(codes::E10, value.span, "a second `$each` in one list")
                        .help("nothing says where the elements of one end and those of the other begin");
                    return None;
                }
                None if each.is_some() => last.push(self.pattern(element, names)?),
                None => first.push(self.pattern(element, names)?),
            }
        }
        Some(Pattern::List { first, each, last })
    }
}

fn every(prefix: &str, variable: &str, suffix: &str, value: Pattern) -> Member {
    Member::Every { prefix: prefix.to_owned(), variable: variable.to_owned(), suffix: suffix.to_owned(), value }
}

fn quoted(text: &str) -> String {
    let mut json = String::new();
    crate::rules::yaml::quote(text, &mut json);
    json
}
