//! How far a log has been read: positions are done in any order, but only what is done without a gap may be committed.

use std::collections::BTreeSet;

/// Positions of one log, from the first that is not done.
#[derive(Debug, Clone, Default)]
pub struct Watermark {
    /// The first position that is not done.
    next: u64,
    /// Those behind it that are.
    done: BTreeSet<u64>,
}

impl Watermark {
    /// A log that is done before `next`.
    pub fn new(next: u64) -> Self {
        Self { next, done: BTreeSet::new() }
    }

    /// A position is done. Answers the first that is not, if that has changed.
    pub fn done(&mut self, position: u64) -> Option<u64> {
        if position < self.next || !self.done.insert(position) {
            return None;
        }
        let before = self.next;
        while self.done.remove(&self.next) {
            self.next += 1;
        }
        (self.next != before).then_some(self.next)
    }

    /// The first position that is not done.
    pub fn next(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::Watermark;

    #[test]
    fn a_gap_holds_it_back() {
        let mut mark = Watermark::new(5);
        assert_eq!(mark.done(6), None);
        assert_eq!(mark.done(8), None);
        assert_eq!(mark.done(4), None, "long done");
        assert_eq!(mark.done(5), Some(7));
        assert_eq!(mark.done(7), Some(9));
        assert_eq!(mark.next(), 9);
    }
}
