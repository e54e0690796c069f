//! What QEMU's control channel says about the end of a machine. Bytes in, a reason out.

/// Sent at once: until it is, QEMU tells nothing. The CPUs wait for it, so that no end is too early to be told.
pub(super) const HELLO: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"cont\"}\n";

/// Longest line that is looked at; QEMU's greeting has some hundred bytes.
const LINE_MAX_BYTES: usize = 16 * 1024;

/// Why a machine stopped, in QEMU's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShutdownReason {
    /// The guest powered off.
    GuestShutdown,
    /// The guest reset itself.
    GuestReset,
    /// Another, by QEMU's name.
    Other(String),
}

/// Reads the lines of the channel.
#[derive(Debug, Default)]
pub(super) struct QmpReader {
    line: Vec<u8>,
    is_too_long: bool,
    reason: Option<ShutdownReason>,
}

impl QmpReader {
    /// Takes bytes of the channel.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    if !self.is_too_long {
                        self.reason = parse_shutdown(&self.line).or(self.reason.take());
                    }
                    self.line.clear();
                    self.is_too_long = false;
                }
                _ if self.line.len() < LINE_MAX_BYTES => self.line.push(*byte),
                _ => self.is_too_long = true,
            }
        }
    }

    /// Why the machine stopped, once it has.
    pub(super) fn reason(&self) -> Option<&ShutdownReason> {
        self.reason.as_ref()
    }
}

fn parse_shutdown(line: &[u8]) -> Option<ShutdownReason> {
    let message: serde_json::Value = serde_json::from_slice(line).ok()?;
    if message.get("event")?.as_str()? != "SHUTDOWN" {
        return None;
    }
    let reason = message.get("data")?.get("reason")?.as_str()?;
    Some(match reason {
        "guest-shutdown" => ShutdownReason::GuestShutdown,
        "guest-reset" => ShutdownReason::GuestReset,
        other => ShutdownReason::Other(other.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_found_however_the_bytes_arrive() {
        let text = b"{\"QMP\": {\"version\": {}}}\r\n{\"return\": {}}\r\n{\"timestamp\": {\"seconds\": 1}, \
            \"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n";
        let mut reader = QmpReader::default();
        for (at, byte) in text.iter().enumerate() {
            assert!(reader.reason().is_none(), "at byte {at}");
            reader.feed(&[*byte]);
        }
        assert_eq!(reader.reason(), Some(&ShutdownReason::GuestReset));
        let mut reader = QmpReader::default();
        reader.feed(text);
        assert_eq!(reader.reason(), Some(&ShutdownReason::GuestReset));
    }

    #[test]
    fn other_messages_and_noise_are_no_reason() {
        let mut reader = QmpReader::default();
        reader.feed(b"{\"event\": \"RESET\", \"data\": {\"reason\": \"guest-reset\"}}\nnonsense\n\n{\"event\": 3}\n");
        reader.feed(&vec![b'x'; 1 << 20]);
        assert!(reader.line.len() <= LINE_MAX_BYTES);
        reader.feed(b"\n{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":false,\"reason\":\"host-signal\"}}\n");
        assert_eq!(reader.reason(), Some(&ShutdownReason::Other("host-signal".into())));
    }
}
