//! One header: fields at fixed places of a block. Not here: what extended headers add.

use super::super::source::BLOCK;

/// Which fields a header has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Old,
    Ustar,
    Star,
    Gnu,
}

/// A header whose sum is right.
#[derive(Debug)]
pub(super) struct Header<'a> {
    block: &'a [u8; BLOCK],
    format: Format,
}

/// Whether a block is a header, by its sum.
pub(super) fn is_header(block: &[u8; BLOCK]) -> bool {
    Header::new(block).is_some()
}

impl<'a> Header<'a> {
    /// The header in a block, if its sum is right.
    pub(super) fn new(block: &'a [u8; BLOCK]) -> Option<Self> {
        let said = number(&block[148..156])?;
        let bytes = || block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
        let sum: i64 = bytes().map(i64::from).sum();
        // Some old programs summed up signed bytes.
        let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
        if said != sum && said != signed {
            return None;
        }
        let format = match (&block[257..263], &block[263..265], &block[508..512]) {
            (b"ustar\0", _, b"tar\0") => Format::Star,
            (b"ustar\0", ..) => Format::Ustar,
            (b"ustar ", b" \0", _) => Format::Gnu,
            _ => Format::Old,
        };
        Some(Self { block, format })
    }

    pub(super) fn kind(&self) -> u8 {
        self.block[156]
    }

    /// Path, with what the format puts before it.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        let prefix = match self.format {
            Format::Ustar => text(&self.block[345..500]),
            Format::Star => text(&self.block[345..476]),
            Format::Old | Format::Gnu => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
    }

    pub(super) fn link(&self) -> &'a [u8] {
        text(&self.block[157..257])
    }

    pub(super) fn mode(&self) -> Option<i64> {
        number(&self.block[100..108])
    }

    pub(super) fn uid(&self) -> Option<i64> {
        number(&self.block[108..116])
    }

    pub(super) fn gid(&self) -> Option<i64> {
        number(&self.block[116..124])
    }

    pub(super) fn size(&self) -> Option<i64> {
        number(&self.block[124..136])
    }

    pub(super) fn modified(&self) -> Option<i64> {
        number(&self.block[136..148])
    }

    pub(super) fn device(&self) -> Option<(i64, i64)> {
        if self.format == Format::Old {
            return Some((0, 0));
        }
        Some((number(&self.block[329..337])?, number(&self.block[337..345])?))
    }

    /// What GNU tar says of a sparse file: places of data, whether more follow in another block, length of the file.
    pub(super) fn sparse(&self) -> Option<(&'a [u8], bool, i64)> {
        if self.format != Format::Gnu {
            return None;
        }
        Some((&self.block[386..482], self.block[482] != 0, number(&self.block[483..495])?))
    }
}

/// A field's text: to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// A field's number: octal digits, or, where the first bit is set, the bytes themselves as GNU and star write what is large
/// or negative.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => {
            // Two's complement without the first bit; at most 95 bits.
            let value = field.iter().fold(0_i128, |value, byte| value << 8 | i128::from(*byte));
            let unmarked = value - (1 << (8 * field.len() - 1));
            let sign = if first & 0x40 == 0 { 0 } else { 1 << (8 * field.len() - 1) };
            i64::try_from(unmarked - sign).ok()
        }
        _ => {
            let digits = field.trim_ascii_start();
            let end = digits.iter().position(|byte| *byte == 0 || *byte == b' ').unwrap_or(digits.len());
            let digits = digits[..end].iter().copied();
            digits.into_iter().try_fold(0_i64, |value, digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
                _ => None,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_the_bytes_themselves() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"77777777"), Some(0o77_777_777));
        assert_eq!(number(&[0; 8]), Some(0));
        assert_eq!(number(b"        "), Some(0));
        assert_eq!(number(b"9"), None);
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0x20, 0, 1]), Some((1 << 21) + 1));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0]), Some(-(1 << 40)));
        assert_eq!(number(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Some(i64::MAX));
    }
}
