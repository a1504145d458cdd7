//! The parts of sequences, maps and enums.

use serde::de::value::{BorrowedStrDeserializer, U32Deserializer};
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::explore::{Reading, Stop, Tracer};
use super::node::{Form, Node, UNIT_VARIANT, Variants};

/// The elements of a sequence, one by one.
pub struct Parts<'t> {
    nodes: &'t mut [Node],
    at: usize,
    count: usize,
    reading: &'t mut Reading,
}

impl<'t> Parts<'t> {
    /// Each of `nodes` once.
    pub fn each(nodes: &'t mut [Node], reading: &'t mut Reading) -> Self {
        Self { at: 0, count: nodes.len(), nodes, reading }
    }

    /// The same node `count` times.
    pub fn repeated(node: &'t mut Node, count: usize, reading: &'t mut Reading) -> Self {
        Self { at: 0, count, nodes: std::slice::from_mut(node), reading }
    }
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        if self.at >= self.count {
            return Ok(None);
        }
        let place = self.at.min(self.nodes.len() - 1);
        self.at += 1;
        let node = self.nodes.get_mut(place).ok_or(Stop::Refused)?;
        self.reading.visit(node, |tracer| seed.deserialize(tracer)).map(Some)
    }
}

/// The entries of a map.
pub struct Entries<'t> {
    pub entry: &'t mut (Node, Node),
    pub count: usize,
    pub reading: &'t mut Reading,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        if self.count == 0 {
            return Ok(None);
        }
        self.count -= 1;
        self.reading.visit(&mut self.entry.0, |tracer| seed.deserialize(tracer)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        self.reading.visit(&mut self.entry.1, |tracer| seed.deserialize(tracer))
    }
}

/// One variant of an enum.
pub struct EnumPick<'t> {
    pub variants: &'t mut Variants,
    pub place: usize,
    pub reading: &'t mut Reading,
}

impl<'de, 't> EnumAccess<'de> for EnumPick<'t> {
    type Error = Stop;
    type Variant = VariantPick<'t>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, VariantPick<'t>), Stop> {
        let node = self.variants.nodes.get_mut(self.place).ok_or(Stop::Refused)?;
        let name = self.variants.declared.get(self.place).copied().unwrap_or_default();
        let key = if self.variants.by_name {
            seed.deserialize(BorrowedStrDeserializer::new(name))
        } else {
            let number: U32Deserializer<Stop> = (self.place as u32).into_deserializer();
            seed.deserialize(number)
        };
        if key.is_err() && matches!(node.form, Form::Unknown) {
            // Where not even the first variant goes by number, all go by name. Beyond the last one are only aliases.
            if self.place == 0 && !self.variants.by_name {
                self.variants.by_name = true;
            } else {
                node.form = Form::Absent;
            }
            self.reading.learnt += 1;
        }
        Ok((key?, VariantPick { node, reading: self.reading }))
    }
}

/// The content of a variant.
pub struct VariantPick<'t> {
    node: &'t mut Node,
    reading: &'t mut Reading,
}

impl<'de> VariantAccess<'de> for VariantPick<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Tracer { node: self.node, reading: self.reading }.learn(|| Form::Leaf(UNIT_VARIANT));
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stop> {
        self.reading.visit(self.node, |tracer| seed.deserialize(tracer))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Stop> {
        self.reading.visit(self.node, |tracer| tracer.tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, declared: &'static [&'static str], visitor: V) -> Result<V::Value, Stop> {
        self.reading.visit(self.node, |tracer| tracer.fields(declared, visitor))
    }
}
