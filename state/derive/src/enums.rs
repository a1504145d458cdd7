//! Enums without fields: one byte, the variant's place.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataEnum, DeriveInput, Error, Fields, Path, Result};

pub fn body(krate: &Path, input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    if data.variants.is_empty() {
        return Err(Error::new_spanned(&input.ident, "an enum with no variants cannot be a key"));
    }
    if data.variants.len() > 256 {
        return Err(Error::new_spanned(&input.ident, "an enum that is a key has at most 256 variants"));
    }
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            let message = format!(
                "`{}` has fields: an enum that is a key has none; use a struct of an enum without fields and of what \
                 the variants hold, or implement `Key` by hand",
                variant.ident
            );
            return Err(Error::new_spanned(variant, message));
        }
    }
    Ok(methods(krate, input, data))
}

fn methods(krate: &Path, input: &DeriveInput, data: &DataEnum) -> TokenStream {
    let name = input.ident.to_string();
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    let places: Vec<u8> = (0..=u8::MAX).take(variants.len()).collect();
    let names: Vec<_> = variants.iter().map(ToString::to_string).collect();
    let shape = format!("<{}>", names.join("|"));
    quote! {
        #[inline]
        fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
            out.push(match self { #(Self::#variants => #places),* });
        }
        #[inline]
        fn encode_part(&self, out: &mut ::std::vec::Vec<u8>) {
            #krate::Key::encode(self, out);
        }
        fn decode(bytes: &[u8]) -> #krate::Result<Self> {
            match <u8 as #krate::Key>::decode(bytes)? {
                #(#places => ::core::result::Result::Ok(Self::#variants),)*
                #[allow(unreachable_patterns)]
                other => ::core::result::Result::Err(#krate::Error::corrupt(
                    ::std::format!("key of type {} has no variant {}", #name, other),
                )),
            }
        }
        fn decode_part(bytes: &mut &[u8]) -> #krate::Result<Self> {
            let place = <u8 as #krate::Key>::decode_part(bytes)?;
            #krate::Key::decode(&[place])
        }
        fn shape() -> ::std::string::String {
            ::core::convert::From::from(#shape)
        }
        #[inline]
        fn hash64(&self) -> u64 {
            #krate::hash_bytes(&[match self { #(Self::#variants => #places),* }])
        }
    }
}
