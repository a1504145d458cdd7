//! Structs: their fields in order, delimited but for the last.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Field, Fields, Ident, Index, Path, spanned::Spanned};

pub fn body(krate: &Path, fields: &Fields) -> TokenStream {
    let fields: Vec<Part> = fields.iter().enumerate().map(Part::new).collect();
    let encode = encode(krate, &fields);
    let decode = decode(krate, &fields);
    let shape = shape(krate, &fields);
    let hash = hash(krate, &fields);
    let heap = fields.iter().map(|part| part.call(krate, "heap_bytes", &part.borrowed()));
    quote! {
        #encode
        #decode
        #shape
        #hash
        #[inline]
        fn heap_bytes(&self) -> usize {
            0 #(+ #heap)*
        }
    }
}

/// A field, the way generated code speaks of it.
struct Part<'a> {
    field: &'a Field,
    /// `name` or `0`, as in `self.0`.
    member: TokenStream,
    /// The variable that holds it while decoding.
    variable: Ident,
}

impl<'a> Part<'a> {
    fn new((place, field): (usize, &'a Field)) -> Self {
        let member = match &field.ident {
            Some(name) => name.to_token_stream(),
            None => Index::from(place).to_token_stream(),
        };
        Self { field, member, variable: format_ident!("part_{place}") }
    }

    fn borrowed(&self) -> TokenStream {
        let member = &self.member;
        quote!(&self.#member)
    }

    /// A call on the field's type, spanned so that a field which is no key is what the compiler points at.
    fn call(&self, krate: &Path, method: &str, arguments: &TokenStream) -> TokenStream {
        let ty = &self.field.ty;
        let method = format_ident!("{method}");
        quote_spanned!(ty.span()=> <#ty as #krate::Key>::#method(#arguments))
    }
}

fn encode(krate: &Path, fields: &[Part]) -> TokenStream {
    let part = |part: &Part| {
        let member = part.borrowed();
        part.call(krate, "encode_part", &quote!(#member, out))
    };
    let parts: Vec<_> = fields.iter().map(part).collect();
    let first = parts.iter().take(fields.len().saturating_sub(1));
    let last = fields.last().map(|last| {
        let member = last.borrowed();
        last.call(krate, "encode", &quote!(#member, out))
    });
    quote! {
        #[inline]
        #[allow(unused_variables)]
        fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
            #(#first;)*
            #last
        }
        #[inline]
        #[allow(unused_variables)]
        fn encode_part(&self, out: &mut ::std::vec::Vec<u8>) {
            #(#parts;)*
        }
    }
}

fn decode(krate: &Path, fields: &[Part]) -> TokenStream {
    let read = |part: &Part, method: &str, arguments: &TokenStream| {
        let variable = &part.variable;
        let call = part.call(krate, method, arguments);
        quote!(let #variable = #call?;)
    };
    let parts: Vec<_> = fields.iter().map(|part| read(part, "decode_part", &quote!(bytes))).collect();
    let first = fields.iter().take(fields.len().saturating_sub(1));
    let first = first.map(|part| read(part, "decode_part", &quote!(&mut bytes)));
    let last = match fields.last() {
        Some(last) => read(last, "decode", &quote!(bytes)),
        None => quote!(<() as #krate::Key>::decode(bytes)?;),
    };
    let members: Vec<_> = fields.iter().map(|part| &part.member).collect();
    let variables: Vec<_> = fields.iter().map(|part| &part.variable).collect();
    quote! {
        #[allow(unused_mut)]
        fn decode(mut bytes: &[u8]) -> #krate::Result<Self> {
            #(#first)*
            #last
            ::core::result::Result::Ok(Self { #(#members: #variables),* })
        }
        #[allow(unused_variables)]
        fn decode_part(bytes: &mut &[u8]) -> #krate::Result<Self> {
            #(#parts)*
            ::core::result::Result::Ok(Self { #(#members: #variables),* })
        }
    }
}

/// `(a:text,b:u64)`; without names for a tuple struct; what is inside for a tuple struct of one.
fn shape(krate: &Path, fields: &[Part]) -> TokenStream {
    let nothing = TokenStream::new();
    if let [only] = fields
        && only.field.ident.is_none()
    {
        let inner = only.call(krate, "shape", &nothing);
        return quote! {
            fn shape() -> ::std::string::String { #inner }
        };
    }
    let parts = fields.iter().enumerate().map(|(place, part)| {
        let comma = if place == 0 { "" } else { "," };
        let before = match &part.field.ident {
            Some(name) => format!("{comma}{}:", syn::ext::IdentExt::unraw(name)),
            None => comma.to_owned(),
        };
        let inner = part.call(krate, "shape", &nothing);
        quote! {
            shape.push_str(#before);
            shape.push_str(&#inner);
        }
    });
    quote! {
        fn shape() -> ::std::string::String {
            let mut shape = <::std::string::String as ::core::convert::From<&str>>::from("(");
            #(#parts)*
            shape.push(')');
            shape
        }
    }
}

/// A struct of one field has that field's bytes, and so its hash without writing them out.
fn hash(krate: &Path, fields: &[Part]) -> Option<TokenStream> {
    let [only] = fields else { return None };
    let inner = only.call(krate, "hash64", &only.borrowed());
    Some(quote! {
        #[inline]
        fn hash64(&self) -> u64 { #inner }
    })
}
