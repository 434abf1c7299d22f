//! A second, strict look at the framing of HTTP/1 requests, on the bytes as they arrive.
//!
//! hyper settles a request that has both `Content-Length` and `Transfer-Encoding` and hands it on with the first one
//! removed, so nothing above it can refuse such a request. [`Framing`] watches the same bytes and gives one verdict for
//! each request head; the connection hands them to requests in order. A request without a verdict means that the two
//! readers disagree about where a request begins, and is refused as well.

/// The largest head that is looked at; hyper's own limit is reached before.
const LARGEST_HEAD: usize = 2 << 20;

/// What a request head says about its framing.
pub(super) type Verdict = Result<(), &'static str>;

/// Follows requests on one connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    head: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    /// Collecting a head.
    #[default]
    Head,
    /// Inside a body of known length.
    Sized(u64),
    /// Inside a chunk's size line: its value, and whether its digits have ended.
    ChunkSize(u64, bool),
    /// Inside a chunk's data and the line end after it.
    ChunkData(u64),
    /// Inside a trailer section: bytes in this line.
    Trailers(usize),
    /// Cannot be followed; whatever comes has no verdict.
    Lost,
}

impl Framing {
    /// Whether a head has begun and not ended.
    pub(super) fn inside_head(&self) -> bool {
        matches!(self.state, State::Head) && !self.head.is_empty()
    }

    /// Whether everything that has begun has ended.
    pub(super) fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Head) && self.head.is_empty()
    }

    /// Takes the next bytes; every head that ends in them gives a verdict.
    pub(super) fn watch(&mut self, mut bytes: &[u8], mut verdict: impl FnMut(Verdict)) {
        while let [first, after @ ..] = bytes {
            match &mut self.state {
                State::Lost => return,
                State::Head => bytes = self.collect(bytes, &mut verdict),
                State::Sized(left) | State::ChunkData(left) => bytes = skip(bytes, left),
                State::ChunkSize(value, ended) => {
                    bytes = after;
                    match (first, char::from(*first).to_digit(16)) {
                        (b'\n', _) if *value == 0 => self.state = State::Trailers(0),
                        // The line end after the data belongs to it.
                        (b'\n', _) => self.state = State::ChunkData(value.saturating_add(2)),
                        (_, Some(digit)) if !*ended => match value.checked_mul(16) {
                            Some(shifted) => *value = shifted + u64::from(digit),
                            None => self.state = State::Lost,
                        },
                        _ => *ended = true,
                    }
                }
                State::Trailers(length) => {
                    bytes = after;
                    match first {
                        b'\n' if *length == 0 => self.state = State::Head,
                        b'\n' => *length = 0,
                        b'\r' => {}
                        _ => *length += 1,
                    }
                }
            }
            match self.state {
                State::Sized(0) => self.state = State::Head,
                State::ChunkData(0) => self.state = State::ChunkSize(0, false),
                _ => {}
            }
        }
    }

    fn collect<'b>(&mut self, bytes: &'b [u8], verdict: &mut impl FnMut(Verdict)) -> &'b [u8] {
        // Empty lines before a request are to be ignored (RFC 9112, 2.2).
        let bytes = if self.head.is_empty() {
            let skipped = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            bytes.get(skipped..).unwrap_or_default()
        } else {
            bytes
        };
        // Most heads come in one piece and are not copied.
        if self.head.is_empty()
            && let Some((head, rest)) =
                memchr::memmem::find(bytes, b"\r\n\r\n").and_then(|at| bytes.split_at_checked(at + 4))
        {
            self.follow(judge(head), verdict);
            return rest;
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let search_from = before.saturating_sub(3);
        let end = memchr::memmem::find(self.head.get(search_from..).unwrap_or_default(), b"\r\n\r\n");
        let Some(end) = end.map(|at| search_from + at + 4) else {
            if self.head.len() > LARGEST_HEAD {
                self.state = State::Lost;
                self.head = Vec::new();
            }
            return &[];
        };
        self.head.truncate(end);
        let judged = judge(&self.head);
        self.head.clear();
        self.follow(judged, verdict);
        bytes.get(end - before..).unwrap_or_default()
    }

    /// Goes on after a head.
    fn follow(&mut self, judged: Result<State, &'static str>, verdict: &mut impl FnMut(Verdict)) {
        match judged {
            Ok(next) => {
                self.state = next;
                verdict(Ok(()));
            }
            Err(reason) => {
                self.state = State::Lost;
                verdict(Err(reason));
            }
        }
    }
}

fn skip<'b>(bytes: &'b [u8], left: &mut u64) -> &'b [u8] {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= taken as u64;
    bytes.get(taken..).unwrap_or_default()
}

/// How the body after a head is framed.
fn judge(head: &[u8]) -> Result<State, &'static str> {
    let mut length = None;
    let mut chunked = false;
    for line in head.strip_suffix(b"\r\n").unwrap_or(head).split_inclusive(|byte| *byte == b'\n').skip(1) {
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err("a line does not end in CRLF") };
        if memchr::memchr(b'\r', line).is_some() {
            return Err("a header has a bare CR");
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err("a header is folded over two lines");
        }
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err("there is more than one Content-Length");
            }
            length = Some(std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked {
                return Err("there is more than one Transfer-Encoding");
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("the only transfer coding is `chunked`");
            }
            chunked = true;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err("there are both Content-Length and Transfer-Encoding"),
        (_, true) => Ok(State::ChunkSize(0, false)),
        (None | Some(0), false) => Ok(State::Head),
        (Some(length), false) => Ok(State::Sized(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts of `bytes`, and of the same bytes one by one: they must agree.
    fn verdicts(bytes: &str) -> Vec<bool> {
        let mut whole = Vec::new();
        Framing::default().watch(bytes.as_bytes(), |verdict| whole.push(verdict.is_ok()));
        let (mut single, mut framing) = (Vec::new(), Framing::default());
        bytes.as_bytes().chunks(1).for_each(|byte| framing.watch(byte, |verdict| single.push(verdict.is_ok())));
        assert_eq!(whole, single, "{bytes:?}");
        whole
    }

    const NEXT: &str = "GET /next HTTP/1.1\r\n\r\n";

    #[test]
    fn requests_are_told_apart() {
        for body in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n0\r\nA: b\r\nC: d\r\n\r\n",
        ] {
            assert_eq!(verdicts(&format!("{body}{NEXT}{NEXT}")), [true, true, true], "{body:?}");
        }
    }

    #[test]
    fn ambiguous_framing_is_refused_and_ends_the_watch() {
        for lines in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\ncontent-length: 3",
            "Content-Length: 3\r\nContent-Length: 3",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding:",
            "A: b\r\n c",
            "A: b\nB: c",
            "A: b\rc",
        ] {
            assert_eq!(verdicts(&format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n{NEXT}")), [false], "{lines:?}");
        }
    }

    #[test]
    fn a_head_in_line_feeds_alone_has_no_verdict() {
        assert_eq!(verdicts("GET / HTTP/1.1\nHost: a\n\n"), Vec::<bool>::new());
    }

    #[test]
    fn it_knows_when_a_head_has_begun() {
        let mut framing = Framing::default();
        framing.watch(b"\r\n", |_| {});
        assert!(!framing.inside_head());
        framing.watch(b"GET", |_| {});
        assert!(framing.inside_head());
        framing.watch(b" / HTTP/1.1\r\n\r\n", |_| {});
        assert!(!framing.inside_head());
    }
}
