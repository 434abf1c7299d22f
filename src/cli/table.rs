//! Rows for people.

use std::fmt::Write;

use clap::ValueEnum;

/// How a command shows what a gateway has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns, and below them what else there is to tell
    Table,
    /// As the admin address gives it
    Json,
}

/// Words come from elsewhere; none of them may move the cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '?' } else { one }).collect()
}

/// One line a row below its head, in columns as wide as they need; numbers stand right, everything else left.
pub(super) fn of<const N: usize>(head: [&str; N], rows: &[[String; N]], numbers: &[usize]) -> String {
    let head = head.map(str::to_owned);
    let lines = || std::iter::once(&head).chain(rows);
    let mut widths = [0; N];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for line in lines() {
        let mut row = String::new();
        for (index, (width, cell)) in widths.iter().zip(line).enumerate() {
            let cell = plain(cell);
            // Writing to a String cannot fail.
            let _ = if numbers.contains(&index) {
                write!(row, "{cell:>width$}  ")
            } else {
                write!(row, "{cell:<width$}  ")
            };
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}
