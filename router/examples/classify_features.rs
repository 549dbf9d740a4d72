//! Prints what the model of generic secrets sees, for training its weights: reads `{"id","text"}` lines on standard
//! input and writes one line per guess: `{"id","start","end","features"}` with offsets in bytes.

use std::io::{self, BufRead, Write};

use router::classify::{candidates::Candidates, generic};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let text = row.get("text").and_then(Value::as_str).unwrap_or_default();
        for guess in generic::guesses(text, &Candidates::of(text)) {
            let (start, end) = (guess.span.start, guess.span.end);
            let features = guess.features.to_vec();
            writeln!(
                out,
                "{}",
                json!({"id": row.get("id"), "start": start, "end": end, "features": features})
            )?;
        }
    }
    Ok(())
}
