//! How generated code names the crate that holds `Key`.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::Span;
use syn::{DeriveInput, Error, Ident, LitStr, Path, Result, parse_quote};

/// The path in `#[key(crate = "...")]`, else what the user's `Cargo.toml` depends on.
pub fn of_crate(input: &DeriveInput) -> Result<Path> {
    let mut named = None;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("key")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("the only attribute of a key is `#[key(crate = \"path\")]`"));
            }
            named = Some(meta.value()?.parse::<LitStr>()?.parse::<Path>()?);
            Ok(())
        })?;
    }
    named.map_or_else(found, Ok)
}

fn found() -> Result<Path> {
    if let Some(state) = dependency("headwater-state", "headwater_state") {
        return Ok(parse_quote!(::#state));
    }
    if let Some(engine) = dependency("headwater", "headwater") {
        return Ok(parse_quote!(::#engine::state));
    }
    let message = "`#[derive(Key)]` finds no `headwater` among the dependencies: add it to Cargo.toml, or say where it \
                   is re-exported with `#[key(crate = \"path::to::headwater::state\")]`";
    Err(Error::new(Span::call_site(), message))
}

/// The name under which `package` is a dependency, or is being compiled.
fn dependency(package: &str, own_name: &str) -> Option<Ident> {
    let name = match crate_name(package).ok()? {
        // Tests, examples and doc tests belong to the package too and do not know it as `crate`.
        FoundCrate::Itself => own_name.to_owned(),
        FoundCrate::Name(name) => name,
    };
    Some(Ident::new(&name, Span::call_site()))
}
