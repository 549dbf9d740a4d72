//! Times as operators write them: a number and a unit.

use std::time::Duration;

/// Longest time that may be given.
const DURATION_MAX: Duration = Duration::from_hours(24);

/// `500ms`, `5s`, `30m` or `2h`; `None` for anything else, for nothing and for more than a day.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        _ => return None,
    };
    (!duration.is_zero() && duration <= DURATION_MAX).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        let cases = [
            ("500ms", Some(500)),
            ("5s", Some(5_000)),
            ("30m", Some(1_800_000)),
            ("24h", Some(86_400_000)),
            ("25h", None),
            ("0s", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("-5s", None),
            ("99999999999999999999h", None),
            ("9999999999999999h", None),
            ("5ß", None),
        ];
        for (text, millis) in cases {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
