//! The access log: one JSON line a request, written by a thread of its own so that a slow disk or pipe stops nobody.
//!
//! Requests add their lines to one buffer; the writer takes all of it at once, a few times a second.

use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use super::record::Entry;
use crate::json::write_string;
use crate::settings::AccessTo;

/// Bytes that wait for the writer before new lines are dropped (and counted).
const WAITING: usize = 4 << 20;
/// How long the first of several lines may wait for the others.
const TOGETHER: Duration = Duration::from_millis(50);

/// The end of the log that requests see.
#[derive(Debug)]
pub(super) struct AccessLog {
    desk: Option<Arc<Desk>>,
    dropped: AtomicU64,
}

/// Where lines wait.
#[derive(Debug, Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    /// There is something to write, or somebody who wants it written now.
    ready: Condvar,
    /// Everything that was there has been written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Everything up to here is wanted at once.
    is_urgent: bool,
    /// The writer has taken lines and not written them yet.
    is_writing: bool,
    is_closed: bool,
}

impl Desk {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessLog {
    /// Opens the log.
    ///
    /// # Errors
    /// Its file cannot be opened, or there is no thread for its writer.
    pub(super) fn open(to: &AccessTo) -> io::Result<Self> {
        let writer: Box<dyn Write + Send> =
            match to {
                AccessTo::Off => return Ok(Self { desk: None, dropped: AtomicU64::new(0) }),
                AccessTo::Stdout => Box::new(io::stdout()),
                AccessTo::Stderr => Box::new(io::stderr()),
                AccessTo::File(path) => {
                    let file = OpenOptions::new().create(true).append(true).open(path);
                    Box::new(file.map_err(|error| {
                        io::Error::new(error.kind(), format!("access log {}: {error}", path.display()))
                    })?)
                }
            };
        let desk = Arc::new(Desk::default());
        let writers = desk.clone();
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write_lines(&writers, writer))?;
        Ok(Self { desk: Some(desk), dropped: AtomicU64::new(0) })
    }

    /// Lines that were not written because the writer could not keep up.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, but not for a writer that is stuck.
    pub(super) fn flush(&self) {
        let Some(desk) = &self.desk else { return };
        let mut waiting = desk.waiting();
        waiting.is_urgent = true;
        desk.ready.notify_one();
        let unwritten = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        drop(desk.written.wait_timeout_while(waiting, Duration::from_secs(1), unwritten));
    }

    /// Hands a line to the writer; waits at most for another line to be added.
    pub(super) fn write(&self, entry: &Entry<'_>) {
        let Some(desk) = &self.desk else { return };
        LINE.with_borrow_mut(|line| {
            line.clear();
            // Writing to memory cannot fail.
            let _ = write_line(entry, line);
            let mut waiting = desk.waiting();
            if waiting.lines.len() + line.len() > WAITING {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let is_first = waiting.lines.is_empty();
            waiting.lines.extend_from_slice(line);
            drop(waiting);
            if is_first {
                desk.ready.notify_one();
            }
        });
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if let Some(desk) = &self.desk {
            desk.waiting().is_closed = true;
            desk.ready.notify_one();
        }
    }
}

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes what is there, then waits for more.
fn write_lines(desk: &Desk, mut writer: Box<dyn Write + Send>) {
    let mut taken = Vec::new();
    loop {
        let waiting = desk.waiting();
        let idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.is_closed;
        let waiting = desk.ready.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
        let patient = |waiting: &mut Waiting| !waiting.is_urgent && !waiting.is_closed;
        let waited = desk.ready.wait_timeout_while(waiting, TOGETHER, patient);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut taken, &mut waiting.lines);
        (waiting.is_urgent, waiting.is_writing) = (false, true);
        let is_closed = waiting.is_closed;
        drop(waiting);
        // A log that cannot be written (a full disk) must not end the process that it is about.
        let _ = writer.write_all(&taken).and_then(|()| writer.flush());
        taken.clear();
        desk.waiting().is_writing = false;
        desk.written.notify_all();
        if is_closed {
            return;
        }
    }
}

/// One valid JSON line, whatever the request's bytes are.
fn write_line(entry: &Entry<'_>, line: &mut Vec<u8>) -> io::Result<()> {
    let known = entry.known;
    let mut line = Line { out: line };
    line.out.extend_from_slice(b"{\"ts\":\"");
    push_time(line.out, entry.at.duration_since(UNIX_EPOCH).unwrap_or_default());
    line.out.push(b'"');
    line.text("request_id", &entry.identity.request);
    line.text("trace_id", entry.identity.trace_id());
    line.text("peer", &entry.caller.name);
    line.text("protocol", entry.protocol);
    line.text("method", entry.method);
    line.text("path", entry.path);
    line.text("service", known.service());
    line.maybe("consumer", known.consumer.as_deref());
    line.maybe("route", known.route.as_deref());
    line.text("asked", known.asked());
    line.text("served", known.served());
    let (number, rules) = known.generation.as_ref().map_or((0, ""), |seen| (seen.number, &seen.hash));
    line.number("generation", number);
    line.text("rules", rules);
    line.number("status", entry.status.into());
    line.text("outcome", entry.outcome);
    line.maybe("fault", known.fault);
    line.millis("duration_ms", entry.duration);
    line.maybe("endpoint", known.endpoint.as_ref().map(|endpoint| endpoint.name()));
    line.number("attempts", known.attempts as u64);
    line.millis("upstream_ms", known.upstream);
    line.millis("translate_ms", known.translating);
    line.number("dropped_members", known.dropped_members as u64);
    line.number("request_bytes", known.request_bytes);
    line.number("response_bytes", entry.response_bytes);
    if let Some((version, reason)) = known.fallback {
        let fallback = serde_json::json!({"from": known.version(version), "reason": reason});
        serde_json::to_writer(line.key("fallback"), &fallback)?;
    }
    if !known.calls.is_empty() {
        let call = |(name, made, failed): &(String, usize, usize)| serde_json::json!({"name": name, "made": made, "failed": failed});
        let calls: Vec<_> = known.calls.iter().map(call).collect();
        serde_json::to_writer(line.key("calls"), &calls)?;
    }
    line.out.extend_from_slice(b"}\n");
    Ok(())
}

/// An object's members, one by one, after the first.
struct Line<'l> {
    out: &'l mut Vec<u8>,
}

impl Line<'_> {
    /// Names a member, whose value is to be written next.
    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn text(&mut self, name: &str, text: &str) {
        let out = self.key(name);
        // Most texts are as they are written.
        if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            return write_string(text, out);
        }
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }

    fn maybe(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => self.key(name).extend_from_slice(b"null"),
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        push_number(self.key(name), number, 1);
    }

    /// Milliseconds with three places.
    fn millis(&mut self, name: &str, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let out = self.key(name);
        push_number(out, micros / 1000, 1);
        out.push(b'.');
        push_number(out, micros % 1000, 3);
    }
}

/// A number in at least so many digits.
fn push_number(out: &mut Vec<u8>, number: u64, digits: usize) {
    let start = out.len();
    let mut rest = number;
    while rest > 0 || out.len() - start < digits {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
    }
    if let Some(written) = out.get_mut(start..) {
        written.reverse();
    }
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
            Line { out: &mut out }.text("b", text);
            out.push(b'}');
            let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(line["b"], text);
        }
    }

    #[test]
    fn times_have_three_places() {
        let mut text = Vec::new();
        let mut line = Line { out: &mut text };
        line.millis("a", Duration::from_micros(12_034));
        line.millis("b", Duration::ZERO);
        line.number("c", 0);
        assert_eq!(String::from_utf8(text).unwrap(), r#","a":12.034,"b":0.000,"c":0"#);
    }
}
