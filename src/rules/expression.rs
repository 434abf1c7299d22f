//! Expressions of the last resort, in the Common Expression Language.

/// Bytes of one expression.
const MAX_TEXT: usize = 2048;
/// Loops in one expression: what they may cost together is the product of the lists that they run over.
const MAX_LOOPS: usize = 3;

/// Why a text is no expression that may be used; nothing where it is one.
pub(crate) fn mistake(text: &str) -> Option<String> {
    if text.len() > MAX_TEXT {
        return Some(format!("an expression has at most {MAX_TEXT} bytes"));
    }
    let loops = [".map(", ".filter(", ".all(", ".exists(", ".exists_one("];
    let count: usize = loops.iter().map(|one| text.matches(one).count()).sum();
    if count > MAX_LOOPS {
        return Some(format!("an expression has at most {MAX_LOOPS} loops"));
    }
    compile(text).is_none().then(|| "not an expression of CEL".to_owned())
}

/// The compiled expression; nothing where the text is none.
pub(crate) fn compile(text: &str) -> Option<cel::Program> {
    // The grammar's generated parser must not end the process, whatever a rule file says.
    std::panic::catch_unwind(|| cel::Program::compile(text).ok()).ok().flatten()
}
