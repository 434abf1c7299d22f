//! The access log: one JSON line a request, written by a thread of its own ([`Lines`]). Of requests that ended well it may
//! be a share; which ones follows from the trace.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use super::lines::Lines;
use super::record::Entry;
use crate::json::write_string;
use crate::settings::{AccessTo, Log};

/// How long the first of several lines may wait for the others.
const TOGETHER: Duration = Duration::from_millis(50);

/// The end of the log that requests see.
#[derive(Debug)]
pub(super) struct AccessLog {
    lines: Option<Lines>,
    /// Of all numbers that a trace may have, those below this one are written.
    below: u64,
    slow: Duration,
    fields: Fields,
    left_out: AtomicU64,
}

/// Which members lines have.
#[derive(Debug, Default)]
struct Fields {
    /// Those that they do not have, as `key!` writes them.
    without: Vec<String>,
}

impl Fields {
    fn without(names: &[String]) -> Self {
        Self { without: names.iter().map(|name| format!(",\"{name}\":")).collect() }
    }
}

impl AccessLog {
    /// Opens the log.
    ///
    /// # Errors
    /// Its file cannot be opened, or there is no thread for its writer.
    pub(super) fn open(log: &Log) -> io::Result<Self> {
        let name = "access-log";
        let lines = match &log.access {
            AccessTo::Off => None,
            AccessTo::Stdout => Some(Lines::to(name, Box::new(io::stdout()), TOGETHER)?),
            AccessTo::Stderr => Some(Lines::to(name, Box::new(io::stderr()), TOGETHER)?),
            AccessTo::File(path) => Some(Lines::to_file(name, path, TOGETHER)?),
        };
        let fields = Fields::without(&log.without);
        Ok(Self { lines, below: threshold(log.sample), slow: log.slow, fields, left_out: AtomicU64::new(0) })
    }

    /// Lines that were not written because the writer could not keep up.
    pub(super) fn dropped(&self) -> u64 {
        self.lines.as_ref().map_or(0, Lines::lost)
    }

    /// Lines that were not written because only a share is.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, but not for a writer that is stuck.
    pub(super) fn flush(&self) {
        if let Some(lines) = &self.lines {
            lines.flush();
        }
    }

    /// Hands a line to the writer; waits at most for another line to be added.
    pub(super) fn write(&self, entry: &Entry<'_>) {
        let Some(lines) = &self.lines else { return };
        if !self.is_wanted(entry) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            // Writing to memory cannot fail.
            let _ = write_line(entry, &self.fields, line);
            lines.add(line);
        });
    }

    fn is_wanted(&self, entry: &Entry<'_>) -> bool {
        self.below == u64::MAX
            || entry.outcome != "ok"
            || entry.duration >= self.slow
            || number(entry.identity.trace_id()) < self.below
    }
}

/// The number below which a share of all numbers is.
pub(super) fn threshold(share: f64) -> u64 {
    if share >= 1.0 {
        return u64::MAX;
    }
    // Within a billionth, which is exact for whole numbers of this size.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a billion")]
    let billionths = (share * 1e9) as u64;
    billionths * (u64::MAX / 1_000_000_000)
}

/// A number that is the same for the same text everywhere: FNV-1a, its bits spread once more.
pub(super) fn number(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A member's name as it stands in a line, after another member.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// One valid JSON line, whatever the request's bytes are.
fn write_line(entry: &Entry<'_>, fields: &Fields, line: &mut Vec<u8>) -> io::Result<()> {
    let known = entry.known;
    let mut line = Line { out: line, fields };
    line.out.extend_from_slice(b"{\"ts\":\"");
    push_time(line.out, entry.at.duration_since(UNIX_EPOCH).unwrap_or_default());
    line.out.push(b'"');
    line.text(key!("request_id"), &entry.identity.request);
    line.text(key!("trace_id"), entry.identity.trace_id());
    line.text(key!("peer"), &entry.caller.name);
    line.text(key!("protocol"), entry.protocol);
    line.text(key!("method"), entry.method);
    line.text(key!("path"), entry.path);
    line.text(key!("service"), known.service());
    line.maybe(key!("consumer"), known.consumer.as_deref());
    line.maybe(key!("route"), known.route.as_deref());
    line.text(key!("asked"), known.asked());
    line.text(key!("served"), known.served());
    let (number, rules) = known.generation.as_ref().map_or((0, ""), |seen| (seen.number, &seen.hash));
    line.number(key!("generation"), number);
    line.text(key!("rules"), rules);
    line.number(key!("status"), entry.status.into());
    line.text(key!("outcome"), entry.outcome);
    line.maybe(key!("fault"), known.fault);
    line.millis(key!("duration_ms"), entry.duration);
    line.maybe(key!("endpoint"), known.endpoint.as_ref().map(|endpoint| endpoint.name()));
    line.number(key!("attempts"), known.attempts as u64);
    line.millis(key!("upstream_ms"), known.upstream);
    line.millis(key!("translate_ms"), known.translating);
    line.number(key!("dropped_members"), known.dropped_members as u64);
    line.number(key!("request_bytes"), known.request_bytes);
    line.number(key!("response_bytes"), entry.response_bytes);
    if let Some((version, reason)) = known.fallback
        && let Some(out) = line.key(key!("fallback"))
    {
        let fallback = serde_json::json!({"from": known.version(version), "reason": reason});
        serde_json::to_writer(out, &fallback)?;
    }
    if let Some(kind) = known.background {
        line.text(key!("background"), kind);
    }
    if !known.calls.is_empty()
        && let Some(out) = line.key(key!("calls"))
    {
        let call = |(name, made, failed): &(String, usize, usize)| serde_json::json!({"name": name, "made": made, "failed": failed});
        let calls: Vec<_> = known.calls.iter().map(call).collect();
        serde_json::to_writer(out, &calls)?;
    }
    line.out.extend_from_slice(b"}\n");
    Ok(())
}

/// An object's members, one by one, after the first.
struct Line<'l> {
    out: &'l mut Vec<u8>,
    fields: &'l Fields,
}

impl Line<'_> {
    /// Names a member, whose value is to be written next; none: it is left out.
    fn key(&mut self, key: &'static str) -> Option<&mut Vec<u8>> {
        if self.fields.without.iter().any(|one| one == key) {
            return None;
        }
        self.out.extend_from_slice(key.as_bytes());
        Some(self.out)
    }

    fn text(&mut self, key: &'static str, text: &str) {
        if let Some(out) = self.key(key) {
            write_string(text, out);
        }
    }

    fn maybe(&mut self, key: &'static str, text: Option<&str>) {
        match text {
            Some(text) => self.text(key, text),
            None => {
                if let Some(out) = self.key(key) {
                    out.extend_from_slice(b"null");
                }
            }
        }
    }

    fn number(&mut self, key: &'static str, number: u64) {
        if let Some(out) = self.key(key) {
            push_number(out, number, 1);
        }
    }

    /// Milliseconds with three places.
    fn millis(&mut self, key: &'static str, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(out) = self.key(key) {
            push_number(out, micros / 1000, 1);
            out.push(b'.');
            push_number(out, micros % 1000, 3);
        }
    }
}

/// A number in at least so many digits.
pub(super) fn push_number(out: &mut Vec<u8>, number: u64, digits: usize) {
    // As many as the largest number has.
    let mut text = [b'0'; 20];
    let (mut rest, mut left) = (number, text.len());
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        left -= 1;
        if rest == 0 {
            break;
        }
    }
    let start = left.min(text.len().saturating_sub(digits));
    out.extend_from_slice(text.get(start..).unwrap_or_default());
}

thread_local! {
    /// The second that was written last, and how.
    static SECOND: Cell<(u64, [u8; 20])> = const { Cell::new((u64::MAX, [0; 20])) };
}

/// Writes a time as [`rfc3339`] does; of the lines of one second, only the first is worked out.
fn push_time(out: &mut Vec<u8>, since_epoch: Duration) {
    let (known, mut text) = SECOND.get();
    if known != since_epoch.as_secs() {
        if let Some((second, _)) = rfc3339(since_epoch).as_bytes().split_first_chunk() {
            text = *second;
        }
        SECOND.set((since_epoch.as_secs(), text));
    }
    out.extend_from_slice(&text);
    push_number(out, since_epoch.subsec_millis().into(), 3);
    out.push(b'Z');
}

/// `2026-11-22T22:28:47.123Z`.
pub(crate) fn rfc3339(since_epoch: Duration) -> String {
    let (seconds, millis) = (since_epoch.as_secs(), since_epoch.subsec_millis());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    // Howard Hinnant's civil-from-days, for days since 1970 that are never negative.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let mut text = Vec::with_capacity(24);
    let parts =
        [(year, 4, b'-'), (month, 2, b'-'), (day, 2, b'T'), (hour, 2, b':'), (minute, 2, b':'), (second, 2, b'.')];
    for (number, digits, after) in parts {
        push_number(&mut text, number, digits);
        text.push(after);
    }
    push_number(&mut text, millis.into(), 3);
    text.push(b'Z');
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(rfc3339(Duration::ZERO), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Duration::from_millis(951_782_400_001)), "2000-02-29T00:00:00.001Z");
        assert_eq!(rfc3339(Duration::from_secs(1_795_386_527)), "2026-11-22T22:28:47.000Z");
    }

    #[test]
    fn times_are_written_alike() {
        for millis in [951_782_400_001, 951_782_400_999, 951_782_401_000, 951_782_400_001] {
            let (time, mut out) = (Duration::from_millis(millis), Vec::new());
            push_time(&mut out, time);
            assert_eq!(String::from_utf8(out).unwrap(), rfc3339(time));
        }
    }

    #[test]
    fn texts_are_json() {
        for text in ["", "plain", "a\"b\\c", "\u{1}\n\u{7f}\u{e9}"] {
            let mut out = b"{\"a\":1".to_vec();
            Line { out: &mut out, fields: &Fields::default() }.text(key!("b"), text);
            out.push(b'}');
            let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(line["b"], text);
        }
    }

    #[test]
    fn a_share_is_a_share() {
        let share = |part: f64| (0..100_000).filter(|at| number(&format!("{at:032x}")) < threshold(part)).count();
        assert_eq!((share(0.0), share(1.0)), (0, 100_000));
        for (part, expected) in [(0.01, 1_000), (0.25, 25_000)] {
            assert!(share(part).abs_diff(expected) < expected / 8, "{part}: {}", share(part));
        }
    }

    #[test]
    fn times_have_three_places() {
        let mut text = Vec::new();
        let fields = Fields::without(&["d".to_owned()]);
        let mut line = Line { out: &mut text, fields: &fields };
        line.millis(key!("a"), Duration::from_micros(12_034));
        line.millis(key!("b"), Duration::ZERO);
        line.number(key!("c"), 0);
        line.number(key!("d"), 0);
        assert_eq!(String::from_utf8(text).unwrap(), r#","a":12.034,"b":0.000,"c":0"#);
    }
}
