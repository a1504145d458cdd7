//! `#[derive(Key)]`, for structs and for enums without fields.

mod enums;
mod path;
mod structs;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, GenericParam, Generics, Path, Result, parse_quote};

/// Implements `Key` for a struct whose fields are keys, or for an enum without fields.
///
/// A struct's bytes are its fields in the order they are declared, as in a tuple; a tuple struct with one field is
/// stored exactly as that field. An enum is one byte: the place of its variant. The shape names fields and variants,
/// so that renaming, reordering or retyping one is noticed when old state is opened.
///
/// The generated code finds the crate by the user's `Cargo.toml`; `#[key(crate = "path")]` names it instead.
#[proc_macro_derive(Key, attributes(key))]
pub fn derive_key(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    if let Some(lifetime) = input.generics.lifetimes().next() {
        let message = "a key owns what it holds: use `Text` or `String` in place of a borrowed field";
        return Err(Error::new_spanned(lifetime, message));
    }
    let krate = path::of_crate(input)?;
    let body = match &input.data {
        Data::Struct(data) => structs::body(&krate, &data.fields),
        Data::Enum(data) => enums::body(&krate, input, data)?,
        Data::Union(data) => return Err(Error::new_spanned(data.union_token, "a union cannot be a key: use a struct")),
    };
    Ok(implementation(&krate, input, &body))
}

fn implementation(krate: &Path, input: &DeriveInput, body: &TokenStream) -> TokenStream {
    let name = &input.ident;
    let generics = with_bounds(input.generics.clone(), krate);
    let (head, arguments, bounds) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #head #krate::Key for #name #arguments #bounds {
            #body
        }
    }
}

/// Every type parameter has to be a key.
fn with_bounds(mut generics: Generics, krate: &Path) -> Generics {
    for parameter in &mut generics.params {
        if let GenericParam::Type(parameter) = parameter {
            parameter.bounds.push(parse_quote!(#krate::Key));
        }
    }
    generics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(input: &DeriveInput) -> String {
        expand(input).expect_err("should be refused").to_string()
    }

    #[test]
    fn an_enum_with_fields_is_refused_with_the_remedy() {
        let message = refusal(&parse_quote! {
            #[key(crate = "state")]
            enum Place { Shop(u32), Online }
        });
        assert!(message.contains("`Shop` has fields") && message.contains("use a struct"), "{message}");
    }

    #[test]
    fn an_enum_without_variants_is_refused() {
        let message = refusal(&parse_quote! {
            #[key(crate = "state")]
            enum Never {}
        });
        assert!(message.contains("no variants"), "{message}");
    }

    #[test]
    fn a_borrowed_field_is_refused_with_the_remedy() {
        let message = refusal(&parse_quote! {
            struct Name<'a>(&'a str);
        });
        assert!(message.contains("use `Text`"), "{message}");
    }

    #[test]
    fn an_unknown_attribute_is_named() {
        let message = refusal(&parse_quote! {
            #[key(name = "x")]
            struct Id(u32);
        });
        assert!(message.contains("crate = "), "{message}");
    }

    #[test]
    fn the_crate_can_be_named() {
        let tokens = expand(&parse_quote! {
            #[key(crate = "::elsewhere::state")]
            struct Id(u32);
        });
        let text = tokens.expect("expands").to_string();
        assert!(text.contains(":: elsewhere :: state :: Key for Id"), "{text}");
    }
}
