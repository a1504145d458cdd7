//! A deserializer without input: it notes what is asked for and makes values up.
//!
//! One reading cannot see everything: an enum shows one variant, a recursive type would never end, a checked type
//! refuses a made-up value. So a type is read again and again, each time going where something is still unknown, until
//! nothing more is learnt.

use std::any::type_name;
use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};

use super::access::{EnumPick, Parts};
use super::leaf;
use super::node::{Form, Node, Variants, to_visit};

/// How many other values are tried where one is refused.
const ATTEMPTS_MAX: usize = leaf::TEXTS.len() - 1;
/// Types nested deeper than this are opaque.
const DEPTH_MAX: usize = 64;
/// No type of sense has as much to learn as this.
const READINGS_MAX: usize = 20_000;

pub fn explore<V: DeserializeOwned>() -> Node {
    let mut root = Node::default();
    let mut reading = Reading::default();
    for _ in 0..READINGS_MAX {
        let learnt = reading.learnt;
        // Whether a value comes out does not matter: the error, too, has left its note in `root`.
        drop(reading.visit(&mut root, |tracer| V::deserialize(tracer)));
        if root.complete() || reading.learnt == learnt {
            break;
        }
    }
    root
}

/// Why a reading ended early.
#[derive(Debug)]
pub enum Stop {
    Refused,
    /// The reader says that it has the field of this name already.
    Duplicate(&'static str),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a value")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Refused
    }
    fn duplicate_field(field: &'static str) -> Self {
        Self::Duplicate(field)
    }
}

/// Where a reading is.
#[derive(Default)]
pub struct Reading {
    /// The types being read, outermost first, and the level of each. Only compared within one run of the program.
    path: Vec<(&'static str, usize)>,
    level: usize,
    /// The sum of the attempts along the path: which value to make up.
    choice: usize,
    /// Grows whenever something is learnt.
    pub learnt: usize,
}

impl Reading {
    /// Reads at `node`. A refusal that taught nothing calls for another value, and at last for giving up.
    pub fn visit<R>(&mut self, node: &mut Node, read: impl FnOnce(Tracer<'_>) -> Result<R, Stop>) -> Result<R, Stop> {
        let learnt = self.learnt;
        let attempts = node.attempts;
        self.choice += attempts;
        let result = read(Tracer { node, reading: self });
        self.choice -= attempts;
        if self.learnt > learnt {
            return result;
        }
        if result.is_err() && attempts < ATTEMPTS_MAX {
            node.attempts += 1;
            self.learnt += 1;
        } else if !node.complete() {
            node.closed = true;
            self.learnt += 1;
        }
        result
    }
}

/// Reads the value at one place.
pub struct Tracer<'t> {
    pub node: &'t mut Node,
    pub reading: &'t mut Reading,
}

impl<'t> Tracer<'t> {
    pub fn learn(&mut self, form: impl FnOnce() -> Form) {
        if matches!(self.node.form, Form::Unknown) {
            self.node.form = form();
            self.reading.learnt += 1;
        }
    }

    fn leaf(mut self, name: &'static str) -> usize {
        self.learn(|| Form::Leaf(name));
        self.reading.choice
    }

    /// A form that cannot be read from a binary format, and so not stored.
    fn opaque<R>(mut self) -> Result<R, Stop> {
        self.learn(|| Form::Leaf("opaque"));
        self.node.attempts = ATTEMPTS_MAX;
        Err(Stop::Refused)
    }

    /// Reads a form that has parts, unless it is within itself.
    fn enter<'de, V: Visitor<'de>>(
        mut self,
        levels: usize,
        visitor: V,
        read: impl FnOnce(Tracer<'_>, V) -> Result<V::Value, Stop>,
    ) -> Result<V::Value, Stop> {
        let (name, level) = (type_name::<V>(), self.reading.level);
        if let Some((_, above)) = self.reading.path.iter().find(|(entered, _)| *entered == name) {
            let levels = level - above;
            self.learn(|| Form::Up(levels));
            self.node.attempts = ATTEMPTS_MAX;
            return Err(Stop::Refused);
        }
        if self.reading.path.len() >= DEPTH_MAX {
            return self.opaque();
        }
        self.reading.path.push((name, level));
        self.reading.level += levels;
        let result = read(Tracer { node: self.node, reading: self.reading }, visitor);
        self.reading.level -= levels;
        self.reading.path.pop();
        result
    }

    pub fn tuple<'de, V: Visitor<'de>>(mut self, length: usize, visitor: V) -> Result<V::Value, Stop> {
        self.learn(|| Form::Tuple((0..length).map(|_| Node::default()).collect()));
        match &mut self.node.form {
            Form::Tuple(nodes) => visitor.visit_seq(Parts::each(nodes, self.reading)),
            _ => Err(Stop::Refused),
        }
    }

    fn option<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.learn(|| Form::Option(Box::default()));
        match &mut self.node.form {
            Form::Option(inner) if !inner.complete() || self.reading.choice % 2 == 1 => {
                self.reading.visit(inner, |tracer| visitor.visit_some(tracer))
            }
            _ => visitor.visit_none(),
        }
    }

    fn seq<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.learn(|| Form::Seq(Box::default()));
        let Form::Seq(element) = &mut self.node.form else { return Err(Stop::Refused) };
        let count = if element.complete() { self.reading.choice.min(2) } else { 1 };
        visitor.visit_seq(Parts::repeated(element, count, self.reading))
    }

    fn map<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.learn(|| Form::Map(Box::default()));
        let Form::Map(entry) = &mut self.node.form else { return Err(Stop::Refused) };
        let count = if entry.0.complete() && entry.1.complete() { self.reading.choice.min(1) } else { 1 };
        visitor.visit_map(super::access::Entries { entry, count, reading: self.reading })
    }

    fn variants<'de, V: Visitor<'de>>(
        mut self,
        declared: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let nodes = || declared.iter().map(|_| Node::default()).collect();
        self.learn(|| Form::Enum(Variants { declared, nodes: nodes(), by_name: false }));
        let Form::Enum(variants) = &mut self.node.form else { return Err(Stop::Refused) };
        let places = to_visit(&variants.nodes);
        let unknown = variants.nodes.iter().filter(|node| !node.complete()).count();
        let choice = if unknown > 0 { 0 } else { self.reading.choice % places.len().max(1) };
        let place = *places.get(choice).ok_or(Stop::Refused)?;
        visitor.visit_enum(EnumPick { variants, place, reading: self.reading })
    }
}

macro_rules! leaves {
    ($($deserialize:ident $name:literal $visit:ident $value:path),* $(,)?) => {
        $(
            fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
                let choice = self.leaf($name);
                visitor.$visit($value(choice))
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Stop;

    leaves! {
        deserialize_bool "bool" visit_bool leaf::bool,
        deserialize_i8 "i8" visit_i8 leaf::integer,
        deserialize_i16 "i16" visit_i16 leaf::integer,
        deserialize_i32 "i32" visit_i32 leaf::integer,
        deserialize_i64 "i64" visit_i64 leaf::integer,
        deserialize_i128 "i128" visit_i128 leaf::integer,
        deserialize_u8 "u8" visit_u8 leaf::integer,
        deserialize_u16 "u16" visit_u16 leaf::integer,
        deserialize_u32 "u32" visit_u32 leaf::integer,
        deserialize_u64 "u64" visit_u64 leaf::integer,
        deserialize_u128 "u128" visit_u128 leaf::integer,
        deserialize_f32 "f32" visit_f32 leaf::float,
        deserialize_f64 "f64" visit_f64 leaf::float,
        deserialize_char "char" visit_char leaf::char,
        deserialize_str "text" visit_borrowed_str leaf::text,
        deserialize_string "text" visit_borrowed_str leaf::text,
        deserialize_bytes "bytes" visit_borrowed_bytes leaf::bytes,
        deserialize_byte_buf "bytes" visit_borrowed_bytes leaf::bytes,
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.leaf("()");
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stop> {
        self.enter(0, visitor, |tracer, visitor| visitor.visit_newtype_struct(tracer))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.enter(1, visitor, |tracer, visitor| tracer.option(visitor))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.enter(1, visitor, |tracer, visitor| tracer.seq(visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.enter(1, visitor, |tracer, visitor| tracer.map(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Stop> {
        self.enter(1, visitor, |tracer, visitor| tracer.tuple(length, visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        declared: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.enter(1, visitor, |tracer, visitor| tracer.fields(declared, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        declared: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.enter(1, visitor, |tracer, visitor| tracer.variants(declared, visitor))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.opaque()
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.opaque()
    }

    /// What a reader does with a field that it does not know.
    fn deserialize_ignored_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.learn(|| Form::Absent);
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
