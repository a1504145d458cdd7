//! The parts of the engine, each by itself.

fn main() {}
