//! Whose turn it is.

use std::collections::{HashMap, VecDeque};

/// Messages by key, each key's in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Lanes(HashMap<String, VecDeque<u64>>);

impl Lanes {
    /// Puts a message behind those of its key. Answers whether it is the first.
    pub(super) fn join(&mut self, key: &str, at: u64) -> bool {
        if let Some(lane) = self.0.get_mut(key) {
            lane.push_back(at);
            return lane.len() == 1;
        }
        self.0.insert(key.to_owned(), VecDeque::from([at]));
        true
    }

    /// A message is out of the way. Answers whose turn it is then, if it was this one's.
    pub(super) fn leave(&mut self, key: &str, at: u64) -> Option<u64> {
        let lane = self.0.get_mut(key)?;
        let was_first = lane.front() == Some(&at);
        lane.retain(|other| *other != at);
        let next = lane.front().copied();
        if lane.is_empty() {
            self.0.remove(key);
        }
        next.filter(|_| was_first)
    }
}

#[cfg(test)]
mod tests {
    use super::Lanes;

    #[test]
    fn one_of_a_key_at_a_time() {
        let mut lanes = Lanes::default();
        assert!(lanes.join("a", 1));
        assert!(lanes.join("b", 2));
        assert!(!lanes.join("a", 3));
        assert!(!lanes.join("a", 4));
        assert_eq!(lanes.leave("a", 3), None);
        assert_eq!(lanes.leave("a", 1), Some(4));
        assert_eq!(lanes.leave("b", 2), None);
        assert_eq!(lanes.leave("a", 4), None);
        assert!(lanes.join("a", 5));
    }
}
