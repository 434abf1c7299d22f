//! Which endpoint is next. Pure: told what there is to know of each, and given chance as a number.

use crate::rules::upstream::Balance;

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// Of all weights, how much of the requests it is to have; 0: none.
    pub(super) weight: u64,
    /// Requests in flight.
    pub(super) load: usize,
    /// Those with the lowest number that have any weight get all requests (RFC 2782).
    pub(super) priority: u16,
}

/// The index of the endpoint that is next; `None`: none has a weight. Candidates may change while they are looked at.
pub(super) fn choose(
    balance: Balance,
    count: usize,
    candidate: impl Fn(usize) -> Candidate,
    mut chance: impl FnMut() -> u64,
    turn: impl FnOnce() -> u64,
) -> Option<usize> {
    let best = (0..count).map(&candidate).filter(|one| one.weight > 0).map(|one| one.priority).min()?;
    let weight = |at: usize| Some(candidate(at)).filter(|one| one.priority == best).map_or(0, |one| one.weight);
    let total: u64 = (0..count).map(weight).sum();
    match balance {
        Balance::RoundRobin => at_weight(count, weight, scattered(turn(), total)),
        Balance::LeastRequest => {
            let first = at_weight(count, weight, chance() % total.max(1))?;
            let others = total.saturating_sub(weight(first));
            if others == 0 {
                return Some(first);
            }
            let other = |at: usize| if at == first { 0 } else { weight(at) };
            let second = at_weight(count, other, chance() % others)?;
            // Requests in flight for each unit of weight, compared crosswise.
            let (one, two) = (candidate(first), candidate(second));
            let (one_has, two_has) =
                (one.load as u128 * u128::from(two.weight), two.load as u128 * u128::from(one.weight));
            Some(if two_has < one_has { second } else { first })
        }
    }
}

/// Where the sum of weights passes a number; the last one with a weight where they have shrunk meanwhile.
fn at_weight(count: usize, weight: impl Fn(usize) -> u64, mut rest: u64) -> Option<usize> {
    let mut last = None;
    for at in 0..count {
        let weight = weight(at);
        if weight == 0 {
            continue;
        }
        last = Some(at);
        match rest.checked_sub(weight) {
            Some(left) => rest = left,
            None => break,
        }
    }
    last
}

/// The numbers below `total`, each once in `total` turns, neighbours far from one another: a heavy endpoint does not get
/// all its requests in a row.
fn scattered(turn: u64, total: u64) -> u64 {
    let total = total.max(1);
    // By the golden ratio, as far as that has no divisor in common with the total.
    let mut stride = (total / 1000 * 618 + total % 1000 * 618 / 1000) | 1;
    while divisor(stride, total) != 1 {
        stride += 1;
    }
    // Weights are far from numbers whose product is too large.
    (turn % total).wrapping_mul(stride) % total
}

fn divisor(one: u64, two: u64) -> u64 {
    if two == 0 { one } else { divisor(two, one % two) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(all: &[(u64, usize, u16)]) -> impl Fn(usize) -> Candidate + '_ {
        |at| Candidate { weight: all[at].0, load: all[at].1, priority: all[at].2 }
    }

    /// How often each is chosen in so many turns.
    fn chosen(balance: Balance, all: &[(u64, usize, u16)], turns: u64) -> Vec<usize> {
        let mut counts = vec![0; all.len()];
        let mut state = 7_u64;
        for turn in 0..turns {
            let chance = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 33
            };
            counts[choose(balance, all.len(), candidates(all), chance, || turn).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn turns_are_taken_by_weight_and_not_in_a_row() {
        let all = [(3, 0, 0), (1, 9, 0)];
        assert_eq!(chosen(Balance::RoundRobin, &all, 8), [6, 2]);
        assert_eq!(chosen(Balance::RoundRobin, &[(1, 0, 0); 5], 50), [10; 5]);
        let order: Vec<usize> = (0..6)
            .filter_map(|turn| choose(Balance::RoundRobin, 2, candidates(&[(1, 0, 0); 2]), || 0, || turn))
            .collect();
        assert!(order.windows(2).all(|two| two[0] != two[1]), "{order:?}");
        for total in 1..200 {
            let mut seen: Vec<u64> = (0..total).map(|turn| scattered(turn, total)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..total).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_idle_one_of_two_is_taken() {
        assert_eq!(chosen(Balance::LeastRequest, &[(1, 5, 0), (1, 0, 0)], 100), [0, 100]);
        // By the load for each unit of weight.
        assert_eq!(chosen(Balance::LeastRequest, &[(1, 2, 0), (4, 4, 0)], 100), [0, 100]);
        let counts = chosen(Balance::LeastRequest, &[(3, 0, 0), (1, 0, 0)], 4000);
        assert!((2800..3200).contains(&counts[0]), "{counts:?}");
        let counts = chosen(Balance::LeastRequest, &[(1, 1, 0), (1, 9, 0), (1, 5, 0)], 3000);
        assert_eq!(counts[1], 0, "the worst of three never wins: {counts:?}");
    }

    #[test]
    fn later_priorities_wait_for_the_first_to_be_gone() {
        assert_eq!(chosen(Balance::LeastRequest, &[(1, 90, 1), (1, 0, 2), (1, 0, 3)], 10), [10, 0, 0]);
        assert_eq!(chosen(Balance::RoundRobin, &[(0, 0, 1), (1, 0, 2), (1, 0, 3)], 10), [0, 10, 0]);
        assert_eq!(choose(Balance::RoundRobin, 2, candidates(&[(0, 0, 1), (0, 0, 2)]), || 0, || 0), None);
    }
}
