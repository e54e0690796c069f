//! Finds the line of a kernel's panic in the bytes of its console. The guest writes them, so it may write anything.

/// How such a line goes on after the kernel's time stamp.
const PANIC: &str = "Kernel panic - not syncing";

/// Longest line that is looked at.
const LINE_MAX_BYTES: usize = 1024;

/// Longest text that is handed on.
const TEXT_MAX_CHARS: usize = 200;

/// Watches a console for a panic.
#[derive(Debug, Default)]
pub(super) struct PanicWatch {
    line: Vec<u8>,
    panic: Option<String>,
}

impl PanicWatch {
    /// Takes bytes of the console.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.panic.is_some() {
            return;
        }
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() < LINE_MAX_BYTES {
                self.line.push(*byte);
            }
        }
    }

    /// The first panic's line without its time stamp; call it when the console has ended.
    pub(super) fn finish(mut self) -> Option<String> {
        self.end_line();
        self.panic
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        let text = without_stamp(&line);
        if self.panic.is_none() && text.starts_with(PANIC) {
            self.panic = Some(text.chars().filter(|c| !c.is_control()).take(TEXT_MAX_CHARS).collect());
        }
        self.line.clear();
    }
}

/// `[    1.030284] text` → `text`.
fn without_stamp(line: &str) -> &str {
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((stamp, text)) if stamp.chars().all(|c| c.is_ascii_digit() || c == ' ' || c == '.') => text,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panic_in(parts: &[&[u8]]) -> Option<String> {
        let mut watch = PanicWatch::default();
        for part in parts {
            watch.feed(part);
        }
        watch.finish()
    }

    #[test]
    fn first_panic_is_found_across_chunks() {
        let text = panic_in(&[
            b"[    0.1] hello\r\n[    1.030284] Kernel pan",
            b"ic - not syncing: Attempted to kill init!\r\n[    1.2] Call Trace:\r\n",
            b"[    1.4] Kernel panic - not syncing: second\r\n",
        ]);
        assert_eq!(text.as_deref(), Some("Kernel panic - not syncing: Attempted to kill init!"));
    }

    #[test]
    fn line_without_stamp_and_without_end_counts() {
        let text = panic_in(&[b"Kernel panic - not syncing: VFS: \x1b[31mno root"]);
        assert_eq!(text.as_deref(), Some("Kernel panic - not syncing: VFS: [31mno root"));
    }

    #[test]
    fn words_within_a_line_and_noise_are_no_panic() {
        let noise = vec![0xff; 100_000];
        assert_eq!(
            panic_in(&[b"echo Kernel panic - not syncing: x\n[fake] Kernel panic - not syncing\n", &noise]),
            None
        );
    }
}
