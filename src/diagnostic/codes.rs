//! Every code there is.

use super::Code;

/// Not YAML.
pub const R1: Code = Code("R1");
/// A key twice.
pub const R2: Code = Code("R2");
/// A part of YAML that is not supported.
pub const R3: Code = Code("R3");
/// No exact JSON value.
pub const R4: Code = Code("R4");
/// Unknown key.
pub const R5: Code = Code("R5");
/// Wrong shape.
pub const R6: Code = Code("R6");
/// Bounds.
pub const E15: Code = Code("E15");
