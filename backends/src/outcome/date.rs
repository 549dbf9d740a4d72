//! Dates of HTTP headers (RFC 9110, section 5.6.7), in the one form that senders must produce.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`; `None` for anything else and for years before 1970.
pub(super) fn unix(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let day = digits(parts.next()?, 1..=31)?;
    let month_name = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month_name)?;
    let year = digits(parts.next()?, 1970..=9999)?;
    let mut clock = parts.next()?.split(':');
    let hour = digits(clock.next()?, 0..=23)?;
    let minute = digits(clock.next()?, 0..=59)?;
    let second = digits(clock.next()?, 0..=60)?;
    let ends = clock.next().is_none() && parts.next() == Some("GMT") && parts.next().is_none();
    if !ends {
        return None;
    }
    let days = days_before_year(year)
        .checked_add(days_before_month(month, is_leap(year))?)?
        .checked_add(day.checked_sub(1)?)?;
    let seconds = hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?;
    days.checked_mul(86_400)?.checked_add(seconds)?.checked_add(second)
}

fn digits(text: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let plain = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if plain { text.parse().ok()? } else { return None };
    range.contains(&number).then_some(number)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days from 1970 to the first of January of `year`, which is 1970 to 9999.
fn days_before_year(year: u64) -> u64 {
    let leaps = |year: u64| year / 4 + year / 400 - year / 100;
    let before = year.saturating_sub(1);
    let years = year.saturating_sub(1970);
    years.saturating_mul(365).saturating_add(leaps(before).saturating_sub(leaps(1969)))
}

fn days_before_month(month: usize, leap: bool) -> Option<u64> {
    const DAYS: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_day = u64::from(leap && month >= 2);
    DAYS.get(month)?.checked_add(leap_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_seconds() {
        let cases = [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
            ("Wed, 31 Dec 2098 23:59:59 GMT", Some(4_070_908_799)),
            ("Sun, 06 Nov 1994 08:49:37 UTC", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT x", None),
            ("Sun, 32 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1969 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(unix(text), seconds, "{text}");
        }
    }
}
