//! How fast a text is scanned: `classify_speed FILE [CHUNK_BYTES] [ROUNDS]` prints the best round in MB/s, for the
//! first stage alone and for all families.

use std::time::Instant;

use router::classify::{Classifier, candidates::Candidates};
use router::wire::Part;

#[expect(clippy::print_stdout, reason = "the figure is the purpose of the program")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: classify_speed FILE [CHUNK_BYTES] [ROUNDS]")?;
    let chunk = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let rounds = arguments.next().map_or(Ok(5), |text| text.parse::<u32>())?;
    let bytes = std::fs::read(&path)?;
    let text = String::from_utf8_lossy(&bytes);
    let chunks = cut(&text, chunk);
    let classifier = Classifier::new(Vec::new())?;
    let stage =
        best(rounds, text.len(), || chunks.iter().map(|one| Candidates::of(one).count()).sum());
    println!("candidates {:.0} MB/s, {} marks", stage.0, stage.1);
    let all = best(rounds, text.len(), || {
        chunks.iter().map(|one| classifier.scan(one, Part::Prose).len()).sum()
    });
    println!("all        {:.0} MB/s, {} findings", all.0, all.1);
    Ok(())
}

/// Cuts `text` into pieces of about `size` bytes.
fn cut(text: &str, size: usize) -> Vec<&str> {
    let mut rest = text;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(size.max(4)));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

/// The best throughput of `rounds` runs in MB/s, and what the work counted.
fn best(rounds: u32, bytes: usize, work: impl Fn() -> usize) -> (f64, usize) {
    let (mut fastest, mut counted) = (f64::INFINITY, 0);
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        counted = work();
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "a printed figure of a few digits")]
    let megabytes = bytes as f64 / 1e6;
    (megabytes / fastest, counted)
}
