//! Two documents, line by line.

use super::super::documents::Value;

/// Lines of either document that are compared; of longer ones only the beginning.
const LINES: usize = 400;

/// `  ` same, `- ` only expected, `+ ` only actual; names are sorted, so order of members does not show.
pub(crate) fn diff(expected: &Value, actual: &Value) -> String {
    let (mut a, mut b) = (expected.to_lines(), actual.to_lines());
    a.truncate(LINES);
    b.truncate(LINES);
    // Longest common subsequence, from the end.
    let width = b.len() + 1;
    let mut table = vec![0_u16; (a.len() + 1) * width];
    let at = |table: &[u16], row: usize, column: usize| table.get(row * width + column).copied().unwrap_or(0);
    for (row, left) in a.iter().enumerate().rev() {
        for (column, right) in b.iter().enumerate().rev() {
            let value = if left == right {
                at(&table, row + 1, column + 1) + 1
            } else {
                at(&table, row + 1, column).max(at(&table, row, column + 1))
            };
            if let Some(cell) = table.get_mut(row * width + column) {
                *cell = value;
            }
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut lines: Vec<String> = Vec::new();
    loop {
        match (a.get(row), b.get(column)) {
            (Some(left), Some(right)) if left == right => {
                lines.push(format!("  {left}"));
                (row, column) = (row + 1, column + 1);
            }
            (Some(left), right) if right.is_none() || at(&table, row + 1, column) >= at(&table, row, column + 1) => {
                lines.push(format!("- {left}"));
                row += 1;
            }
            (_, Some(right)) => {
                lines.push(format!("+ {right}"));
                column += 1;
            }
            (Some(_) | None, None) => return lines.join("\n"),
        }
    }
}
