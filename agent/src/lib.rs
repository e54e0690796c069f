//! The protocol that the host speaks with the agent: frames and messages; no input or output.
