//! A stream of bytes as a row of messages: reading keeps what it has when it is canceled between two bytes.

use std::io;

use serde::de::DeserializeOwned;
use smolvm_agent::{FrameError, decode, frame_length};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why a stream gave no further message.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamEnd {
    #[error("the guest closed it")]
    Closed,
    #[error("the guest closed it within a message")]
    Truncated,
    #[error("the guest broke the protocol: {0}")]
    Frame(FrameError),
    #[error("{0}")]
    Read(io::Error),
}

/// Reads messages with a limit on their length.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    stream: R,
    limit: usize,
    buffer: Vec<u8>,
    filled: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(stream: R, limit: usize) -> Self {
        Self { stream, limit, buffer: Vec::new(), filled: 0 }
    }

    /// The stream, where no byte of it was taken.
    pub(super) fn into_unread(self) -> Option<R> {
        (self.filled == 0).then_some(self.stream)
    }

    /// The next message.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<T, StreamEnd> {
        loop {
            let wanted = self.wanted()?;
            if self.filled >= 4 && self.filled == wanted {
                self.filled = 0;
                return decode(&self.buffer[4..wanted]).map_err(StreamEnd::Frame);
            }
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
            match self.stream.read(&mut self.buffer[self.filled..wanted]).await {
                Ok(0) if self.filled == 0 => return Err(StreamEnd::Closed),
                Ok(0) => return Err(StreamEnd::Truncated),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(StreamEnd::Closed),
                Err(error) => return Err(StreamEnd::Read(error)),
            }
        }
    }

    /// How many bytes the buffer must hold before something can be done with it.
    fn wanted(&self) -> Result<usize, StreamEnd> {
        if self.filled < 4 {
            return Ok(4);
        }
        let header = [self.buffer[0], self.buffer[1], self.buffer[2], self.buffer[3]];
        frame_length(header, self.limit).map(|length| length + 4).map_err(StreamEnd::Frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smolvm_agent::{ANSWER_MAX, Answer, encode};
    use tokio::io::AsyncWriteExt;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn message_in_single_bytes_is_read() {
        block_on(async {
            let (mut guest, host) = tokio::io::duplex(1);
            let mut reader = FrameReader::new(host, ANSWER_MAX);
            let frame = encode(&Answer::Heartbeat, ANSWER_MAX).expect("it fits");
            let writer = tokio::spawn(async move {
                for byte in frame.iter().chain(&frame) {
                    guest.write_all(&[*byte]).await.expect("the host reads");
                }
            });
            assert_eq!(reader.next::<Answer>().await.expect("a message"), Answer::Heartbeat);
            assert_eq!(reader.next::<Answer>().await.expect("a message"), Answer::Heartbeat);
            writer.await.expect("it ends");
            assert!(matches!(reader.next::<Answer>().await, Err(StreamEnd::Closed)));
        });
    }

    #[test]
    fn canceled_read_loses_nothing() {
        block_on(async {
            let (mut guest, host) = tokio::io::duplex(64);
            let mut reader = FrameReader::new(host, ANSWER_MAX);
            let frame = encode(&Answer::Heartbeat, ANSWER_MAX).expect("it fits");
            guest.write_all(&frame[..3]).await.expect("the host reads");
            let canceled = tokio::time::timeout(std::time::Duration::from_millis(1), reader.next::<Answer>()).await;
            assert!(canceled.is_err());
            guest.write_all(&frame[3..]).await.expect("the host reads");
            assert_eq!(reader.next::<Answer>().await.expect("a message"), Answer::Heartbeat);
        });
    }

    #[test]
    fn end_within_a_message_is_told_apart() {
        block_on(async {
            let (mut guest, host) = tokio::io::duplex(64);
            guest.write_all(&[9, 0, 0, 0, 1]).await.expect("the host reads");
            drop(guest);
            let mut reader = FrameReader::new(host, ANSWER_MAX);
            assert!(matches!(reader.next::<Answer>().await, Err(StreamEnd::Truncated)));
        });
    }

    #[test]
    fn announced_length_over_the_limit_ends_the_stream() {
        block_on(async {
            let (mut guest, host) = tokio::io::duplex(64);
            guest.write_all(&u32::MAX.to_le_bytes()).await.expect("the host reads");
            let mut reader = FrameReader::new(host, ANSWER_MAX);
            assert!(matches!(reader.next::<Answer>().await, Err(StreamEnd::Frame(FrameError::TooLong { .. }))));
        });
    }
}
