//~ `f64` cannot be a key
//~ floats and maps have no canonical bytes
use headwater::prelude::*;

fn main() {
    let job = Job::new("floats");
    job.source(Topic::json::<f64>("numbers")).key_by(|number| *number).records().sink(Topic::json("out"));
}
