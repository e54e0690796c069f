//! The header of a bzImage (Linux: `Documentation/arch/x86/boot.rst`): its version text and its compressed payload.

use super::super::decompress::Compression;

/// `HdrS` at 0x202 is what makes a file a bzImage.
const MAGIC_AT: usize = 0x202;
/// Boot protocol from which on the header tells where the payload is (2.08).
const PROTOCOL_PAYLOAD: u16 = 0x0208;
/// Longest version text that is believed.
const VERSION_MAX: usize = 512;

/// A file with the header of a bzImage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BzImage<'a> {
    bytes: &'a [u8],
}

impl<'a> BzImage<'a> {
    /// Recognises a bzImage.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<BzImage<'a>> {
        (bytes.get(MAGIC_AT..)?.starts_with(b"HdrS")).then_some(BzImage { bytes })
    }

    /// What `uname -r` will say: the first word of the version text.
    pub(crate) fn version(&self) -> Option<&'a str> {
        let at = usize::from(self.u16_at(0x20e)?);
        let text = self.bytes.get(at + 0x200..)?;
        let text = &text[..text.len().min(VERSION_MAX)];
        let end = text.iter().position(|byte| *byte == b' ' || *byte == 0)?;
        std::str::from_utf8(&text[..end]).ok().filter(|version| at != 0 && !version.is_empty())
    }

    /// The compressed kernel: where the header says, or else wherever a stream seems to begin.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = &'a [u8]> {
        let setup = match self.bytes[0x1f1] {
            0 => 4,
            sectors => usize::from(sectors),
        };
        let start = (setup + 1) * 512;
        let told = self.told_payload(start);
        let rest = self.bytes.get(start..).unwrap_or(&[]);
        let found = Compression::scan(rest).map(move |at| &rest[at..]);
        told.into_iter().chain(found.filter(move |_| told.is_none()))
    }

    fn told_payload(&self, start: usize) -> Option<&'a [u8]> {
        if self.u16_at(0x206)? < PROTOCOL_PAYLOAD {
            return None;
        }
        let from = start.checked_add(self.u32_at(0x248)? as usize)?;
        let payload = self.bytes.get(from..from.checked_add(self.u32_at(0x24c)? as usize)?)?;
        Compression::of(payload).map(|_| payload)
    }

    fn u16_at(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A bzImage with this payload, behind two sectors of set-up code.
    pub(crate) fn bzimage(payload: &[u8], is_told: bool) -> Vec<u8> {
        let mut bytes = vec![0; 3 * 512];
        bytes[0x1f1] = 2;
        bytes[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(b"HdrS");
        bytes[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
        bytes[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        bytes[0x300..0x31a].copy_from_slice(b"9.8.7-made (someone) #1 x\0");
        if is_told {
            bytes[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
            bytes[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        }
        bytes.extend([0x90; 16]);
        bytes.extend(payload);
        bytes.extend([0x90; 64]);
        bytes
    }

    #[test]
    fn version_is_the_first_word_of_the_text() {
        let bytes = bzimage(b"", false);
        assert_eq!(BzImage::parse(&bytes).unwrap().version(), Some("9.8.7-made"));
    }

    #[test]
    fn payload_is_where_the_header_says() {
        let payload = b"\x28\xb5\x2f\xfdrest";
        let bytes = bzimage(payload, true);
        let found: Vec<_> = BzImage::parse(&bytes).unwrap().payloads().collect();
        assert_eq!(found, [payload]);
    }

    #[test]
    fn payload_is_searched_where_the_header_is_silent() {
        let bytes = bzimage(b"\x28\xb5\x2f\xfdrest", false);
        let found = BzImage::parse(&bytes).unwrap().payloads().next().unwrap();
        assert!(found.starts_with(b"\x28\xb5\x2f\xfdrest"));
    }

    #[test]
    fn other_files_are_not_bzimages() {
        assert!(BzImage::parse(b"").is_none());
        assert!(BzImage::parse(&[0; 4096]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn damaged_header_never_panics(at in 0..0x260_usize, with in 0..=255_u8, keep in 0x206..2000_usize) {
            let mut bytes = bzimage(b"\x1f\x8b\x08", true);
            bytes[at] = with;
            bytes.truncate(keep);
            if let Some(image) = BzImage::parse(&bytes) {
                let _ = image.version();
                assert!(image.payloads().count() < 10_000);
            }
        }
    }
}
