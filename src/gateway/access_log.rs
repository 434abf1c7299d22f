//! The access log: one JSON line a request, written by a thread of its own so that a slow disk or pipe stops nobody.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::record::Entry;
use crate::settings::AccessTo;

/// Lines that wait for the writer before new ones are dropped (and counted).
const WAITING: usize = 8192;

/// The end of the log that requests see.
#[derive(Debug)]
pub(super) struct AccessLog {
    lines: Option<SyncSender<Order>>,
    dropped: AtomicU64,
}

/// What the writer is told.
#[derive(Debug)]
enum Order {
    Write(String),
    /// Answer when everything before this is written.
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// Opens the log.
    ///
    /// # Errors
    /// Its file cannot be opened, or there is no thread for its writer.
    pub(super) fn open(to: &AccessTo) -> io::Result<Self> {
        let writer: Box<dyn Write + Send> =
            match to {
                AccessTo::Off => return Ok(Self { lines: None, dropped: AtomicU64::new(0) }),
                AccessTo::Stdout => Box::new(io::stdout()),
                AccessTo::Stderr => Box::new(io::stderr()),
                AccessTo::File(path) => {
                    let file = OpenOptions::new().create(true).append(true).open(path);
                    Box::new(file.map_err(|error| {
                        io::Error::new(error.kind(), format!("access log {}: {error}", path.display()))
                    })?)
                }
            };
        let (lines, waiting) = sync_channel(WAITING);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write_lines(&waiting, writer))?;
        Ok(Self { lines: Some(lines), dropped: AtomicU64::new(0) })
    }

    /// Lines that were not written because the writer could not keep up.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, but not for a writer that is stuck.
    pub(super) fn flush(&self) {
        let Some(lines) = &self.lines else { return };
        let (done, written) = sync_channel(1);
        if lines.try_send(Order::Flush(done)).is_ok() {
            let _ = written.recv_timeout(Duration::from_secs(1));
        }
    }

    /// Hands a line to the writer; never waits.
    pub(super) fn write(&self, entry: &Entry<'_>) {
        let Some(lines) = &self.lines else { return };
        match lines.try_send(Order::Write(line(entry))) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Writes what is there, then flushes, then waits.
fn write_lines(waiting: &Receiver<Order>, writer: Box<dyn Write + Send>) {
    let mut writer = BufWriter::new(writer);
    while let Ok(first) = waiting.recv() {
        let mut next = Some(first);
        while let Some(order) = next {
            // A log that cannot be written (a full disk) must not end the process that it is about.
            match order {
                Order::Write(line) => drop(writeln!(writer, "{line}")),
                Order::Flush(done) => {
                    let _ = writer.flush();
                    let _ = done.try_send(());
                }
            }
            next = waiting.try_recv().ok();
        }
        let _ = writer.flush();
    }
}

/// One valid JSON line, whatever the request's bytes are.
fn line(entry: &Entry<'_>) -> String {
    let known = entry.known;
    let millis = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let since = entry.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line = json!({
        "ts": rfc3339(since),
        "request_id": entry.identity.request,
        "trace_id": entry.identity.trace_id(),
        "peer": entry.peer.to_string(),
        "protocol": entry.protocol,
        "method": entry.method,
        "path": entry.path,
        "service": known.service(),
        "route": known.route,
        "asked": known.asked(),
        "served": known.served(),
        "generation": known.generation,
        "rules": &*known.rules,
        "status": entry.status,
        "outcome": entry.outcome,
        "fault": known.fault,
        "duration_ms": millis(entry.duration),
        "upstream_ms": millis(known.upstream),
        "translate_ms": millis(known.translating),
        "dropped_members": known.dropped_members,
        "request_bytes": known.request_bytes,
        "response_bytes": entry.response_bytes,
    });
    if let Some(members) = line.as_object_mut().filter(|_| !known.calls.is_empty()) {
        let call =
            |(name, made, failed): &(String, usize, usize)| json!({"name": name, "made": made, "failed": failed});
        members.insert("calls".to_owned(), known.calls.iter().map(call).collect());
    }
    line.to_string()
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
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
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
}
