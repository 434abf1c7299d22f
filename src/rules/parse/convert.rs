//! How a value changes: the map that a rule gives its conversion.

use super::pattern::Names as PatternNames;
use super::rule::Beside;
use super::{Parser, keys, short};
use crate::codecs;
use crate::diagnostic::{codes, suggest};
use crate::path::query::Query;
use crate::rules::ast::{Rule, TypeRef};
use crate::rules::manual;
use crate::rules::mapping::{
    Case, Cel, Convert, Each, Entries, Flat, JsonType, Kind, NameStyle, Names, Pattern, Unfit, When,
};
use crate::rules::yaml::{Node, Plain, get};

/// What a conversion is called, for messages.
pub(super) fn name_of(via: &Convert<TypeRef>) -> &'static str {
    match via {
        Convert::Value(codec) => codec.name(),
        Convert::As(_) => "as",
        Convert::Each(_) => "each",
        Convert::Values(_) => "values",
        Convert::Chain(_) => "via",
        Convert::Flip(_) => "flip",
        Convert::Cases(_) => "cases",
        Convert::OneOrMany(_) => "one_or_many",
        Convert::Flatten => "flatten",
        Convert::Link => "link",
        Convert::Entries(_) => "entries",
        Convert::Flat(_) => "flat",
        Convert::Names(_) => "names",
        Convert::Is(_) => "is",
        Convert::Cel(_) => "cel",
    }
}

impl Parser<'_> {
    /// Whether a key of a rule's map names a conversion.
    #[expect(clippy::unused_self, reason = "reads as one family with the parser's other questions")]
    pub(super) fn is_codec(&self, name: &str) -> bool {
        codecs::ALL.iter().any(|info| info.name == name) || manual::conversions().any(|page| page.name == name)
    }

    /// A type's name, a list of rules, or a map with a conversion.
    pub(super) fn convert(&mut self, node: &Node) -> Option<Convert<TypeRef>> {
        if node.as_str() == Some("same") {
            return Some(Convert::SAME);
        }
        match node.as_map() {
            None => self.type_ref(node).map(Convert::As),
            Some([]) => {
                self.shape(node, "a codec", "a map such as `{decimal: 2}`, or the name of a type");
                None
            }
            Some(map) => self.convert_map(node, map, &["loss"]),
        }
    }

    /// A conversion inside another, which is of one value.
    fn inner(&mut self, node: &Node) -> Option<Convert<TypeRef>> {
        let via = self.convert(node)?;
        self.check_inner(&via, node.span).then_some(via)
    }

    /// The one conversion of a map; `beside` are the other keys that may stand in it.
    pub(super) fn convert_map(
        &mut self,
        node: &Node,
        map: &[(Node, Node)],
        beside: &[&str],
    ) -> Option<Convert<TypeRef>> {
        let mut chosen: Option<&(Node, Node)> = None;
        for entry in map {
            let name = entry.0.as_str().unwrap_or_default();
            let option = |other: &(Node, Node)| self.options(other.0.as_str().unwrap_or_default()).contains(&name);
            if !self.is_codec(name) || map.iter().any(|other| !std::ptr::eq(other, entry) && option(other)) {
                continue;
            }
            if let Some((first, _)) = chosen {
                self.diagnostics
                    .error(codes::R11, entry.0.span, format!("a second codec, `{name}`, in one rule"))
                    .related(first.span, "the first codec")
                    .help("several in a row are written `via: [{…}, {…}]`, from old to new");
                return None;
            }
            chosen = Some(entry);
        }
        let name = chosen.and_then(|(key, _)| key.as_str());
        let known = self.check_options(map, name, beside);
        let (Some((_, value)), Some(name)) = (chosen, name) else {
            // Unknown keys are reported already; what the author meant by them is not to be guessed at.
            return known.then_some(Convert::SAME);
        };
        self.conversion(name, node, map, value)
    }

    #[expect(clippy::unused_self, reason = "reads as one family with the parser's other questions")]
    fn options(&self, codec: &str) -> &'static [&'static str] {
        let structural = manual::conversions().find(|page| page.name == codec).map(|page| page.options);
        let value = codecs::ALL.iter().find(|info| info.name == codec).map(|info| info.options);
        structural.or(value).unwrap_or_default()
    }

    /// Reports keys that mean nothing beside this codec; answers whether there was none.
    fn check_options(&mut self, map: &[(Node, Node)], codec: Option<&str>, beside: &[&str]) -> bool {
        let options = codec.map(|name| self.options(name)).unwrap_or_default();
        let mut sound = true;
        for (key, _) in map {
            let name = key.as_str().unwrap_or_default();
            if Some(name) == codec || beside.contains(&name) || options.contains(&name) {
                continue;
            }
            sound = false;
            let value_owner = codecs::ALL.iter().find(|info| info.options.contains(&name)).map(|info| info.name);
            let owner = manual::conversions().find(|page| page.options.contains(&name)).map(|page| page.name);
            let found = self.diagnostics.error(codes::R5, key.span, format!("unknown key `{}` in a rule", short(name)));
            if let Some(owner) = owner.or(value_owner) {
                found.help(format!("`{name}` belongs to `{owner}`"));
                continue;
            }
            if let Some((before, after)) = name.split_once(':') {
                found.help(format!("a colon needs a space behind it: `{}: {}`", short(before), short(after)));
                continue;
            }
            let structural = manual::conversions().map(|page| page.name);
            let known = codecs::ALL.iter().map(|info| info.name).chain(structural);
            let known = known.chain(beside.iter().copied()).chain(options.iter().copied());
            match suggest::closest(name, known) {
                Some(near) => found.help(format!("did you mean `{near}`?")),
                None => found.help("`bifocal explain` lists the codecs"),
            };
        }
        sound
    }

    fn conversion(&mut self, name: &str, node: &Node, map: &[(Node, Node)], value: &Node) -> Option<Convert<TypeRef>> {
        let option = |name: &str| get(map, name);
        Some(match name {
            "as" => Convert::As(self.type_ref(value)?),
            "each" => {
                let of = self.inner(value);
                let key = match option("key") {
                    None => None,
                    Some(node) => {
                        let text = self.text(node, "`key`")?.value;
                        Some(self.place(node, 0, text.len())?)
                    }
                };
                let unfit = option("unfit").map_or(Some(Unfit::Refuse), |node| self.unfit(node))?;
                Convert::Each(Box::new(Each { of: of?, key, unfit }))
            }
            "values" => Convert::Values(Box::new(self.inner(value)?)),
            "flip" => Convert::Flip(Box::new(self.convert(value)?)),
            "one_or_many" => Convert::OneOrMany(Box::new(self.inner(value)?)),
            "via" => {
                let list = self.list(value, "`via`")?;
                Convert::Chain(list.iter().map(|one| self.inner(one)).collect::<Option<_>>()?)
            }
            "cases" => Convert::Cases(self.cases(value)?),
            "wrap" => {
                let new = self.pattern(value, PatternNames::Variables)?;
                let with = option("with").map_or(Some(Vec::new()), |node| self.with(node))?;
                let old = Pattern::Variable(String::new());
                Convert::Cases(vec![Case { when: When::ALWAYS, old, new, with, rules: None }])
            }
            "flatten" => {
                self.switch(name, value, "without it lists stay as they are")?;
                Convert::Flatten
            }
            "link" => {
                self.switch(name, value, "without it addresses stay as they are")?;
                Convert::Link
            }
            "entries" => Convert::Entries(self.entries(value)?),
            "flat" => Convert::Flat(self.flat(value)?),
            "names" => {
                let of = self.type_ref(value)?;
                let style = match option("style").map(|node| (node, node.as_str())) {
                    None | Some((_, Some("dots"))) => NameStyle::Dots,
                    Some((_, Some("pointer"))) => NameStyle::Pointer,
                    Some((_, Some("brackets"))) => NameStyle::Brackets,
                    Some((node, _)) => {
                        self.shape(node, "`style`", "`dots`, `pointer` or `brackets`");
                        return None;
                    }
                };
                let list = match option("list") {
                    None => None,
                    Some(node) => Some(self.text(node, "`list`")?.value),
                };
                Convert::Names(Names { of, style, list })
            }
            "is" => Convert::Is(self.kind(value, false)?),
            "not" => Convert::Is(self.kind(value, true)?),
            "cel" => {
                let members = self.members(value, "`cel`", keys::CEL)?;
                let (Some(up), Some(down)) = (members.get("up"), members.get("down")) else {
                    self.missing(value.span, "`cel`", "up` and `down", "an expression for each direction");
                    return None;
                };
                let mut one = |node: &Node, what: &str| {
                    let text = self.text(node, what)?.value;
                    if let Some(mistake) = crate::rules::expression::mistake(&text) {
                        self.diagnostics
                            .error(codes::R11, node.span, mistake)
                            .help("`value` is what is converted; see `bifocal explain cel`");
                        return None;
                    }
                    Some(text)
                };
                let (up, down) = (one(up, "`up`"), one(down, "`down`"));
                Convert::Cel(Box::new(Cel { up: up?, down: down? }))
            }
            _ => return codecs::parse(name, map, self.diagnostics).map(Convert::Value),
        })
        .filter(|_| node.as_map().is_some())
    }

    /// The argument of a conversion that has none: `true`.
    fn switch(&mut self, name: &str, value: &Node, without: &str) -> Option<()> {
        if self.boolean(value, &format!("`{name}`"))? {
            return Some(());
        }
        self.diagnostics.error(codes::R11, value.span, format!("`{name}` is `true` or absent")).help(without);
        None
    }

    /// What an equation's map says beside its codec.
    pub(super) fn beside(&mut self, map: &[(Node, Node)]) -> Beside {
        let value = |key: &str| map.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value);
        let is_each = value("each").is_some();
        Beside {
            loss: value("loss").and_then(|node| self.text(node, "`loss`")),
            default: value("default").map(|node| self.json(node).ok_or(())),
            // Beside `each` it speaks of the elements.
            unfit: value("unfit").filter(|_| !is_each).and_then(|node| self.unfit(node)).unwrap_or(Unfit::Refuse),
            when: value("when").and_then(|node| self.when(node)).unwrap_or(When::ALWAYS),
            keys: value("keys").and_then(|node| self.inner(node)),
            only: value("only").and_then(|node| self.kind(node, false)),
        }
    }

    /// `drop`, `pass`, `{else: old}` or `{else: [old, new]}`.
    pub(super) fn unfit(&mut self, node: &Node) -> Option<Unfit> {
        match (node.as_str(), node.as_map()) {
            (Some("drop"), _) => Some(Unfit::Drop),
            (Some("pass"), _) => Some(Unfit::Pass),
            (_, Some([(key, value)])) if key.as_str() == Some("else") => match value.as_list() {
                Some([old, new]) => Some(Unfit::Else(Some(self.json(old)?.value), Some(self.json(new)?.value))),
                _ => Some(Unfit::Else(Some(self.json(value)?.value), None)),
            },
            _ => {
                self.shape(node, "`unfit`", "`drop`, `pass` or `{else: value}`");
                None
            }
        }
    }

    /// `when: {old: QUERY, new: QUERY}`, or one query for both.
    pub(super) fn when(&mut self, node: &Node) -> Option<When> {
        if let Some(text) = node.as_str() {
            let query = self.condition(node, text)?;
            return Some(When { old: Some(query.clone()), new: Some(query) });
        }
        let members = self.members(node, "`when`", &["old", "new"])?;
        let side = |parser: &mut Self, name: &str| match members.get(name) {
            None => Some(None),
            Some(node) => {
                let text = parser.text(node, "a condition")?.value;
                parser.condition(node, &text).map(Some)
            }
        };
        let old = side(self, "old");
        let new = side(self, "new");
        Some(When { old: old?, new: new? })
    }

    /// A condition on a document.
    pub(super) fn condition(&mut self, node: &Node, text: &str) -> Option<Query> {
        let read = Query::condition(text);
        self.read_query(node, read)
    }

    pub(super) fn query(&mut self, node: &Node, text: &str) -> Option<Query> {
        let read = Query::parse(text);
        self.read_query(node, read)
    }

    fn read_query(&mut self, node: &Node, read: Result<Query, crate::path::PlaceError>) -> Option<Query> {
        match read {
            Ok(query) => Some(query),
            Err(error) => {
                let at = node.part(error.at.start, error.at.end);
                self.path_error(codes::R20, &error, at);
                None
            }
        }
    }

    /// A JSON type, a list of them, or a list of values.
    pub(super) fn kind(&mut self, node: &Node, negated: bool) -> Option<Kind> {
        let names = match node.as_list() {
            Some(list) => list,
            None => std::slice::from_ref(node),
        };
        let types: Option<Vec<JsonType>> = names.iter().map(|one| json_type(one.as_str()?)).collect();
        if let Some(types) = types.filter(|_| !names.is_empty()) {
            return Some(Kind { types, values: Vec::new(), negated });
        }
        let values = names.iter().map(|one| self.json(one).map(|json| json.value)).collect::<Option<_>>()?;
        Some(Kind { types: Vec::new(), values, negated })
    }

    /// `{key: name, value: value, sort: true, last: true}`
    fn entries(&mut self, node: &Node) -> Option<Entries> {
        let members = self.members(node, "`entries`", keys::ENTRIES)?;
        let Some(key) = members.get("key") else {
            self.missing(node.span, "`entries`", "key", "the member of an entry that holds its name");
            return None;
        };
        let key = self.text(key, "`key`")?.value;
        let value = match members.get("value") {
            None => None,
            Some(node) => Some(self.text(node, "`value`")?.value),
        };
        let switch = |parser: &mut Self, name: &str| {
            members.get(name).map_or(Some(false), |node| parser.boolean(node, &format!("`{name}`")))
        };
        let (sort, last_wins) = (switch(self, "sort")?, switch(self, "last")?);
        Some(Entries { key, value, sort, last_wins })
    }

    /// `brackets`, or `{separator: ".", list: member}`
    fn flat(&mut self, node: &Node) -> Option<Flat> {
        if node.as_str() == Some("brackets") {
            return Some(Flat::Brackets);
        }
        if node.as_str() == Some("dots") {
            return Some(Flat::Joined { separator: ".".to_owned(), list: String::new() });
        }
        if node.as_map().is_none() {
            self.shape(node, "`flat`", "`brackets`, `dots` or `{separator: \".\", list: member}`");
            return None;
        }
        let members = self.members(node, "`flat`", keys::FLAT)?;
        let text = |parser: &mut Self, name: &str, default: &str| match members.get(name) {
            None => Some(default.to_owned()),
            Some(node) => Some(parser.text(node, &format!("`{name}`"))?.value),
        };
        let (separator, list) = (text(self, "separator", ".")?, text(self, "list", "")?);
        Some(Flat::Joined { separator, list })
    }

    /// A list of cases.
    pub(super) fn cases(&mut self, node: &Node) -> Option<Vec<Case<TypeRef>>> {
        let list = self.list(node, "`cases`")?;
        let cases: Vec<Option<Case<TypeRef>>> = list.iter().map(|one| self.case(one)).collect();
        cases.into_iter().collect()
    }

    fn case(&mut self, node: &Node) -> Option<Case<TypeRef>> {
        let members = self.members(node, "a case", keys::CASE)?;
        let open = || Pattern::Object(Vec::new());
        if let Some(fallback) = members.get("else") {
            if fallback.as_str() != Some("pass") {
                self.shape(fallback, "`else`", "`pass`; other forms are cases of their own");
                return None;
            }
            let any = || Pattern::Variable(String::new());
            return Some(Case { when: When::ALWAYS, old: any(), new: any(), with: Vec::new(), rules: None });
        }
        let side = |parser: &mut Self, name: &str| match members.get(name) {
            None => Some(open()),
            Some(node) => parser.pattern(node, PatternNames::Variables),
        };
        let old = side(self, "old");
        let new = side(self, "new");
        let with = members.get("with").map_or(Some(Vec::new()), |node| self.with(node));
        let when = members.get("when").map_or(Some(When::ALWAYS), |node| self.when(node));
        let rules = match members.get("rules") {
            None => Some(None),
            Some(node) => self.type_ref(node).map(Some),
        };
        Some(Case { when: when?, old: old?, new: new?, with: with?, rules: rules? })
    }

    fn with(&mut self, node: &Node) -> Option<Vec<(String, Convert<TypeRef>)>> {
        let map = self.map(node, "`with`")?;
        let entries = map.iter().map(|(name, value)| {
            let name = self.text(name, "a variable")?.value;
            Some((name.trim_start_matches('$').to_owned(), self.inner(value)?))
        });
        entries.collect::<Vec<_>>().into_iter().collect()
    }

    /// Whether a value is the name of a type or rules, rather than a word of its own.
    #[expect(clippy::unused_self, reason = "reads as one family with the parser's other questions")]
    pub(super) fn is_type(&self, node: &Node) -> bool {
        node.as_list().is_some() || node.as_plain() == Some(Plain::Text) && node.as_str() != Some("drop")
    }

    /// The rules of a case that is written as `old = new: rules` under `on:`.
    pub(super) fn rules_of_case(&mut self, node: &Node) -> Result<Option<TypeRef>, ()> {
        if node.is_null() {
            return Ok(None);
        }
        self.type_ref(node).map(Some).ok_or(())
    }

    /// The loss that a rule's map admits.
    pub(super) fn loss_of(&mut self, node: Option<&Node>) -> Option<crate::rules::ast::Spanned<String>> {
        node.and_then(|node| self.text(node, "`loss`"))
    }
}

fn json_type(name: &str) -> Option<JsonType> {
    Some(match name {
        "null" => JsonType::Null,
        "boolean" => JsonType::Boolean,
        "number" => JsonType::Number,
        "integer" => JsonType::Integer,
        "string" => JsonType::String,
        "array" => JsonType::Array,
        "object" => JsonType::Object,
        _ => return None,
    })
}

/// A rule without reason for a loss.
pub(super) fn rule(
    kind: crate::rules::ast::RuleKind,
    loss: Option<crate::rules::ast::Spanned<String>>,
    node: &Node,
) -> Rule {
    Rule { kind, loss, span: node.span }
}
