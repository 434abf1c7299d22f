//! The gateway over real sockets.

#![expect(clippy::indexing_slicing, clippy::string_slice, clippy::expect_used, reason = "a test ends by panicking")]
#![expect(clippy::print_stderr, reason = "what is skipped is said aloud")]

mod support;

mod exchange;
mod http;
mod negotiate;
mod operate;
mod reload;
mod streams;
