//~ `f64` cannot be a key
//~ floats and maps have no canonical bytes
use headwater_state::Key;

#[derive(Clone, PartialEq, Key)]
struct Place {
    city: String,
    latitude: f64,
}

impl Eq for Place {}

fn main() {}
