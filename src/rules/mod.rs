//! The front end: load -> parse -> check, with every mistake reported at its place.

pub mod ast;
pub mod checked;
pub mod yaml;
