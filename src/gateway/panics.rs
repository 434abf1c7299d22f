//! A panic while one request is in work ends that request alone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future whose panics are results.
pub(super) struct CatchPanic<'f, F>(Pin<&'f mut F>);

impl<'f, F: Future> CatchPanic<'f, F> {
    pub(super) fn new(inner: Pin<&'f mut F>) -> Self {
        Self(inner)
    }
}

impl<F: Future> Future for CatchPanic<'_, F> {
    /// What the future gives, or what the panic said.
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The future is never polled again after a panic, so nobody sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(message(&*panic))),
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_result() {
        assert_eq!(CatchPanic::new(pin!(async { 1 })).await, Ok(1));
        let panicking = pin!(async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
        let caught: Result<(), String> = CatchPanic::new(panicking).await;
        assert_eq!(caught, Err("panic: on purpose".to_owned()));
    }
}
