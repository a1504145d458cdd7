//! What the compiler says to a mistake that a user can make. `TRYBUILD=overwrite cargo test compile_fail` rewrites
//! the expectations; read them before committing: they are part of the product.

#[test]
fn mistakes_that_the_compiler_finds_are_said_in_a_sentence() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
