//! A run of steps with headings and times, and the summary that closes it.

use std::time::{Duration, Instant};

use crate::say;

/// How a step ended, when it did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Everything it checks holds.
    Passed,
    /// Nothing, or not everything, was checked.
    Skipped {
        /// What is missing, one line each.
        why: Vec<String>,
    },
}

/// Steps that run in order until one fails.
#[derive(Debug)]
pub(crate) struct Steps {
    begun: Instant,
    ended: Vec<(&'static str, Ended, Duration)>,
}

impl Steps {
    /// Starts the clock.
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), ended: Vec::new() }
    }

    /// Runs one step; `advice` is what to do when it fails.
    ///
    /// # Errors
    /// The step's own, with the advice printed and the steps before it listed.
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        advice: &str,
        check: impl FnOnce() -> anyhow::Result<Ended>,
    ) -> anyhow::Result<()> {
        say::heading(name);
        let begun = Instant::now();
        let result = check();
        let took = begun.elapsed();
        match result {
            Ok(ended) => {
                for why in ended.reasons() {
                    say::line(&format!("skipped: {why}"));
                }
                say::line(&format!("--- {name}: {} in {}", ended.word(), seconds(took)));
                self.ended.push((name, ended, took));
                Ok(())
            }
            Err(error) => {
                say::line(&format!("--- {name}: FAILED after {}", seconds(took)));
                self.summary();
                Err(anyhow::anyhow!("{name} failed: {error:#}\nwhat to do: {advice}"))
            }
        }
    }

    /// Prints every step with its time, then everything that was skipped with its reason.
    pub(crate) fn summary(&self) {
        say::heading(&format!("summary, {} in all", seconds(self.begun.elapsed())));
        for (name, ended, took) in &self.ended {
            say::line(&format!("{:<10} {:>9}  {name}", ended.word(), seconds(*took)));
        }
        let skipped: Vec<String> = self.ended.iter().flat_map(skipped_lines).collect();
        if skipped.is_empty() {
            say::line("nothing was skipped");
        } else {
            say::line("\nskipped, and why:");
            for line in &skipped {
                say::line(line);
            }
        }
    }
}

impl Ended {
    /// `Passed` when nothing is missing.
    pub(crate) fn with_skips(why: Vec<String>) -> Self {
        if why.is_empty() { Self::Passed } else { Self::Skipped { why } }
    }

    /// Skipped for one reason.
    pub(crate) fn skipped(why: &str) -> Self {
        Self::Skipped { why: vec![why.to_owned()] }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped { .. } => "skips",
        }
    }

    fn reasons(&self) -> &[String] {
        match self {
            Self::Passed => &[],
            Self::Skipped { why } => why,
        }
    }
}

fn skipped_lines((name, ended, _): &(&'static str, Ended, Duration)) -> Vec<String> {
    ended.reasons().iter().map(|why| format!("  {name}: {why}")).collect()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_stops_with_advice() {
        let mut steps = Steps::begin();
        steps.step("one", "nothing", || Ok(Ended::Passed)).unwrap();
        let error =
            steps.step("two", "turn it off and on", || anyhow::bail!("broken")).unwrap_err();
        assert_eq!(format!("{error:#}"), "two failed: broken\nwhat to do: turn it off and on");
    }

    #[test]
    fn what_was_skipped_is_listed_with_its_reason() {
        let ended = Ended::with_skips(vec!["no network".to_owned()]);
        assert_eq!(skipped_lines(&("e2e", ended, Duration::ZERO)), ["  e2e: no network"]);
        assert_eq!(Ended::with_skips(Vec::new()), Ended::Passed);
    }
}
