//! Who answers a caller: the shares of a version's callers, the same for the same caller, and what callers are told of
//! a version's end. Pure: reads a request head.
//!
//! Every version that has a share draws a number from the salt, the caller's key and its own name, and the weight makes
//! the best of the draws (weighted rendezvous hashing, Schindelhauer and Schomaker 2005). A version's weight changes its
//! own draw alone, so a caller moves only towards a version whose weight rises or away from one whose weight falls.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::index::Asked;
use super::message::cookies;
use super::route::{self, Side};
use super::{Direction, ServicePlan, StepPlan, VersionPlan};
use crate::codecs::http_date;
use crate::path::percent;
use crate::rules::answer::{Deprecation, Key};

/// A request as far as it matters for who answers it.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Method.
    pub method: &'a str,
    /// Path and query as on the wire.
    pub target: (&'a str, Option<&'a str>),
    /// End-to-end headers.
    pub headers: &'a HeaderMap,
    /// Who the request comes from.
    pub consumer: Option<&'a str>,
}

/// What callers of a version are told of its end, and when that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// From these seconds since 1970 on it is refused.
    pub gone_from: Option<u64>,
}

impl ServicePlan {
    /// The version whose service answers callers of version `asked`, where no tester says otherwise. `by_chance` is
    /// asked for the key of a request that is assigned anew.
    pub fn assigned(&self, asked: usize, asking: Asking<'_>, by_chance: impl FnOnce() -> u64) -> usize {
        let Some(version) = self.versions.get(asked) else { return asked };
        if version.shares.is_empty() {
            return version.answered_by;
        }
        let key = |by: &Key| self.key(asked, asking, by);
        if let Some(key) = self.assign.by.iter().find_map(key) {
            return self.drawn(version, key.as_bytes());
        }
        if self.assign.by.contains(&Key::Request) {
            return self.drawn(version, &by_chance().to_be_bytes());
        }
        version.answered_by
    }

    fn key(&self, asked: usize, asking: Asking<'_>, by: &Key) -> Option<String> {
        let found = match by {
            Key::Consumer => asking.consumer.map(str::to_owned),
            Key::Header(name) => {
                let mut values = asking.headers.get_all(name).iter();
                let value = values.next().filter(|_| values.next().is_none());
                value.and_then(|value| value.to_str().ok()).map(|text| text.trim().to_owned())
            }
            Key::Cookie(name) => {
                let crumbs = cookies(asking.headers);
                crumbs.iter().find(|(known, _)| known == name).map(|(_, value)| (*value).to_owned())
            }
            Key::Path(name) => self.path_value(asked, asking, name),
            Key::Request => None,
        };
        found.filter(|text| !text.is_empty())
    }

    fn drawn(&self, version: &VersionPlan, key: &[u8]) -> usize {
        let mut best: Option<(f64, usize)> = None;
        for &(at, weight) in version.shares.iter().filter(|(_, weight)| *weight > 0) {
            let name = self.versions.get(at).map_or("", |version| version.name.as_str());
            let score = score(&self.assign.salt, name, key, weight);
            if best.is_none_or(|(before, _)| score > before) {
                best = Some((score, at));
            }
        }
        best.map_or(version.answered_by, |(_, at)| at)
    }

    /// The route that a request of a version is of, in its caller's terms, whoever answers it: `GET /orders/{id}`.
    pub fn operation(&self, asked: usize, method: &str, target: (&str, Option<&str>)) -> Option<&str> {
        self.sides(asked, method, target).next().map(|side| side.label.as_str())
    }

    fn path_value(&self, asked: usize, asking: Asking<'_>, name: &str) -> Option<String> {
        self.sides(asked, asking.method, asking.target).find_map(|side| {
            let params = route::match_path(&side.template, asking.target.0)?;
            let (_, value) = params.into_iter().find(|(known, _)| *known == name)?;
            percent::decode(value)
        })
    }

    /// The caller's side of the best route to the next version, then to the one before.
    fn sides<'p>(
        &'p self,
        asked: usize,
        method: &str,
        (path, query): (&str, Option<&str>),
    ) -> impl Iterator<Item = &'p Side> {
        let up = self.steps.get(asked).map(|step| (step, Direction::Up));
        let down = asked.checked_sub(1).and_then(|before| self.steps.get(before)).map(|step| (step, Direction::Down));
        up.into_iter().chain(down).filter_map(move |(step, direction): (&StepPlan, _)| {
            let route = step.best_route(direction, method, Asked::Target(path, query))?;
            Some(route.sides(direction).0)
        })
    }
}

/// `-weight / ln(u)` where `u` is uniform in (0, 1): the version with the greatest one is `weight / sum` times each.
fn score(salt: &str, name: &str, key: &[u8], weight: u32) -> f64 {
    let mut digest = Sha256::new();
    for part in [salt.as_bytes(), name.as_bytes(), key] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    let mut words = digest.chunks(4).map(|word| word.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte)));
    let mut word = || f64::from(words.next().unwrap_or_default());
    let (high, low) = (word(), word());
    let uniform = (high + (low + 0.5) / 4_294_967_296.0) / 4_294_967_296.0;
    // Rounded to 1 once in 2^54 draws.
    -f64::from(weight) / uniform.min(1.0 - f64::EPSILON).ln()
}

impl Ending {
    pub(super) fn compile(decl: &Deprecation) -> Self {
        let date = HeaderValue::from_str(&format!("@{}", decl.at)).ok();
        let sunset = decl.sunset.and_then(http_date).and_then(|date| HeaderValue::from_str(&date).ok());
        let link = decl.link.as_ref().and_then(|link| {
            let end = if sunset.is_some() { format!(", <{link}>; rel=\"sunset\"") } else { String::new() };
            HeaderValue::from_str(&format!("<{link}>; rel=\"deprecation\"{end}")).ok()
        });
        let headers = [
            (HeaderName::from_static("deprecation"), date),
            (HeaderName::from_static("sunset"), sunset),
            (header::LINK, link),
        ];
        Self {
            headers: headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            gone_from: decl.sunset.filter(|_| decl.gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who answers key number `key` where these versions have these weights.
    fn drawn<'n>(weights: &[(&'n str, u32)], key: u32) -> &'n str {
        let scored = weights.iter().filter(|(_, weight)| *weight > 0);
        let scored = scored.map(|(name, weight)| (score("salt", name, &key.to_be_bytes(), *weight), *name));
        scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap().1
    }

    #[test]
    fn shares_are_as_large_as_their_weights() {
        for weights in [[("v1", 90), ("v2", 10), ("v3", 0)], [("v1", 1), ("v2", 1), ("v3", 2)]] {
            let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
            for (name, weight) in weights {
                let count = (0..20_000).map(|key| u32::from(drawn(&weights, key) == name)).sum::<u32>();
                let (found, wanted) = (f64::from(count) / 20_000.0, f64::from(weight) / f64::from(sum));
                assert!((found - wanted).abs() < 0.015, "{weights:?} {name}: {found}");
            }
        }
    }

    #[test]
    fn callers_move_only_towards_a_weight_that_rises() {
        let mut before = [("v1", 100), ("v2", 0), ("v3", 5)];
        for raised in [1, 5, 25, 50, 99, 100, 1000] {
            let after = [("v1", 100), ("v2", raised), ("v3", 5)];
            for key in 0..2000 {
                let (was, is) = (drawn(&before, key), drawn(&after, key));
                assert!(was == is || is == "v2", "{key}: {was} -> {is} at {raised}");
            }
            before = after;
        }
        // The same where a share moves from one to the other, as people write it.
        for (less, more) in [(100, 99), (99, 75), (75, 0)] {
            let weights = |old| [("v1", old), ("v2", 100 - old)];
            for key in 0..2000 {
                let (was, is) = (drawn(&weights(less), key), drawn(&weights(more), key));
                assert!(was == is || (was, is) == ("v1", "v2"), "{key}: {was} -> {is}");
            }
        }
    }

    #[test]
    fn the_hash_is_stable() {
        // Another one would move callers with an update of the gateway.
        let kept: String = (0..24).map(|key| drawn(&[("1", 1), ("2", 1)], key)).collect();
        assert_eq!(kept, "221121212221212121122222");
    }
}
