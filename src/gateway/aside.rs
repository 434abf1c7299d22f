//! Requests with long work leave their core.
//!
//! A worker thread serves many connections, and while it translates a large body all of them wait. So such a request
//! is moved, in the middle of its life, to the runtime that the server was started in: that one has threads to spare.
//! Its connection stays where it is and gets the answer from there.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;

/// Bodies beyond this are long work.
pub(super) const LARGE: usize = 64 << 10;

thread_local! {
    static ELSEWHERE: RefCell<Option<Handle>> = const { RefCell::new(None) };
    static LEAVES: Cell<bool> = const { Cell::new(false) };
}

/// From here on, long work of this thread's requests goes to `elsewhere`, if that has threads to spare.
pub(super) fn send_to(elsewhere: Handle) {
    if elsewhere.runtime_flavor() == RuntimeFlavor::MultiThread {
        ELSEWHERE.set(Some(elsewhere));
    }
}

/// Leaves this core if work of about `size` bytes is long and there is somewhere to go.
pub(super) async fn leave(size: usize) {
    if size <= LARGE || ELSEWHERE.with_borrow(Option::is_none) {
        return;
    }
    let mut is_here = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut is_here) {
            LEAVES.set(true);
            // Whoever does not move it has to ask again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// A future that can be moved.
pub(super) struct Movable<T>(Place<T>);

enum Place<T> {
    Here(Pin<Box<dyn Future<Output = T> + Send>>),
    There(JoinHandle<T>),
    Over,
}

impl<T: Send + 'static> Movable<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        // Made where it stays: it is large.
        let future = Box::write(Box::new_uninit(), future);
        Self(Place::Here(Box::into_pin(future)))
    }
}

impl<T: Send + 'static> Future for Movable<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Place::Here(future) = &mut self.0 {
            let polled = future.as_mut().poll(cx);
            if polled.is_ready() || !LEAVES.take() {
                return polled;
            }
            let elsewhere = ELSEWHERE.with_borrow(Clone::clone);
            let (Some(elsewhere), Place::Here(future)) = (elsewhere, std::mem::replace(&mut self.0, Place::Over))
            else {
                return Poll::Pending;
            };
            self.0 = Place::There(elsewhere.spawn(future));
        }
        let Place::There(moved) = &mut self.0 else { return Poll::Pending };
        match Pin::new(moved).poll(cx) {
            Poll::Ready(Ok(output)) => Poll::Ready(output),
            Poll::Ready(Err(error)) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Its runtime ends, and so does everything.
                Err(_) => Poll::Pending,
            },
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Drop for Movable<T> {
    fn drop(&mut self) {
        // Nobody waits for it any more.
        if let Place::There(moved) = &self.0 {
            moved.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_work_is_done_elsewhere_and_short_work_here() {
        let elsewhere = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let here = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let work = |size| async move {
            leave(size).await;
            std::thread::current().id()
        };
        let own = std::thread::current().id();
        assert_eq!(here.block_on(Movable::new(work(LARGE + 1))), own, "there is no other place");
        send_to(elsewhere.handle().clone());
        assert_eq!(here.block_on(Movable::new(work(LARGE))), own);
        assert_ne!(here.block_on(Movable::new(work(LARGE + 1))), own);
        ELSEWHERE.take();
    }
}
