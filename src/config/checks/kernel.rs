//! The rule about a kernel given by path: it is there, and is a kernel (0403).

use std::path::Path;

use super::world::World;
use crate::config::files::{FileError, FileKind};
use crate::diag::{Code, Diagnostic, Severity, Span};

/// What is read of a kernel to know it: the boot sector and the header behind it.
const HEADER_BYTES: usize = 0x206;

/// What is wrong with the kernel at `path`, if anything.
pub(super) fn check(world: &World<'_>, path: &Path, span: Span) -> Option<Diagnostic> {
    let shown = world.show_in(span, path);
    let refuse = |message: String, label: &str, help: String| {
        Some(Diagnostic::new(Code(403), Severity::Error, message).label(span, label).help(help))
    };
    let auto = "or leave `kernel` out: smolvm finds one";
    match world.files.metadata(path) {
        Ok(found) if found.kind == FileKind::File => {}
        Ok(_) => {
            let help = format!("name the bzImage or vmlinux in it, {auto}");
            return refuse(format!("kernel `{shown}` is not a file"), "not a kernel", help);
        }
        Err(FileError::Missing) => {
            let help = format!("name a bzImage or vmlinux, such as `/boot/vmlinuz-…`, {auto}");
            return refuse(format!("kernel `{shown}` does not exist"), "no such file", help);
        }
        Err(error) => {
            let help = format!("name a kernel that can be read, {auto}");
            return refuse(format!("kernel `{shown}` cannot be used: {error}"), "cannot be looked at", help);
        }
    }
    match world.files.read_start(path, HEADER_BYTES) {
        Ok(start) if is_bz_image(&start) || is_vmlinux(&start) => None,
        Ok(start) if start.starts_with(&[0x1f, 0x8b]) => {
            let help = format!("unpack it: `gunzip`, {auto}");
            refuse(format!("kernel `{shown}` is a gzip file, not a kernel"), "packed once more", help)
        }
        Ok(_) => {
            let help = format!("name an x86-64 bzImage (`vmlinuz`) or vmlinux, {auto}");
            refuse(format!("kernel `{shown}` is neither a bzImage nor a vmlinux"), "not a kernel", help)
        }
        Err(error) => {
            let message = format!("kernel `{shown}` cannot be read by {}: {error}", world.invoker_words());
            refuse(
                message,
                "no right to read this file",
                format!("give the right: `sudo chmod a+r {}`, {auto}", super::shell_word(&shown)),
            )
        }
    }
}

/// Linux boot protocol: the boot sector's signature, and `HdrS` behind it.
fn is_bz_image(start: &[u8]) -> bool {
    start.get(0x1fe..0x200) == Some(&[0x55, 0xaa]) && start.get(0x202..0x206) == Some(b"HdrS")
}

/// ELF, 64 bits, little endian, executable, x86-64.
fn is_vmlinux(start: &[u8]) -> bool {
    start.starts_with(b"\x7fELF\x02\x01") && start.get(16..20) == Some(&[2, 0, 0x3e, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bz_image_is_known_by_its_header() {
        let mut start = vec![0; HEADER_BYTES];
        assert!(!is_bz_image(&start));
        start[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        start[0x202..].copy_from_slice(b"HdrS");
        assert!(is_bz_image(&start));
        assert!(!is_bz_image(&start[..0x204]));
    }

    #[test]
    fn a_vmlinux_is_an_executable_of_this_architecture() {
        let mut start = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        start.extend([2, 0, 0x3e, 0]);
        assert!(is_vmlinux(&start));
        start[16] = 3;
        assert!(!is_vmlinux(&start), "a shared library or an ordinary program");
    }
}
