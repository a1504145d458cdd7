//! What the compiler says to a mistake that a user can make.

use std::path::Path;

#[path = "../../../state/tests/support/compile.rs"]
mod compile;

#[test]
fn mistakes_that_the_compiler_finds_are_said_in_a_sentence() {
    compile::check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail"), "headwater");
}
