//! Interfaces as typed views: OpenAPI documents, what they prove about rules, documents that they allow, laws.
//!
//! [`parse_interface`] reads a document; [`prove()`] binds plain equations to declared types, refuses what the schemas
//! refute and gives every rule its verdict; [`verify`] runs examples and laws over a compiled step.

pub mod documents;
mod include;
mod interface;
pub mod laws;
mod openapi;
mod prove;
pub mod schema;

pub use include::{Comparison, Inclusion, Mismatch};
pub use interface::{Body, Carrier, Interface, Operation, Parameter, Response};
pub use laws::{Budget, Documents, Evidence, verify, verify_service};
pub use openapi::parse_interface;
pub use prove::prove;
