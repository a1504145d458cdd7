use headwater_state::Key;

#[derive(Clone, PartialEq, Eq, Key)]
enum Place {
    Online,
    Shop { number: u32 },
}

fn main() {}
