//! The parser's events, put together to a tree.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::offsets::Offsets;
use super::{Kind, Limits, Node, strict};
use crate::diagnostic::{Diagnostics, SourceId, Span, codes};

/// Reads one YAML (or JSON) document.
///
/// `None` where there is no tree to go on with; what was wrong is in `diagnostics`. A tree may come together with
/// errors (a duplicate key: the first one stays), so that later stages can report theirs in the same run.
pub fn parse(source: SourceId, text: &str, limits: Limits, diagnostics: &mut Diagnostics) -> Option<Node> {
    if text.len() > limits.bytes || u32::try_from(text.len()).is_err() {
        let at = Span { source, start: 0, end: 0 };
        diagnostics
            .error(codes::E15, at, format!("the file has {} bytes, the limit is {}", text.len(), limits.bytes))
            .help("split it, or generate less of it");
        return None;
    }
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let base = text.len() - body.len();
    strict::read(source, body, base, limits).or_else(|| parse_yaml(source, body, base, limits, diagnostics))
}

/// The same by YAML's grammar, which JSON's is a part of.
pub(super) fn parse_yaml(
    source: SourceId,
    text: &str,
    base: usize,
    limits: Limits,
    diagnostics: &mut Diagnostics,
) -> Option<Node> {
    let mut reader = Reader {
        source,
        text,
        base,
        offsets: Offsets::new(text),
        limits,
        spent: 0,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        documents: 0,
        diagnostics,
    };
    reader.run(&mut Parser::new_from_str(text)).ok()?;
    reader.root
}

/// What was wrong is already reported; there is nothing to go on with.
struct Stop;

/// A collection that is not finished.
struct Open {
    start: usize,
    anchor: usize,
    spent_before: usize,
    last: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { members: Vec<(Node, Node)>, key: Option<Node> },
}

struct Reader<'t, 'd> {
    source: SourceId,
    text: &'t str,
    base: usize,
    offsets: Offsets<'t>,
    limits: Limits,
    spent: usize,
    open: Vec<Open>,
    /// What an anchor stands for, and its cost. Absent while it is still being read, so no alias can hold itself.
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    documents: usize,
    diagnostics: &'d mut Diagnostics,
}

impl<'t> Reader<'t, '_> {
    fn run(&mut self, parser: &mut Parser<'t, StrInput<'t>>) -> Result<(), Stop> {
        // Pulling events keeps the parser from recursing; its own `load` would.
        while let Some(next) = parser.next_event() {
            let (event, at) = next.map_err(|error| self.syntax(&error))?;
            let (start, end) = (self.offsets.byte(at.start.index()), self.offsets.byte(at.end.index()));
            self.event(event, start, end.max(start))?;
        }
        if self.root.is_none() {
            let at = self.span(0, 0);
            self.diagnostics
                .error(codes::R6, at, "the file is empty")
                .help("`bifocal explain R6` shows what it may hold");
            return Err(Stop);
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'t>, start: usize, end: usize) -> Result<(), Stop> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let at = self.span(start, end);
                    self.diagnostics
                        .error(codes::R3, at, "a second document in one file")
                        .help("keep one document a file, without `---` between");
                    return Err(Stop);
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(1 + text.len() / 64, start, end)?;
                let as_text = self.check_tag(tag.as_deref(), start, end)?;
                let (start, end) = self.trim(start, end, style);
                let plain = style == ScalarStyle::Plain && !as_text;
                // The parser says `~` where nothing is written.
                let nothing =
                    style == ScalarStyle::Plain && !self.text.get(start..end).is_some_and(|at| at.ends_with(&*text));
                let (text, end) = if nothing { (String::new(), start) } else { (text.into_owned(), end) };
                let cost = 1 + text.len() / 64;
                self.put(Node { span: self.span(start, end), kind: Kind::Scalar { text, plain } }, end, anchor, cost)
            }
            Event::Alias(anchor) => {
                let Some((_, cost)) = self.anchors.get(&anchor) else {
                    let at = self.span(start, end);
                    self.diagnostics.error(codes::R3, at, "this alias stands inside what it names");
                    return Err(Stop);
                };
                let cost = *cost;
                self.spend(cost, start, end)?;
                let Some((node, _)) = self.anchors.get(&anchor) else { return Err(Stop) };
                let node = node.clone();
                self.check_depth(self.open.len() + depth(&node), start, end)?;
                self.put(node, end, 0, cost)
            }
            Event::SequenceStart(anchor, tag) => self.open(anchor, tag.as_deref(), start, end, Items::List(Vec::new())),
            Event::MappingStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), start, end, Items::Map { members: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(start, end),
        }
    }

    fn open(&mut self, anchor: usize, tag: Option<&Tag>, start: usize, end: usize, items: Items) -> Result<(), Stop> {
        let spent_before = self.spent;
        self.spend(1, start, end)?;
        self.check_tag(tag, start, end)?;
        self.check_depth(self.open.len() + 1, start, end)?;
        // A list that is not indented under its key is announced after its first dash.
        let dashed = matches!(items, Items::List(_))
            && !self.text.get(start..end).is_some_and(|at| at.starts_with(['[', '-', '&', '!']));
        let start = match self.text.get(..start).map(str::trim_end) {
            Some(before) if dashed && before.ends_with('-') => before.len() - 1,
            _ => start,
        };
        self.open.push(Open { start, anchor, spent_before, last: end, items });
        Ok(())
    }

    fn close(&mut self, start: usize, end: usize) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Err(Stop) };
        // A bracket closes a flow collection, and the parser's span of it may run on over white space; a block collection
        // ends with its last item, not where the next line starts.
        let bracket = self.text.get(start..end).is_some_and(|at| at.starts_with([']', '}']));
        let end = if bracket { start + 1 } else { open.last };
        let kind = match open.items {
            Items::List(elements) => Kind::List(elements),
            Items::Map { members, .. } => Kind::Map(self.without_duplicates(members)),
        };
        let cost = self.spent - open.spent_before;
        self.put(Node { span: self.span(open.start, end), kind }, end, open.anchor, cost)
    }

    fn put(&mut self, node: Node, end: usize, anchor: usize, cost: usize) -> Result<(), Stop> {
        if anchor > 0 {
            // Keeping a copy for later aliases costs as much as an alias does.
            let start = self.base_free(node.span.start);
            self.spend(cost, start, end)?;
            self.anchors.insert(anchor, (node.clone(), cost));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.last = open.last.max(end);
        match &mut open.items {
            Items::List(elements) => elements.push(node),
            Items::Map { members, key } => {
                if let Some(name) = key.take() {
                    members.push((name, node));
                    return Ok(());
                }
                let message = match &node.kind {
                    Kind::List(_) | Kind::Map(_) => "a key must be a single text",
                    Kind::Scalar { text, plain: true } if text == "<<" => "merge keys are not part of YAML 1.2",
                    Kind::Scalar { .. } => {
                        *key = Some(node);
                        return Ok(());
                    }
                };
                self.diagnostics
                    .error(codes::R3, node.span, message)
                    .help("write the members out; an alias may stand for a whole value");
                return Err(Stop);
            }
        }
        Ok(())
    }

    fn without_duplicates(&mut self, members: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
        let mut first: HashMap<String, Span> = HashMap::with_capacity(members.len());
        let mut kept = Vec::with_capacity(members.len());
        for (key, value) in members {
            let name = key.as_str().unwrap_or_default();
            if let Some(&before) = first.get(name) {
                self.diagnostics
                    .error(codes::R2, key.span, format!("the key `{name}` is written twice"))
                    .related(before, "first written here")
                    .help("keep one of the two");
                continue;
            }
            first.insert(name.to_owned(), key.span);
            kept.push((key, value));
        }
        kept
    }

    fn check_tag(&mut self, tag: Option<&Tag>, start: usize, end: usize) -> Result<bool, Stop> {
        let Some(tag) = tag else { return Ok(false) };
        if tag.is_yaml_core_schema() {
            match tag.suffix.as_str() {
                "str" => return Ok(true),
                "map" | "seq" => return Ok(false),
                _ => {}
            }
        }
        let at = self.span(start, end);
        self.diagnostics
            .error(codes::R3, at, format!("the tag `{}` is not supported", shorten(&tag.to_string())))
            .help("tags such as `!include` do nothing here; write the value itself");
        Err(Stop)
    }

    fn check_depth(&mut self, depth: usize, start: usize, end: usize) -> Result<(), Stop> {
        if depth <= self.limits.depth {
            return Ok(());
        }
        let at = self.span(start, end);
        self.diagnostics.error(codes::E15, at, format!("nested deeper than {} levels", self.limits.depth));
        Err(Stop)
    }

    fn spend(&mut self, nodes: usize, start: usize, end: usize) -> Result<(), Stop> {
        self.spent = self.spent.saturating_add(nodes);
        if self.spent <= self.limits.nodes {
            return Ok(());
        }
        let at = self.span(start, end);
        self.diagnostics
            .error(codes::E15, at, format!("more than {} values once aliases are expanded", self.limits.nodes))
            .help("write fewer aliases, or split the file");
        Err(Stop)
    }

    fn syntax(&mut self, error: &ScanError) -> Stop {
        let start = self.offsets.byte(error.marker().index());
        let end =
            self.text.get(start..).and_then(|rest| rest.chars().next()).map_or(start, |one| start + one.len_utf8());
        let at = self.span(start, end);
        if error.info().contains("recursion limit") {
            self.diagnostics.error(codes::E15, at, format!("nested deeper than {} levels", self.limits.depth));
            return Stop;
        }
        let before = self.text.get(..start).and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
        let has_tab = before.contains('\t') || self.text.get(start..).is_some_and(|rest| rest.starts_with('\t'));
        // What the parser says of it is about the line above.
        if !has_tab && before.trim_matches([' ', '-']).is_empty() && error.info().contains("did not find expected") {
            self.diagnostics
                .error(codes::R1, at, "not YAML: this line does not go on with what stands above it")
                .help("entries of one list or map begin in the same column, and what belongs to one further right");
            return Stop;
        }
        let found = self.diagnostics.error(codes::R1, at, format!("not YAML: {}", error.info()));
        if has_tab {
            found.help("YAML is indented with spaces, not tabs");
        } else {
            found.help("quote texts that hold `: `, ` #`, or start with one of `{ } [ ] & * ! | > ' \" % @`");
        }
        Stop
    }

    /// Where the scalar itself is written: without its anchor, its tag or trailing white space.
    fn trim(&self, start: usize, end: usize, style: ScalarStyle) -> (usize, usize) {
        let Some(written) = self.text.get(start..end) else { return (start, end) };
        let end = start + written.trim_end().len();
        let mut rest = written.trim_end();
        while rest.starts_with(['&', '!']) && style != ScalarStyle::Literal && style != ScalarStyle::Folded {
            rest = rest.find(char::is_whitespace).and_then(|at| rest.get(at..)).unwrap_or_default().trim_start();
        }
        let start = end - rest.len();
        // The parser's span of a quoted scalar runs on over white space and comments.
        let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        let length = if quoted { quoted_length(rest) } else { None };
        (start, length.map_or(end, |length| start + length))
    }

    fn base_free(&self, at: u32) -> usize {
        (at as usize).saturating_sub(self.base)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let at = |offset: usize| u32::try_from(offset + self.base).unwrap_or(u32::MAX);
        Span { source: self.source, start: at(start), end: at(end) }
    }
}

/// How long the quoted scalar at the start of `written` is.
fn quoted_length(written: &str) -> Option<usize> {
    let quote = written.chars().next().filter(|one| matches!(one, '"' | '\''))?;
    let mut rest = written.char_indices().skip(1).peekable();
    while let Some((at, one)) = rest.next() {
        match one {
            '\\' if quote == '"' => drop(rest.next()),
            '\'' if quote == '\'' && rest.peek().is_some_and(|(_, next)| *next == '\'') => drop(rest.next()),
            _ if one == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { .. } => 0,
        Kind::List(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Kind::Map(members) => 1 + members.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
