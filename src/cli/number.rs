//! What options take that are numbers: digits alone. A sign is refused in words of ours: `-1` would be taken for an option,
//! and `+5` means something else to `tail`. Not here: the options.

use std::str::FromStr;

/// Takes seconds, for clap.
pub(crate) fn seconds(text: &str) -> Result<u32, String> {
    digits(text).ok_or_else(|| format!("write whole seconds from 0 to {}, as `10`", u32::MAX))
}

/// Takes a number of which 0 means all, for clap.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    digits(text).ok_or_else(|| "write a whole number, as `10`, or 0 for all".to_owned())
}

/// Takes a number of things of which there is at least one, for clap.
pub(crate) fn at_least_one(text: &str) -> Result<u32, String> {
    let number = digits(text).filter(|number| *number > 0);
    number.ok_or_else(|| format!("write a whole number from 1 to {}", u32::MAX))
}

/// Reads a number that is written in digits alone and is not too large.
pub(crate) fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_and_not_too_large() {
        assert_eq!((seconds("0"), seconds("10"), count("0"), at_least_one("1")), (Ok(0), Ok(10), Ok(0), Ok(1)));
        for text in ["", "-1", "+5", "1.5", "1s", "0x1", " 1", "4294967296", "99999999999999999999999"] {
            assert!(seconds(text).is_err() && at_least_one(text).is_err(), "{text}");
        }
        assert!(count("").is_err() && count("+5").is_err() && at_least_one("0").is_err());
    }
}
