//! Bytes to frames and back: a length with a limit, then one message.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest frame that the agent accepts: a script and an environment of any sensible size fit.
pub const REQUEST_MAX: usize = 4 << 20;

/// Largest frame that the host accepts.
pub const ANSWER_MAX: usize = 1 << 20;

/// Why bytes are not a frame, or a message does not fit one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Larger than the limit of this direction.
    TooLong {
        /// Bytes announced or needed.
        length: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// The bytes are not exactly one message.
    Malformed,
}

impl fmt::Display for FrameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, limit } => {
                write!(out, "a message of {length} bytes is over the limit of {limit} bytes")
            }
            Self::Malformed => out.write_str("a message is malformed"),
        }
    }
}

impl std::error::Error for FrameError {}

/// The length that a frame's first four bytes announce, if it is within `limit`.
pub fn frame_length(header: [u8; 4], limit: usize) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    Ok(length)
}

/// A message as one frame, length included.
pub fn encode<T: Serialize>(message: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let frame = postcard::to_extend(message, vec![0u8; 4]).map_err(|_| FrameError::Malformed)?;
    seal(frame, limit)
}

fn seal(mut frame: Vec<u8>, limit: usize) -> Result<Vec<u8>, FrameError> {
    let length = frame.len().saturating_sub(4);
    match u32::try_from(length) {
        Ok(announced) if length <= limit => {
            frame[..4].copy_from_slice(&announced.to_le_bytes());
            Ok(frame)
        }
        _ => Err(FrameError::TooLong { length, limit }),
    }
}

/// The message of a frame whose length was read and checked before.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        _ => Err(FrameError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Attach, Bytes, Reply, Report, Request, Stream};
    use proptest::prelude::*;

    #[test]
    fn length_over_the_limit_is_refused_before_anything_is_allocated() {
        assert_eq!(
            frame_length(u32::MAX.to_le_bytes(), ANSWER_MAX),
            Err(FrameError::TooLong { length: 0xffff_ffff, limit: ANSWER_MAX })
        );
        assert_eq!(frame_length([0, 0, 16, 0], ANSWER_MAX), Ok(ANSWER_MAX));
    }

    #[test]
    fn message_over_the_limit_is_not_encoded() {
        let report = Report::Log { bytes: Bytes(vec![0; ANSWER_MAX]) };
        assert!(matches!(encode(&report, ANSWER_MAX), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn bytes_after_a_message_are_malformed() {
        let mut frame = encode(&Answer::Heartbeat, ANSWER_MAX).expect("it fits");
        frame.push(0);
        assert_eq!(decode::<Answer>(&frame[4..]), Err(FrameError::Malformed));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Answer>(&bytes);
            let _ = decode::<Report>(&bytes);
            let _ = decode::<Attach>(&bytes);
        }

        #[test]
        fn output_survives_the_way(exec in any::<u64>(), bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let report = Report::Output { exec, stream: Stream::Stderr, bytes: Bytes(bytes) };
            let frame = encode(&report, ANSWER_MAX).expect("it fits");
            let header = [frame[0], frame[1], frame[2], frame[3]];
            prop_assert_eq!(frame_length(header, ANSWER_MAX), Ok(frame.len() - 4));
            prop_assert_eq!(decode::<Report>(&frame[4..]), Ok(report));
        }

        #[test]
        fn cut_messages_are_malformed(id in any::<u32>(), missing in proptest::collection::vec(any::<u32>(), 1..50)) {
            let frame = encode(&Answer::Reply { id, reply: Reply::Missing(missing) }, ANSWER_MAX).expect("it fits");
            for end in 4..frame.len() {
                prop_assert_eq!(decode::<Answer>(&frame[4..end]), Err(FrameError::Malformed));
            }
        }
    }
}
