//! The agent's program, which the initramfs carries as `/init`. `build.rs` builds it, or takes `SMOLVM_AGENT`.

/// The agent: a static program for x86-64 Linux.
pub const AGENT: &[u8] = include_bytes!(env!("SMOLVM_AGENT_FILE"));

#[cfg(test)]
mod tests {
    use super::AGENT;

    #[test]
    fn agent_is_a_static_program() {
        assert!(AGENT.starts_with(b"\x7fELF"));
        let segments = usize::from(u16::from_le_bytes([AGENT[56], AGENT[57]]));
        let table = usize::from(AGENT[32]);
        let has_interpreter = (0..segments).any(|index| AGENT[table + index * 56..].starts_with(&[3, 0, 0, 0]));
        assert!(!has_interpreter, "the agent must not ask for a dynamic loader");
    }
}
