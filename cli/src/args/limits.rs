//! Amounts as people write them: cores and bytes.

/// Cores as percent of one: `2`, `0.5`, `500m`.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn percent(text: &str) -> Result<u32, String> {
    let wrong = || "write cores as 2, 0.5 or 500m, in steps of 0.01".to_owned();
    let hundredths = match text.strip_suffix('m') {
        Some(thousandths) => {
            let thousandths: u32 = thousandths.parse().map_err(|_| wrong())?;
            thousandths.is_multiple_of(10).then_some(thousandths / 10)
        }
        None => decimal(text),
    };
    hundredths.filter(|percent| *percent > 0).ok_or_else(wrong)
}

/// `1.5` as 150.
fn decimal(text: &str) -> Option<u32> {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if !is_number(whole) || !is_number(part) || part.is_empty() || part.len() > 2 {
        return None;
    }
    let part: u32 = format!("{part:0<2}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part)
}

/// Bytes: `1073741824`, `512Mi`, `2G`; a lower-case unit is a power of 1024, as other tools for containers have it.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "write bytes as 1073741824, 512Mi, 512m or 2G".to_owned();
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let scale: u64 = match unit.trim_end_matches(['B', 'b']) {
        "" => 1,
        "K" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "k" | "Ki" => 1 << 10,
        "m" | "Mi" => 1 << 20,
        "g" | "Gi" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(scale).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_read_as_people_write_them() {
        for (text, expected) in [
            ("2", Some(200)),
            ("0.5", Some(50)),
            ("1.25", Some(125)),
            ("500m", Some(50)),
            ("0", None),
            ("0.001", None),
            ("5m", None),
            ("-1", None),
            ("1.", None),
            ("1e3", None),
            ("42949673", None),
            ("", None),
        ] {
            assert_eq!(percent(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn bytes_are_read_with_the_units_of_both_worlds() {
        for (text, expected) in [
            ("64", Some(64)),
            ("512Mi", Some(512 << 20)),
            ("512m", Some(512 << 20)),
            ("2GiB", Some(2 << 30)),
            ("2G", Some(2_000_000_000)),
            ("2GB", Some(2_000_000_000)),
            ("1.5G", None),
            ("G", None),
            ("1Ti", None),
            ("99999999999G", None),
            ("", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text:?}");
        }
    }
}
