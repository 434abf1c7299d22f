//! Lines on their way to a file or a pipe, written by a thread of its own so that a slow disk or pipe stops nobody.
//!
//! Whoever has a line adds it to one buffer; the writer takes all of it at once. Where the buffer is full, lines are
//! dropped and counted.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that wait for the writer before new lines are dropped (and counted).
const WAITING: usize = 4 << 20;
/// Between two complaints about a file that cannot be written.
const AGAIN: Duration = Duration::from_secs(60);

/// The end that takes lines.
#[derive(Debug)]
pub(crate) struct Lines {
    desk: Arc<Desk>,
}

/// Where lines wait.
#[derive(Debug, Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    /// There is something to write, or somebody who wants it written now.
    ready: Condvar,
    /// Everything that was there has been written.
    written: Condvar,
    /// Lines that nobody will read.
    lost: AtomicU64,
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

impl Lines {
    /// Starts the thread that writes. `name` is that of the log; `together` is how long the first of several lines may
    /// wait for the others.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn to(name: &'static str, writer: Box<dyn Write + Send>, together: Duration) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let writers = desk.clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || write(name, &writers, writer, together))?;
        Ok(Self { desk })
    }

    /// The same, appending to a file.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn to_file(name: &'static str, path: &Path, together: Duration) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
            io::Error::new(error.kind(), format!("{} {}: {error}", name.replace('-', " "), path.display()))
        })?;
        Self::to(name, Box::new(file), together)
    }

    /// Lines that were dropped because the writer could not keep up, or lost because they could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.desk.lost.load(Ordering::Relaxed)
    }

    /// Hands a line to the writer; waits at most for another line to be added.
    pub(crate) fn add(&self, line: &[u8]) {
        let mut waiting = self.desk.waiting();
        if waiting.lines.len() + line.len() > WAITING {
            self.desk.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let is_first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.desk.ready.notify_one();
        }
    }

    /// Waits until all lines are written, but not for a writer that is stuck.
    pub(crate) fn flush(&self) {
        let mut waiting = self.desk.waiting();
        waiting.is_urgent = true;
        self.desk.ready.notify_one();
        let unwritten = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        drop(self.desk.written.wait_timeout_while(waiting, Duration::from_secs(1), unwritten));
    }
}

/// For loggers that want something to write to: each text is one or several whole lines.
impl Write for &Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.add(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.desk.waiting().is_closed = true;
        self.desk.ready.notify_one();
    }
}

/// Writes what is there, then waits for more.
fn write(name: &str, desk: &Desk, mut writer: Box<dyn Write + Send>, together: Duration) {
    let mut taken = Vec::new();
    let mut complained: Option<Instant> = None;
    loop {
        let waiting = desk.waiting();
        let idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.is_closed;
        let waiting = desk.ready.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
        let patient = |waiting: &mut Waiting| !waiting.is_urgent && !waiting.is_closed;
        let waited = desk.ready.wait_timeout_while(waiting, together, patient);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut taken, &mut waiting.lines);
        (waiting.is_urgent, waiting.is_writing) = (false, true);
        let is_closed = waiting.is_closed;
        drop(waiting);
        // A log that cannot be written (a full disk) must not end the process that it is about.
        if let Err(error) = writer.write_all(&taken).and_then(|()| writer.flush()) {
            let lines = memchr::memchr_iter(b'\n', &taken).count();
            desk.lost.fetch_add(lines as u64, Ordering::Relaxed);
            if name != MESSAGES && complained.is_none_or(|at| at.elapsed() > AGAIN) {
                complained = Some(Instant::now());
                tracing::warn!(log = name, %error, "lines cannot be written; they are lost and counted");
            }
        }
        taken.clear();
        desk.waiting().is_writing = false;
        desk.written.notify_all();
        if is_closed {
            return;
        }
    }
}

/// The log of messages, which cannot complain about itself.
pub(crate) const MESSAGES: &str = "messages";

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes nothing until it may.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_writer_that_is_stuck_stops_nobody_and_what_is_dropped_is_counted() {
        let (release, stuck) = mpsc::sync_channel(1);
        let lines = Lines::to("access-log", Box::new(Stuck(stuck)), Duration::ZERO).unwrap();
        let line = vec![b'x'; 64 << 10];
        for _ in 0..WAITING / line.len() + 100 {
            lines.add(&line);
        }
        // One buffer's worth may be in the writer's hands, one waits.
        assert!((1..=100).contains(&lines.lost()), "{}", lines.lost());
        drop(release);
        lines.flush();
        let before = lines.lost();
        lines.add(b"goes on\n");
        lines.flush();
        assert_eq!(lines.lost(), before);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let full = OpenOptions::new().write(true).open("/dev/full");
        let Ok(full) = full else { return };
        let lines = Lines::to("access-log", Box::new(full), Duration::ZERO).unwrap();
        lines.add(b"one\ntwo\n");
        lines.flush();
        assert_eq!(lines.lost(), 2);
    }
}
