//! Bifocal lets the old and the new version of a service's interface live side by side.
//!
//! Data flows one way; no module asks one to its right for anything, and nothing flows back:
//!
//! ```text
//! rules/ --load--> Sources --parse--> ast --check--> checked --compile--> Plan --swap--> generation
//! disk             text       spanned       bound, proven     immutable         requests read it
//! ```
//!
//! The core (`diagnostic`, `json`, `path`, `contract`, `rules`, `codecs`, `plan`) does no network I/O and knows
//! no async runtime; only [`rules::load`] reads the disk. [`gateway`] serves a plan over HTTP.

pub mod diagnostic;
pub mod json;
pub mod path;

pub mod rules;

pub mod codecs;
pub mod contract;

pub mod plan;

#[cfg(feature = "gateway")]
pub mod messaging;
#[cfg(feature = "gateway")]
pub mod store;

#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "gateway")]
pub mod settings;

#[cfg(feature = "gateway")]
pub mod cli;
