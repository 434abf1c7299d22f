//! A request while it is tried, for as long as it may have to be sent again.

use bytes::Bytes;
use http::{HeaderValue, Request, header};

use super::payload::Payload;

/// A request that is tried. Whoever sends it without taking it leaves it as it was; one that is taken is copied before
/// only where it may be sent twice.
pub(super) struct Asking {
    request: Request<Payload>,
    /// Whether it has been taken.
    is_gone: bool,
    /// Whether it may be sent again although it may have been sent.
    is_repeatable: bool,
    copy: Option<Request<Payload>>,
}

impl Asking {
    pub(super) fn new(request: Request<Payload>, is_repeatable: bool) -> Self {
        Self { request, is_gone: false, is_repeatable, copy: None }
    }

    /// Says whom it is for.
    pub(super) fn address(&mut self, host: &HeaderValue) {
        self.request.headers_mut().insert(header::HOST, host.clone());
    }

    /// To be sent without being taken.
    pub(super) fn request(&mut self) -> &mut Request<Payload> {
        &mut self.request
    }

    /// To be sent by somebody who keeps it.
    pub(super) fn take(&mut self) -> Request<Payload> {
        if self.is_repeatable {
            self.copy = copy(&self.request);
        }
        self.is_gone = true;
        std::mem::replace(&mut self.request, Request::new(Payload::Whole(Bytes::new())))
    }

    /// Has it back from whoever has taken it and sent nothing of it. Whether there was something to give back.
    pub(super) fn give_back(&mut self, request: Option<Request<Payload>>) -> bool {
        let Some(request) = request else { return false };
        (self.request, self.is_gone, self.copy) = (request, false, None);
        true
    }

    /// Whether it is here to be sent again.
    pub(super) fn again(&mut self) -> bool {
        if let (true, Some(copy)) = (self.is_gone, self.copy.take()) {
            (self.request, self.is_gone) = (copy, false);
        }
        !self.is_gone
    }
}

/// None: its body can be sent once.
fn copy(request: &Request<Payload>) -> Option<Request<Payload>> {
    let Payload::Whole(body) = request.body() else { return None };
    let mut copy = Request::new(Payload::Whole(body.clone()));
    (*copy.method_mut(), *copy.uri_mut()) = (request.method().clone(), request.uri().clone());
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(is_repeatable: bool) -> Asking {
        let mut asking = Asking::new(Request::new(Payload::Whole(Bytes::from("body"))), is_repeatable);
        asking.address(&HeaderValue::from_static("a"));
        asking
    }

    #[test]
    fn what_was_taken_is_sent_again_only_where_it_may() {
        for is_repeatable in [true, false] {
            let mut asking = asking(is_repeatable);
            let taken = asking.take();
            assert_eq!(taken.headers()["host"], "a");
            assert_eq!(asking.again(), is_repeatable);
            if is_repeatable {
                assert_eq!(asking.request().headers(), taken.headers());
                assert!(matches!(asking.request().body(), Payload::Whole(body) if body == "body"));
            }
        }
    }

    #[test]
    fn what_was_not_sent_is_here_again() {
        let mut asking = asking(false);
        assert!(asking.again());
        let taken = asking.take();
        assert!(asking.give_back(Some(taken)));
        assert!(asking.again());
        asking.take();
        assert!(!asking.give_back(None));
        assert!(!asking.again());
    }
}
