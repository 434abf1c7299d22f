//! Interfaces as typed views: OpenAPI documents, what they prove about rules, documents that they allow, laws.
//!
//! [`parse_interface`] reads a document; [`prove`] binds plain equations to declared types, refuses what the schemas
//! refute and gives every rule its verdict; Examples and laws run over a compiled step.

pub mod documents;
mod include;
mod interface;
mod openapi;
mod prove;
pub mod schema;

pub use include::{Comparison, Inclusion, Mismatch};
pub use interface::{Body, Carrier, Interface, Operation, Parameter, Response};
pub use openapi::parse_interface;
pub use prove::prove;
