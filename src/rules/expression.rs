//! Expressions of the last resort, in the Common Expression Language.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// Bytes of one expression.
const MAX_TEXT: usize = 2048;
/// Brackets within brackets; the parser has no bound of its own that holds before its stack ends.
const MAX_NESTING: usize = 24;
/// Steps within steps, which evaluation goes down on the stack of whoever translates: `1 + 1 + 1` has three.
const MAX_DEPTH: u32 = 32;
/// Bytes of stack for the parser; only what it uses is taken.
const STACK: usize = 256 << 20;
/// Loops in one expression: what they may cost together is the product of the lists that they run over.
const MAX_LOOPS: usize = 3;

/// An expression and what running it may cost.
pub(crate) struct Expression {
    pub(crate) program: cel::Program,
    /// How many loops run within one another, at most: it is run on no more values than a budget of so many powers allows.
    pub(crate) within: u32,
    /// Whether it names the old and the new request.
    pub(crate) requests: [bool; 2],
}

/// Why a text is no expression that may be used; nothing where it is one.
pub(crate) fn mistake(text: &str) -> Option<String> {
    if text.len() > MAX_TEXT {
        return Some(format!("an expression has at most {MAX_TEXT} bytes"));
    }
    if nesting(text) > MAX_NESTING {
        return Some(format!("an expression has at most {MAX_NESTING} brackets within brackets"));
    }
    let bounds = parse(text, |program| Bounds::of(program.expression()));
    let Some(bounds) = bounds else { return Some("not an expression of CEL".to_owned()) };
    if bounds.depth > MAX_DEPTH {
        return Some(format!("an expression has at most {MAX_DEPTH} steps within steps"));
    }
    (bounds.loops > MAX_LOOPS).then(|| format!("an expression has at most {MAX_LOOPS} loops"))
}

/// Brackets in texts count too: which those are only the parser knows.
fn nesting(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    for one in text.bytes() {
        match one {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// The compiled expression; nothing where the text has a [`mistake`].
pub(crate) fn compile(text: &str) -> Option<Expression> {
    if mistake(text).is_some() {
        return None;
    }
    parse(text, |program| {
        let within = Bounds::of(program.expression()).within;
        let requests = ["old_request", "new_request"].map(|name| program.references().has_variable(name));
        Expression { program, within, requests }
    })
}

/// What `then` makes of the text's program; nothing where it has none.
///
/// The grammar's generated parser must not end the process, whatever a rule file says: neither by a panic nor by a text
/// that nests beyond the stack, of which it needs some 200 KiB a level where it is not optimised. A program that is
/// itself too deep is looked at and dropped on that stack too.
fn parse<T: Send>(text: &str, then: impl FnOnce(cel::Program) -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().stack_size(STACK);
        let parsed = parser.spawn_scoped(scope, || cel::Program::compile(text).ok().map(then)).ok()?;
        parsed.join().ok().flatten()
    })
}

/// How large an expression is.
#[derive(Debug, Default, PartialEq)]
struct Bounds {
    /// Loops in all.
    loops: usize,
    /// Loops within one another. `in` and `==` look at each element of a list, as a loop does, but are not written as one.
    within: u32,
    /// Steps within one another.
    depth: u32,
}

impl Bounds {
    fn of(expression: &IdedExpr) -> Self {
        let mut all = Self::default();
        let mut add = |inner: &IdedExpr| {
            let inner = Self::of(inner);
            all.loops += inner.loops;
            all.within = all.within.max(inner.within);
            all.depth = all.depth.max(inner.depth);
        };
        match &expression.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => {
                call.target.iter().for_each(|target| add(target));
                call.args.iter().for_each(&mut add);
                if matches!(call.func_name.as_str(), "@in" | "_==_" | "_!=_") {
                    all.within = all.within.max(1);
                }
            }
            Expr::List(list) => list.elements.iter().for_each(add),
            Expr::Select(select) => add(&select.operand),
            Expr::Map(map) => map.entries.iter().for_each(|entry| entries(&entry.expr).into_iter().for_each(&mut add)),
            Expr::Struct(of) => of.entries.iter().for_each(|entry| entries(&entry.expr).into_iter().for_each(&mut add)),
            Expr::Comprehension(over) => {
                [&over.accu_init, &over.loop_cond, &over.loop_step, &over.result].into_iter().for_each(add);
                let range = Self::of(&over.iter_range);
                all.loops += range.loops + 1;
                all.within = range.within.max(all.within + 1);
                all.depth = all.depth.max(range.depth);
            }
        }
        all.depth += 1;
        all
    }
}

fn entries(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_counted_where_they_are_and_not_in_texts() {
        for (text, expected) in [
            ("value + 1", (0, 0)),
            ("'.map(' + value", (0, 0)),
            ("value.map(x, x + 1)", (1, 1)),
            ("value . map (x, x + 1)", (1, 1)),
            ("value.map(x, x.a).filter(x, x > 1)", (2, 1)),
            ("value.map(x, value.filter(y, y > x))", (2, 2)),
            ("value.filter(x, x in old_request.body.a)", (1, 2)),
            ("{'a': [value.exists(x, has(x.b))]}", (1, 1)),
        ] {
            let found = parse(text, |program| Bounds::of(program.expression())).unwrap();
            assert_eq!((found.loops, found.within), expected, "{text}");
        }
        assert_eq!(
            mistake("value . map (a, 1) . map(a, 1).map (a, 1).map(a, 1)").unwrap(),
            "an expression has at most 3 loops"
        );
    }

    #[test]
    fn no_text_ends_the_stack() {
        let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(MAX_NESTING), close.repeat(MAX_NESTING));
        let deep = [
            nested("(", ")"),
            nested("[", "]"),
            nested("{'a':", "}"),
            nested("size(", ")"),
            nested("(1?", ":2)"),
            format!("1{}", "+1".repeat(MAX_DEPTH as usize - 2)),
            format!("a{}", " in a".repeat(MAX_DEPTH as usize - 2)),
            format!("{}1", "!".repeat(MAX_TEXT - 1)),
            format!("{}1", "-".repeat(MAX_TEXT - 1)),
            format!("1{}", "+1".repeat(MAX_TEXT / 2 - 1)),
            format!("a{}", ".a".repeat(MAX_TEXT / 2 - 1)),
            format!("a{}", "[0]".repeat(MAX_TEXT / 3 - 1)),
            format!("a{}", ".a()".repeat(MAX_TEXT / 4 - 1)),
            format!("{}1", "a?b:".repeat(MAX_TEXT / 4 - 1)),
            format!("a{}", "&&a".repeat(MAX_TEXT / 3 - 1)),
            format!("a{}", " in a".repeat(MAX_TEXT / 5 - 1)),
        ];
        for text in deep {
            // Not every one is an expression.
            if let Some(expression) = compile(&text) {
                let mut context = cel::Context::default();
                context.add_variable_from_value("a", cel::Value::Int(1));
                let _ = expression.program.execute(&context);
            }
        }
        assert_eq!(
            mistake(&format!("{}1{}", "(".repeat(1000), ")".repeat(1000))).unwrap(),
            "an expression has at most 24 brackets within brackets"
        );
        assert_eq!(
            mistake(&format!("1{}", "+1".repeat(MAX_TEXT / 2 - 1))).unwrap(),
            "an expression has at most 32 steps within steps"
        );
    }

    #[test]
    fn the_request_is_given_where_it_is_named() {
        assert_eq!(compile("value + old_request.query.a").unwrap().requests, [true, false]);
        assert_eq!(compile("value.map(x, new_request.query.a)").unwrap().requests, [false, true]);
    }
}
