//~ `Shop` has fields: an enum that is a key has none
use headwater_state::Key;

#[derive(Clone, PartialEq, Eq, Key)]
enum Place {
    Online,
    Shop { number: u32 },
}

fn main() {}
