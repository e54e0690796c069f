//! Forms of single values: sizes, durations, names, users. Text in, value or help out; no places, no files.

use std::time::Duration;

/// Why a text is out of its form, and the text that was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FormError {
    /// What was expected.
    pub(super) expected: &'static str,
    /// The value to write instead.
    pub(super) instead: Option<String>,
    /// Whether nothing else can have been meant: the unit is there, in a form of its own, and nothing is rounded.
    pub(super) is_certain: bool,
}

impl FormError {
    fn without_instead(expected: &'static str) -> Self {
        Self { expected, instead: None, is_certain: false }
    }
}

const SIZE_FORM: &str = "a size is a whole number and a unit, as `512MiB` or `2GiB`";
const DURATION_FORM: &str = "a duration is whole numbers with units, as `90s`, `10m` or `1h30m`";
const MIB: u128 = 1 << 20;
const SIZE_UNITS: [(&str, u128); 8] = [
    ("KiB", 1 << 10),
    ("MiB", MIB),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Why a text cannot be read, before anything is suggested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    Form,
    TooLarge,
}

/// Reads a size in MiB, rounded up; a bare integer is MiB.
pub(super) fn parse_size_mib(text: &str) -> Result<u64, FormError> {
    read_size_mib(text).map_err(|unread| match unread {
        Unread::TooLarge => FormError::without_instead("the size is too large"),
        Unread::Form => {
            let instead = size_instead(text).filter(|instead| read_size_mib(instead).is_ok());
            FormError { expected: SIZE_FORM, instead, is_certain: is_certain_size(text) }
        }
    })
}

/// Whether a text that is a size is less than a MiB.
pub(super) fn is_below_mib(text: &str) -> bool {
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let bytes =
        digits.parse::<u128>().ok().zip(unit_factor(unit)).and_then(|(number, factor)| number.checked_mul(factor));
    bytes.is_some_and(|bytes| bytes < MIB)
}

fn read_size_mib(text: &str) -> Result<u64, Unread> {
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = if unit.is_empty() { MIB } else { unit_factor(unit).ok_or(Unread::Form)? };
    if digits.is_empty() {
        return Err(Unread::Form);
    }
    let bytes = digits.parse::<u128>().ok().and_then(|number| number.checked_mul(factor)).ok_or(Unread::TooLarge)?;
    u32::try_from(bytes.div_ceil(MIB)).map(u64::from).map_err(|_| Unread::TooLarge)
}

fn unit_factor(unit: &str) -> Option<u128> {
    SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

/// What compose and others take, in our form: `512m`, `2g`, `1.5GiB`, `512 MB`, `1gib`.
fn size_instead(text: &str) -> Option<String> {
    let text = text.trim();
    let split = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "k" | "kib" => "KiB",
        "" | "m" | "mib" | "mi" => "MiB",
        "g" | "gib" | "gi" => "GiB",
        "t" | "tib" | "ti" => "TiB",
        "kb" => "kB",
        "mb" => "MB",
        "gb" => "GB",
        "tb" => "TB",
        "b" => return number.parse::<u128>().ok().map(|bytes| format!("{}MiB", bytes.div_ceil(MIB).max(1))),
        _ => return None,
    };
    match number.split_once('.') {
        None => (!number.is_empty()).then(|| format!("{number}{unit}")),
        Some((whole, part)) => {
            let smaller = ["TiB", "GiB", "MiB", "KiB"].windows(2).find(|pair| pair[0] == unit)?[1];
            let scale = 10u64.checked_pow(u32::try_from(part.len()).ok()?)?;
            let scaled = whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(part.parse::<u64>().ok()?)?;
            Some(format!("{}{smaller}", scaled.checked_mul(1024)?.div_ceil(scale)))
        }
    }
}

/// Units of 1024 in any case, as `512m` and `2gib`, and ours behind a space. `512mb` is 1024 to some and 1000 to others.
fn is_certain_size(text: &str) -> bool {
    let unit = text.trim().trim_start_matches(|character: char| character.is_ascii_digit()).trim_start();
    let is_binary = matches!(unit.to_ascii_lowercase().as_str(), "k" | "m" | "g" | "t" | "ki" | "mi" | "gi" | "ti");
    is_binary || unit.to_ascii_lowercase().ends_with("ib") || unit_factor(unit).is_some()
}

/// Whole numbers with a word for the unit; `60` may be seconds or minutes.
fn is_certain_duration(text: &str) -> bool {
    !text.contains('.') && text.contains(|character: char| character.is_ascii_alphabetic())
}

/// Reads a duration: `([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?`, at least one part.
pub(super) fn parse_duration(text: &str) -> Result<Duration, FormError> {
    read_duration(text).map_err(|unread| match unread {
        Unread::TooLarge => FormError::without_instead("the duration is too long"),
        Unread::Form => {
            let instead = duration_instead(text).filter(|instead| read_duration(instead).is_ok());
            FormError { expected: DURATION_FORM, instead, is_certain: is_certain_duration(text) }
        }
    })
}

fn read_duration(text: &str) -> Result<Duration, Unread> {
    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = text;
    let mut total_ms: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
        let found = UNITS.iter().enumerate().skip(next_unit).find(|(_, (name, _))| *name == unit);
        let (index, (_, factor)) = found.ok_or(Unread::Form)?;
        if digits.is_empty() {
            return Err(Unread::Form);
        }
        let part = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        total_ms = part.and_then(|part| total_ms.checked_add(part)).ok_or(Unread::TooLarge)?;
        next_unit = index + 1;
        rest = after;
    }
    if next_unit == 0 { Err(Unread::Form) } else { Ok(Duration::from_millis(total_ms)) }
}

/// What others take, in our form: `10`, `1.5h`, `10min`, `2 h`, `1d`.
fn duration_instead(text: &str) -> Option<String> {
    let text = text.trim();
    let joined: String = text.split_whitespace().collect();
    if read_duration(&joined).is_ok() {
        return Some(joined);
    }
    let split = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim().to_ascii_lowercase();
    let (name, unit_ms) = match unit.as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => ("s", 1_000),
        "m" | "min" | "mins" | "minute" | "minutes" => ("m", 60_000),
        "h" | "hour" | "hours" => ("h", 3_600_000),
        "ms" | "msec" | "millis" => ("ms", 1),
        "d" | "day" | "days" => ("d", 86_400_000),
        _ => return None,
    };
    match number.split_once('.') {
        None if number.is_empty() => None,
        None if name == "d" => Some(format!("{}h", number.parse::<u64>().ok()?.checked_mul(24)?)),
        None => Some(format!("{number}{name}")),
        Some((whole, part)) => {
            let scale = 10u64.checked_pow(u32::try_from(part.len()).ok()?)?;
            let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
            let scaled = whole.checked_mul(scale)?.checked_add(part.parse::<u64>().ok()?)?;
            Some(show_duration(scaled.checked_mul(unit_ms)?.div_ceil(scale)))
        }
    }
}

/// A duration in milliseconds as it is written.
pub(crate) fn show_duration(ms: u64) -> String {
    let parts = [(ms / 3_600_000, "h"), (ms / 60_000 % 60, "m"), (ms / 1_000 % 60, "s"), (ms % 1_000, "ms")];
    let text: String =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Whether a text is a name: `[a-z0-9][a-z0-9_-]{0,62}`.
pub(crate) fn is_name(text: &str) -> bool {
    let is_start = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 63
        && text.bytes().next().is_some_and(is_start)
        && text.bytes().all(|byte| is_start(byte) || byte == b'_' || byte == b'-')
}

/// The nearest text that is a name: lowered, other characters dropped; `None` where nothing is left.
pub(super) fn to_name(text: &str) -> Option<String> {
    let kept: String = text
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        .collect();
    let name: String = kept.trim_start_matches(['_', '-']).chars().take(63).collect();
    (!name.is_empty()).then_some(name)
}

/// As [`to_name`], but what no name may hold becomes `-`: for help with a name that someone chose.
/// `None` for other scripts, of which too little would be left.
pub(super) fn to_similar_name(text: &str) -> Option<String> {
    if !text.is_ascii() {
        return None;
    }
    let dashed: String =
        text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    to_name(dashed.trim_end_matches('-'))
}

/// Whether a text is a user: `name`, `uid`, `uid:gid` or `name:group`.
pub(super) fn is_user(text: &str) -> bool {
    let mut parts = text.split(':');
    let is_first = parts.next().is_some_and(is_account);
    is_first && parts.next().is_none_or(is_account) && parts.next().is_none()
}

/// A login or group name as `useradd` takes it, or an id.
fn is_account(text: &str) -> bool {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // The largest 32-bit number means "no change" to the kernel.
        return text.parse::<u32>().is_ok_and(|id| id != u32::MAX);
    }
    let name = text.strip_suffix('$').unwrap_or(text);
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.len() <= 32
        && name.bytes().next().is_some_and(is_start)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// Whether a text can be a host name: labels of letters, digits and inner dashes, at most 64 bytes.
pub(super) fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 64 && text.split('.').all(is_label)
}

/// Whether a text can name an environment variable.
pub(super) fn is_variable_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['=', '\0'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_take_units_of_1024_and_of_1000_and_bare_mebibytes() {
        for (text, mib) in
            [("512", 512), ("512MiB", 512), ("2GiB", 2048), ("1TiB", 1 << 20), ("1024KiB", 1), ("1GB", 954)]
        {
            assert_eq!(parse_size_mib(text), Ok(mib), "{text}");
        }
    }

    #[test]
    fn sizes_of_compose_are_refused_with_the_size_to_write() {
        for (text, instead) in [
            ("512m", "512MiB"),
            ("2g", "2GiB"),
            ("1.5GiB", "1536MiB"),
            ("1.5g", "1536MiB"),
            ("512 MB", "512MB"),
            ("2gib", "2GiB"),
            ("2Gi", "2GiB"),
        ] {
            assert_eq!(parse_size_mib(text).expect_err(text).instead.as_deref(), Some(instead), "{text}");
        }
        for text in ["", "-1", "MiB", "lots", "0x10", "1e3"] {
            assert_eq!(parse_size_mib(text).expect_err(text).instead, None, "{text}");
        }
        assert!(parse_size_mib("99999999999999999999999999999999999999999GiB").is_err());
        assert!(parse_size_mib("99999999999TiB").is_err());
    }

    #[test]
    fn durations_take_parts_in_order() {
        for (text, ms) in [("10m", 600_000), ("1h30m", 5_400_000), ("1s500ms", 1_500), ("5ms", 5), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for (text, instead) in [
            ("10", Some("10s")),
            ("1.5h", Some("1h30m")),
            ("10min", Some("10m")),
            ("2 h", Some("2h")),
            ("1d", Some("24h")),
            ("1m1h", None),
            ("1m1m", None),
            ("", None),
            ("-5s", None),
            ("soon", None),
        ] {
            assert_eq!(parse_duration(text).expect_err(text).instead.as_deref(), instead, "{text}");
        }
        assert!(parse_duration("99999999999999999999h").is_err());
    }

    #[test]
    fn only_a_unit_that_is_there_is_certain() {
        let size = |text: &str| parse_size_mib(text).expect_err(text).is_certain;
        assert_eq!(["512m", "2Gib", "512 MB", "1Gi"].map(size), [true; 4]);
        assert_eq!(["512mb", "1.5g", "1048576b"].map(size), [false; 3]);
        let duration = |text: &str| parse_duration(text).expect_err(text).is_certain;
        assert_eq!(["10min", "2 h", "1d"].map(duration), [true; 3]);
        assert_eq!(["10", "1.5h"].map(duration), [false; 2]);
    }

    #[test]
    fn names_and_users_have_their_forms() {
        for name in ["a", "0", "db-1_x", &"a".repeat(63)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "A", "-a", "_a", "a.b", "é", &"a".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
        for user in ["root", "0", "1000:1000", "www-data", "build:users", "machine$", "_x.y"] {
            assert!(is_user(user), "{user}");
        }
        for user in ["", ":", "a:", "1:2:3", "4294967295", "a b", "-x", "99999999999"] {
            assert!(!is_user(user), "{user}");
        }
        assert_eq!(to_name("My Project!").as_deref(), Some("myproject"));
        assert_eq!(to_name("---").as_deref(), None);
        assert_eq!(to_similar_name("Web Server").as_deref(), Some("web-server"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9]{0,30}[.]?[0-9]{0,30} ?[a-zA-Zé]{0,3}[0-9]{0,25}[hms]{0,2}") {
            let _ = parse_size_mib(&text);
            let _ = parse_duration(&text);
            let _ = (is_user(&text), is_hostname(&text), to_similar_name(&text));
        }

        #[test]
        fn what_is_suggested_is_accepted(text in "[0-9]{1,40}([.][0-9]{1,30})? ?[a-zA-Z]{0,3}") {
            if let Err(FormError { instead: Some(instead), .. }) = parse_size_mib(&text) {
                prop_assert!(parse_size_mib(&instead).is_ok(), "{text} -> {instead}");
            }
            if let Err(FormError { instead: Some(instead), .. }) = parse_duration(&text) {
                prop_assert!(parse_duration(&instead).is_ok(), "{text} -> {instead}");
            }
        }
    }
}
