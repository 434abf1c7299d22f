//! Two texts side by side, in the width that there is.

use crate::json::{MAX_DEPTH, Tree, TreeKind};

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Columns in all.
    pub(super) width: usize,
    /// Whether escapes for bold and dim text may be printed.
    pub(super) is_coloured: bool,
}

/// What stands between the columns.
const GAP: &str = " | ";

impl Screen {
    /// The terminal that standard output is, or a page.
    pub(super) fn of_stdout(is_coloured: bool) -> Self {
        let width = terminal_size::terminal_size().map_or(120, |(width, _)| usize::from(width.0));
        Self { width: width.clamp(72, 160), is_coloured }
    }

    /// Columns of one side.
    pub(super) fn side(self) -> usize {
        (self.width - GAP.len()) / 2
    }

    /// A heading.
    pub(super) fn bold(self, text: &str) -> String {
        if self.is_coloured { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Something that must not be in the way.
    pub(super) fn dim(self, text: &str) -> String {
        if self.is_coloured { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A line across both columns.
    pub(super) fn rule(self) -> String {
        let side = "-".repeat(self.side());
        self.dim(&format!("{side}-+-{side}"))
    }

    /// Two texts, line by line. No line ends in white space.
    pub(super) fn beside(self, left: &[String], right: &[String]) -> String {
        let mut out = String::new();
        let (left, right) = (wrap(left, self.side()), wrap(right, self.side()));
        for index in 0..left.len().max(right.len()) {
            let of = |lines: &[String]| lines.get(index).cloned().unwrap_or_default();
            let (left, right) = (of(&left), of(&right));
            let space = " ".repeat(self.side().saturating_sub(left.chars().count()));
            let line = format!("{left}{space}{}{right}", self.dim(GAP.trim_end()).as_str().to_owned() + " ");
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Breaks what is too long, between words where it can.
fn wrap(lines: &[String], width: usize) -> Vec<String> {
    let mut wrapped = Vec::new();
    for line in lines {
        let indent = line.chars().take_while(|char| *char == ' ').count().min(width / 2);
        let mut rest: Vec<char> = line.chars().collect();
        while rest.len() > width {
            let blank = rest.iter().take(width + 1).rposition(|char| *char == ' ').filter(|at| *at > indent + 4);
            let cut = blank.unwrap_or(width);
            wrapped.push(rest.iter().take(cut).collect());
            let after = rest.into_iter().skip(cut).skip_while(|char| *char == ' ');
            rest = std::iter::repeat_n(' ', indent + 4).chain(after).collect();
        }
        wrapped.push(rest.into_iter().collect());
    }
    wrapped
}

/// A JSON document for people, members in their order; a text that is none as it is. What fits a line stays on one.
pub(super) fn pretty(body: &[u8], width: usize) -> Vec<String> {
    let Ok(tree) = Tree::parse(body, MAX_DEPTH) else {
        return String::from_utf8_lossy(body).lines().map(str::to_owned).collect();
    };
    let mut lines = vec![String::new()];
    write(&tree, 0, true, width, &mut lines);
    lines
}

fn write(tree: &Tree<'_>, indent: usize, is_open: bool, width: usize, lines: &mut Vec<String>) {
    let short = inline(tree);
    let (marks, parts): (_, Vec<(String, &Tree<'_>)>) = match &tree.kind {
        TreeKind::Object(members) => {
            (("{", "}"), members.iter().map(|(name, value)| (format!("\"{name}\": "), value)).collect())
        }
        TreeKind::Array(elements) => (("[", "]"), elements.iter().map(|value| (String::new(), value)).collect()),
        _ => return append(lines, &short),
    };
    let taken = lines.last().map_or(0, |line| line.chars().count());
    // A record of scalars may take three lines; everything else one. One column is for the comma.
    let is_flat = parts.iter().all(|(_, part)| !matches!(part.kind, TreeKind::Object(_) | TreeKind::Array(_)));
    let room = if is_flat { 3 * width - 2 * (indent + 4) } else { width };
    let fits = taken + short.chars().count() < room;
    if parts.is_empty() || (fits && !is_open) {
        return append(lines, &short);
    }
    append(lines, marks.0);
    let last = parts.len() - 1;
    for (index, (name, value)) in parts.iter().enumerate() {
        lines.push(format!("{}{name}", " ".repeat(indent + 2)));
        write(value, indent + 2, false, width, lines);
        if index < last {
            append(lines, ",");
        }
    }
    lines.push(format!("{}{}", " ".repeat(indent), marks.1));
}

fn append(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

/// On one line.
fn inline(tree: &Tree<'_>) -> String {
    match &tree.kind {
        TreeKind::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("\"{name}\": {}", inline(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        TreeKind::Array(elements) => format!("[{}]", elements.iter().map(inline).collect::<Vec<_>>().join(", ")),
        _ => String::from_utf8_lossy(tree.raw).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_order_and_their_numbers() {
        let text =
            br#"{"b":1.10,"a":[{"x":1},{"y":[]}],"long":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","o":{"p":12345678,"q":1},"n":{"p":{"q":[1,2]},"r":"aaaaaaaaaaaaaaaa"}}"#;
        let expected = r#"{
  "b": 1.10,
  "a": [{"x": 1}, {"y": []}],
  "long": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
  "o": {"p": 12345678, "q": 1},
  "n": {
    "p": {"q": [1, 2]},
    "r": "aaaaaaaaaaaaaaaa"
  }
}"#;
        assert_eq!(pretty(text, 30).join("\n"), expected);
        assert_eq!(pretty(b"no json", 30), ["no json"]);
    }

    #[test]
    fn columns_are_aligned_and_wrapped() {
        let screen = Screen { width: 23, is_coloured: false };
        let page = screen.beside(&["12345 789012".into(), "ä".into()], &["right".into()]);
        assert_eq!(page, "12345      | right\n    789012 |\nä          |\n");
    }
}
