use headwater_state::Key;

#[derive(Clone, PartialEq, Key)]
struct Place {
    city: String,
    latitude: f64,
}

fn main() {}
