//! Process settings: defaults, file, environment and flags by figment; raw -> valid.
