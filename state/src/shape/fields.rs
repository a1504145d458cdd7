//! The fields of a struct, asked for in any order: a field that refuses every made-up value hides no other.
//!
//! They are asked for by number first, because only numbers tell fields from aliases of fields.

use serde::de::value::{BorrowedStrDeserializer, U64Deserializer};
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, Visitor};

use super::access::Parts;
use super::explore::{Reading, Stop, Tracer};
use super::node::{Fields, Form, Keys, Name, Node, to_visit};

impl Tracer<'_> {
    pub fn fields<'de, V: Visitor<'de>>(
        mut self,
        declared: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.learn(|| Form::Struct(Fields::new(declared)));
        let Form::Struct(fields) = &mut self.node.form else { return Err(Stop::Refused) };
        if fields.keys == Keys::Position {
            return visitor.visit_seq(Parts::each(&mut fields.nodes, self.reading));
        }
        let learnt = self.reading.learnt;
        let mut asked = Asked { places: to_visit(&fields.nodes), at: 0, repeated: None, begun: false };
        let result = visitor.visit_map(FieldAccess { fields, asked: &mut asked, reading: self.reading });
        if let (Err(Stop::Duplicate(name)), Some(place)) = (&result, asked.repeated)
            && let Some(known) = fields.names.get_mut(place)
        {
            *known = Name::Told(name);
        }
        if !asked.begun && result.is_err() && self.reading.learnt == learnt {
            fields.keys = Keys::Position;
            self.reading.learnt += 1;
        }
        result
    }
}

/// What one reading asked for; it outlives the access, which the reader consumes.
struct Asked {
    places: Vec<usize>,
    at: usize,
    /// The field whose key was given twice, to be told its name.
    repeated: Option<usize>,
    begun: bool,
}

struct FieldAccess<'t> {
    fields: &'t mut Fields,
    asked: &'t mut Asked,
    reading: &'t mut Reading,
}

impl FieldAccess<'_> {
    /// The field that was read last, if its name is still to be asked for.
    fn unnamed(&self) -> Option<usize> {
        let last = *self.asked.places.get(self.asked.at.checked_sub(1)?)?;
        let ask = self.fields.aliased()
            && self.fields.keys == Keys::Index
            && self.fields.nodes.iter().all(Node::complete)
            && self.fields.names.get(last) == Some(&Name::NotAsked);
        ask.then_some(last)
    }

    /// A key was refused: there is no such field, or this reader knows fields otherwise.
    fn refused(&mut self, place: usize) {
        match (self.fields.accepted, self.fields.keys) {
            (false, Keys::Index) => self.fields.keys = Keys::Name,
            (false, _) => self.fields.keys = Keys::Position,
            (true, _) => {
                if let Some(node) = self.fields.nodes.get_mut(place) {
                    node.form = Form::Absent;
                }
            }
        }
        self.reading.learnt += 1;
    }
}

impl<'de> MapAccess<'de> for FieldAccess<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        self.asked.begun = true;
        if let Some(place) = self.unnamed() {
            self.asked.repeated = Some(place);
            if let Some(name) = self.fields.names.get_mut(place) {
                *name = Name::NotTold;
                self.reading.learnt += 1;
            }
            return seed.deserialize(number(place)).map(Some);
        }
        let Some(&place) = self.asked.places.get(self.asked.at) else { return Ok(None) };
        self.asked.at += 1;
        let name = self.fields.declared.get(place).copied().unwrap_or_default();
        let key = match self.fields.keys {
            Keys::Index => seed.deserialize(number(place)),
            Keys::Name | Keys::Position => seed.deserialize(BorrowedStrDeserializer::new(name)),
        };
        match &key {
            Ok(_) => self.fields.accepted = true,
            Err(_) => self.refused(place),
        }
        key.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        let place = self.asked.at.checked_sub(1).and_then(|at| self.asked.places.get(at));
        let node = place.and_then(|place| self.fields.nodes.get_mut(*place)).ok_or(Stop::Refused)?;
        self.reading.visit(node, |tracer| seed.deserialize(tracer))
    }
}

fn number(place: usize) -> U64Deserializer<Stop> {
    (place as u64).into_deserializer()
}
