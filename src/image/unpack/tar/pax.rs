//! POSIX's extended headers: records `LENGTH KEY=VALUE`, and the keys that say something of a file. Not here: what the fixed
//! header says.

use std::collections::BTreeMap;

use super::super::stop::Stop;
use super::sparse::PaxSparse;

/// What extended headers say of the next file.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<i64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) modified: Option<(i64, u32)>,
    pub(super) device_major: Option<i64>,
    pub(super) device_minor: Option<i64>,
    pub(super) sparse: PaxSparse,
    /// Names and values; star's form goes before libarchive's.
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Names that star's form gave.
    schily: Vec<Vec<u8>>,
}

const STAR_XATTR: &[u8] = b"SCHILY.xattr.";
const LIBARCHIVE_XATTR: &[u8] = b"LIBARCHIVE.xattr.";

impl Extended {
    /// Takes all records of a header.
    pub(super) fn read(&mut self, mut text: &[u8]) -> Result<(), Stop> {
        let malformed = || Stop::value("extended header", "malformed");
        while !text.is_empty() {
            let blank = text.iter().take(20).position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let length = decimal(&text[..blank]).and_then(|length| usize::try_from(length).ok());
            let length = length.filter(|length| *length > blank + 1 && *length <= text.len()).ok_or_else(malformed)?;
            let (record, rest) = text.split_at(length);
            let record = record[blank + 1..].strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            self.take(&record[..equals], &record[equals + 1..])?;
            text = rest;
        }
        Ok(())
    }

    /// Takes a record. An empty value says that an earlier one does not count (POSIX), but for attributes, which may be empty.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Stop> {
        if let Some(name) = key.strip_prefix(STAR_XATTR) {
            self.schily.push(name.to_vec());
            self.xattrs.insert(name.to_vec(), value.to_vec());
            return Ok(());
        }
        if let Some(name) = key.strip_prefix(LIBARCHIVE_XATTR) {
            return self.libarchive(name, value);
        }
        let number = |what| match value {
            b"" => Ok(None),
            _ => decimal(value).map(Some).ok_or_else(|| Stop::value(what, "no number")),
        };
        let text = || Some(value.to_vec()).filter(|value| !value.is_empty());
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size = number("size")?,
            b"uid" => self.uid = number("uid")?,
            b"gid" => self.gid = number("gid")?,
            b"SCHILY.devmajor" => self.device_major = number("device number")?,
            b"SCHILY.devminor" => self.device_minor = number("device number")?,
            b"mtime" if value.is_empty() => self.modified = None,
            b"mtime" => self.modified = Some(time(value).ok_or_else(|| Stop::value("time", "no number"))?),
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(key, value)?;
                }
            }
        }
        Ok(())
    }

    /// Name as in addresses, value in base 64.
    fn libarchive(&mut self, name: &[u8], value: &[u8]) -> Result<(), Stop> {
        let malformed = || Stop::value("extended attribute", "malformed");
        let name = percent(name).ok_or_else(malformed)?;
        if !self.schily.contains(&name) {
            let value = base64(value).ok_or_else(malformed)?;
            self.xattrs.insert(name, value);
        }
        Ok(())
    }
}

/// A whole number, perhaps negative.
pub(super) fn decimal(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// Seconds, with a fraction perhaps, as seconds rounded down and nanoseconds. Finer digits are cut off.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (parts.next()?, parts.next().unwrap_or(b""));
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = match whole {
        b"" | b"-" => 0,
        whole => decimal(whole)?,
    };
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanoseconds = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    match nanoseconds {
        0 => Some((seconds, 0)),
        _ if whole.starts_with(b"-") => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds)),
        _ => Some((seconds, nanoseconds)),
    }
}

/// Text with `%XX` for some bytes.
fn percent(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => bytes.push(digit(rest.next())? * 16 + digit(rest.next())?),
            byte => bytes.push(*byte),
        }
    }
    Some(bytes)
}

/// Base 64 with or without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let value = |byte: u8| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    };
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for digits in text[..end].chunks(4) {
        let mut group = 0_u32;
        for digit in digits {
            group = group << 6 | u32::from(value(*digit)?);
        }
        let missing = u32::try_from(4 - digits.len()).ok()?;
        let whole = (group << (6 * missing)).to_be_bytes();
        let length = digits.len().checked_sub(1).filter(|length| *length > 0)?;
        bytes.extend_from_slice(&whole[1..=length]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_down() {
        assert_eq!(time(b"1700000000"), Some((1_700_000_000, 0)));
        assert_eq!(time(b"1.5"), Some((1, 500_000_000)));
        assert_eq!(time(b"-1.5"), Some((-2, 500_000_000)));
        assert_eq!(time(b"-0.25"), Some((-1, 750_000_000)));
        assert_eq!(time(b"-3.0"), Some((-3, 0)));
        assert_eq!(time(b"7.0000000019"), Some((7, 1)));
        assert_eq!(time(b".5"), Some((0, 500_000_000)));
        for wrong in [&b"x"[..], b"1.x", b"1.-5", b"+1", b"99999999999999999999", b"1e3"] {
            assert_eq!(time(wrong), None);
        }
    }

    #[test]
    fn attributes_of_libarchive_are_decoded_and_those_of_star_go_before() {
        let record = |text: &str| format!("{} {text}\n", text.len() + 4).into_bytes();
        let mut extended = Extended::default();
        extended.read(&record("LIBARCHIVE.xattr.user.a%20b=aGFsbG8")).unwrap();
        assert_eq!(extended.xattrs[&b"user.a b"[..]], b"hallo");
        extended.read(&record("SCHILY.xattr.user.x=star=\n\0")).unwrap();
        extended.read(&record("LIBARCHIVE.xattr.user.x=aGE=")).unwrap();
        assert_eq!(extended.xattrs[&b"user.x"[..]], b"star=\n\0");
        assert_eq!(base64(b"AAEC/w==").unwrap(), [0, 1, 2, 255]);
        assert!(base64(b"").unwrap().is_empty());
        assert!(base64(b"A").is_none() && base64(b"AB*D").is_none() && percent(b"a%4").is_none());
    }

    #[test]
    fn malformed_records_are_errors() {
        for text in [
            &b"path=a\n"[..],
            b"99 path=a\n",
            b"8 path=a\n",
            b"5 abc\n",
            b"0 \n",
            b"10 path=ab",
            b"-5 a=b\n",
            b"9 uid=xy\n",
            b"18446744073709551617 a=b\n",
        ] {
            assert!(Extended::default().read(text).is_err(), "{}", text.escape_ascii());
        }
    }
}
