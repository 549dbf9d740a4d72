//! How long each step of one request takes, without sockets: `cargo bench -p openshell-benches`.
//!
//! Not here: what the whole router costs (`load`).

mod answers;
mod requests;
mod setup;
mod translations;

use std::time::Duration;

use criterion::Criterion;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(40)
        .configure_from_args();
    requests::run(&mut criterion)?;
    answers::run(&mut criterion)?;
    translations::run(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
