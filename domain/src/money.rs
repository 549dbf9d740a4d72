//! Tokens, prices and costs as integers, so that sums are exact and overflow saturates.

use std::{fmt, iter::Sum, ops::Add};

/// A number of model tokens. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tokens(pub u64);

impl Add for Tokens {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Tokens {
    /// This many less, at least none.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A price in micro-dollars (10⁻⁶ USD) per million tokens: `2.50` USD per million is `Price(2_500_000)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(pub u64);

impl Price {
    /// A price given in USD per million tokens, rounded to a micro-dollar; `None` for what is negative,
    /// not a number, or above a million dollars.
    pub fn from_usd_per_million(usd: f64) -> Option<Self> {
        let micro = (usd * 1e6).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked in the same expression"
        )]
        (0.0..=1e12).contains(&micro).then_some(Self(micro as u64))
    }

    /// What `tokens` cost at this price.
    pub fn of(self, tokens: Tokens) -> Cost {
        Cost(self.0.saturating_mul(tokens.0))
    }

    /// The price in USD per million tokens, for people and JSON.
    pub fn usd_per_million(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "for display; prices are far below 2^53")]
        let micro = self.0 as f64;
        micro / 1e6
    }
}

/// An amount of money in pico-dollars (10⁻¹² USD). Arithmetic saturates at about 18 million USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(pub u64);

impl Cost {
    /// An amount given in USD; `None` for what is negative, not a number, or too large.
    pub fn from_usd(usd: f64) -> Option<Self> {
        let pico = (usd * 1e12).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked in the same expression"
        )]
        (0.0..=1e19).contains(&pico).then_some(Self(pico as u64))
    }

    /// The amount in USD, for people and JSON.
    pub fn usd(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "for display; budgets are integers")]
        let pico = self.0 as f64;
        pico / 1e12
    }

    /// The cost in micro-dollars (10⁻⁶ USD), rounded to the nearest.
    pub fn micro_usd(self) -> u64 {
        self.0.saturating_add(500_000) / 1_000_000
    }

    /// This much less, at least nothing.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Cost {
    /// USD with six decimals, as in `x-openshell-cost-usd`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micro = self.micro_usd();
        write!(f, "{}.{:06}", micro / 1_000_000, micro % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_tokens_cost_the_price_in_usd() {
        let price = Price::from_usd_per_million(2.5).unwrap();
        assert_eq!(price.of(Tokens(1_000_000)), Cost::from_usd(2.5).unwrap());
        assert_eq!(price.of(Tokens(1_000)).to_string(), "0.002500");
        assert_eq!(price.of(Tokens(1_000)).micro_usd(), 2_500);
    }

    #[test]
    fn small_prices_are_exact() {
        let price = Price::from_usd_per_million(0.0375).unwrap();
        assert_eq!(price.of(Tokens(1)), Cost(37_500));
    }

    #[test]
    fn nonsense_is_no_price_and_sums_saturate() {
        for usd in [f64::NAN, -1.0, f64::INFINITY, 1e9] {
            assert_eq!(Price::from_usd_per_million(usd), None);
        }
        assert_eq!(Cost(u64::MAX) + Cost(1), Cost(u64::MAX));
        assert_eq!(Price(u64::MAX).of(Tokens(2)), Cost(u64::MAX));
    }
}
