//! Did you mean …?

/// The candidate that `name` is most probably a slip of, if one is near enough.
pub fn closest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Comparing is quadratic in the length; nobody misspells a name of hundreds of letters.
    if name.len() > 100 {
        return None;
    }
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 100 && *candidate != name)
        .map(|candidate| (distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// ``did you mean `x`?``, or the list of what there is where nothing is near and the list is short.
pub fn help<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(near) = closest(name, candidates.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let known: Vec<String> = candidates.iter().map(|one| format!("`{one}`")).collect();
    (1..=12).contains(&known.len()).then(|| format!("known here: {}", known.join(", ")))
}

/// Edits (insert, delete, replace, swap neighbours) between two names: optimal string alignment.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, one) in left.iter().enumerate() {
        let mut now = Vec::with_capacity(right.len() + 1);
        now.push(row + 1);
        for (column, other) in right.iter().enumerate() {
            let cell = |cells: &[usize], at: usize| cells.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = (cell(&last, column) + usize::from(one != other))
                .min(cell(&last, column + 1) + 1)
                .min(cell(&now, column) + 1);
            let swapped = row > 0
                && column > 0
                && left.get(row - 1) == Some(other)
                && right.get(column - 1) == Some(one)
                && one != other;
            if swapped {
                best = best.min(cell(&before_last, column - 1) + 1);
            }
            now.push(best);
        }
        before_last = std::mem::replace(&mut last, now);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("split", "splitt", 1),
            ("tpyes", "types", 1),
            ("route", "rules", 3),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(left, right), edits, "{left} {right}");
            assert_eq!(distance(right, left), edits, "{right} {left}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(closest("Ordr", ["Line", "Order"]), Some("Order"));
        assert_eq!(closest("fax", ["name", "total"]), None);
        assert_eq!(closest("ORDER", ["Order"]), Some("Order"));
    }
}
