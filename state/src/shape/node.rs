//! What is known of a type so far.

use std::fmt;

/// A place in a type. It starts unknown and is filled in over many readings.
#[derive(Debug, Default)]
pub struct Node {
    pub form: Form,
    /// How often a value made here was refused; each time another one is made.
    pub attempts: usize,
    /// Nothing more can be learnt here.
    pub closed: bool,
}

#[derive(Debug, Default)]
pub enum Form {
    #[default]
    Unknown,
    /// A form without parts.
    Leaf(&'static str),
    Option(Box<Node>),
    Seq(Box<Node>),
    Map(Box<(Node, Node)>),
    Tuple(Vec<Node>),
    Struct(Fields),
    Enum(Variants),
    /// The type that is so many levels up.
    Up(usize),
    /// A field or variant that there is none of, after all.
    Absent,
}

#[derive(Debug)]
pub struct Fields {
    /// What serde says the names are: those of the fields and, mixed with them, their aliases.
    pub declared: &'static [&'static str],
    pub names: Vec<Name>,
    pub nodes: Vec<Node>,
    pub keys: Keys,
    /// The reader took a key of this sort before.
    pub accepted: bool,
}

/// A field's own name, which has to be asked for where there are aliases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Name {
    NotAsked,
    NotTold,
    Told(&'static str),
}

/// How the reader of a struct knows its fields.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keys {
    Index,
    Name,
    /// Not at all: it reads them in order.
    Position,
}

#[derive(Debug)]
pub struct Variants {
    pub declared: &'static [&'static str],
    pub nodes: Vec<Node>,
    pub by_name: bool,
}

impl Node {
    /// Whether nothing more is to be learnt here.
    pub fn complete(&self) -> bool {
        self.closed
            || match &self.form {
                Form::Unknown => false,
                Form::Leaf(_) | Form::Up(_) | Form::Absent => true,
                Form::Option(inner) | Form::Seq(inner) => inner.complete(),
                Form::Map(entry) => entry.0.complete() && entry.1.complete(),
                Form::Tuple(parts) => parts.iter().all(Self::complete),
                Form::Struct(fields) => fields.complete(),
                Form::Enum(variants) => variants.nodes.iter().all(Self::complete),
            }
    }

    fn absent(&self) -> bool {
        matches!(self.form, Form::Absent)
    }
}

/// The places of `nodes` that exist, those with something to learn first.
pub fn to_visit(nodes: &[Node]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..nodes.len()).collect();
    places.retain(|place| nodes.get(*place).is_some_and(|node| !node.absent()));
    places.sort_by_key(|place| nodes.get(*place).is_some_and(Node::complete));
    places
}

impl Fields {
    pub fn new(declared: &'static [&'static str]) -> Self {
        let nodes = declared.iter().map(|_| Node::default()).collect();
        Self { declared, names: vec![Name::NotAsked; declared.len()], nodes, keys: Keys::Index, accepted: false }
    }

    fn complete(&self) -> bool {
        let mut names = self.names.iter().zip(&self.nodes).filter(|(_, node)| !node.absent());
        self.nodes.iter().all(Node::complete) && (!self.aliased() || names.all(|(name, _)| *name != Name::NotAsked))
    }

    /// Whether more names are declared than there are fields. Known once all fields are.
    pub fn aliased(&self) -> bool {
        self.nodes.iter().any(Node::absent)
    }

    fn name(&self, place: usize) -> String {
        match (self.aliased() && self.keys == Keys::Index, self.names.get(place), self.declared.get(place)) {
            (true, Some(Name::Told(name)), _) | (false, _, Some(name)) => quoted(name),
            _ => format!("#{place}"),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            Form::Unknown | Form::Absent => f.write_str("opaque"),
            Form::Leaf(name) => f.write_str(name),
            Form::Option(inner) => write!(f, "{inner}?"),
            Form::Seq(element) => write!(f, "[{element}]"),
            Form::Map(entry) => write!(f, "map<{},{}>", entry.0, entry.1),
            Form::Tuple(parts) => tuple(parts, f),
            Form::Struct(fields) => fields.fmt(f),
            Form::Enum(variants) => variants.fmt(f),
            Form::Up(levels) => write!(f, "^{levels}"),
        }
    }
}

fn tuple(parts: &[Node], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let texts: Vec<String> = parts.iter().map(ToString::to_string).collect();
    match texts.split_first() {
        Some((only, [])) => write!(f, "({only},)"),
        Some((first, rest)) if rest.len() > 3 && rest.iter().all(|text| text == first) => {
            write!(f, "[{first};{}]", texts.len())
        }
        _ => write!(f, "({})", texts.join(",")),
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = self.nodes.iter().enumerate().filter(|(_, node)| !node.absent());
        let fields: Vec<String> = present.map(|(place, node)| format!("{}:{node}", self.name(place))).collect();
        write!(f, "{{{}}}", fields.join(","))
    }
}

impl fmt::Display for Variants {
    /// Which alias belongs to which variant is not to be known: then variants have numbers, and all names follow.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aliased = !self.by_name && self.nodes.iter().any(Node::absent);
        let mut variants = Vec::new();
        for (place, (node, name)) in self.nodes.iter().zip(self.declared).enumerate() {
            let name = if aliased { format!("#{place}") } else { quoted(name) };
            match node.form {
                Form::Absent => {}
                Form::Leaf(UNIT_VARIANT) => variants.push(name),
                _ => variants.push(format!("{name}:{node}")),
            }
        }
        write!(f, "<{}", variants.join("|"))?;
        if aliased {
            let names: Vec<String> = self.declared.iter().map(|name| quoted(name)).collect();
            write!(f, ";{}", names.join(","))?;
        }
        f.write_str(">")
    }
}

/// The form of a variant without content.
pub const UNIT_VARIANT: &str = "";

/// A name that cannot be mistaken for structure.
fn quoted(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|char| char.is_alphanumeric() || "_-.".contains(char));
    if plain { name.to_owned() } else { format!("{name:?}") }
}
