//! A connection as a row of messages, each of which may bring a descriptor with it.
//!
//! What comes from the other end has a limit and is believed in nothing else; a read that is canceled loses nothing.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::error::ControlError;

/// The largest message: a command with its environment fits.
const MESSAGE_MAX: usize = 4 << 20;

/// Descriptors that may wait to be taken.
const DESCRIPTORS_MAX: usize = 4;

/// Bytes of a length.
const HEADER: usize = 4;

/// The half that sends. It is used by one task.
#[derive(Debug, Clone)]
pub(super) struct Sender(Arc<UnixStream>);

/// The half that receives.
#[derive(Debug)]
pub(super) struct Receiver {
    stream: Arc<UnixStream>,
    buffer: Vec<u8>,
    filled: usize,
    descriptors: VecDeque<OwnedFd>,
}

pub(super) fn channel(stream: UnixStream) -> (Sender, Receiver) {
    let stream = Arc::new(stream);
    let receiver =
        Receiver { stream: Arc::clone(&stream), buffer: Vec::new(), filled: 0, descriptors: VecDeque::new() };
    (Sender(stream), receiver)
}

impl Sender {
    /// Sends bytes as they are.
    pub(super) async fn send_bytes(&self, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            // It comes with the first byte.
            let descriptor = descriptor.filter(|_| sent == 0);
            sent += self.0.async_io(Interest::WRITABLE, || write(&self.0, &bytes[sent..], descriptor)).await?;
        }
        Ok(())
    }

    /// Sends a message.
    pub(super) async fn send<T: Serialize>(
        &self,
        message: &T,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), ControlError> {
        let mut frame = postcard::to_extend(message, vec![0_u8; HEADER]).map_err(|_| ControlError::WrongAnswer)?;
        let length = frame.len() - HEADER;
        let announced = u32::try_from(length).ok().filter(|_| length <= MESSAGE_MAX);
        let announced = announced.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        frame[..HEADER].copy_from_slice(&announced.to_le_bytes());
        Ok(self.send_bytes(&frame, descriptor).await?)
    }
}

impl Receiver {
    /// Exactly so many bytes.
    pub(super) async fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.fill(N).await?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.buffer[..N]);
        self.filled = 0;
        Ok(bytes)
    }

    /// The next message; an end of the connection is [`ControlError::Gone`].
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<T, ControlError> {
        self.fill(HEADER).await?;
        let header = [self.buffer[0], self.buffer[1], self.buffer[2], self.buffer[3]];
        let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
        if length > MESSAGE_MAX {
            return Err(ControlError::WrongAnswer);
        }
        self.fill(HEADER + length).await?;
        self.filled = 0;
        match postcard::take_from_bytes(&self.buffer[HEADER..HEADER + length]) {
            Ok((message, [])) => Ok(message),
            _ => Err(ControlError::WrongAnswer),
        }
    }

    /// The descriptor that came with the last message.
    pub(super) fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    async fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.filled < wanted {
            let Self { stream, buffer, filled, descriptors } = self;
            let room = &mut buffer[*filled..wanted];
            let read = stream.async_io(Interest::READABLE, || read(stream, room, descriptors)).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *filled += read;
        }
        Ok(())
    }
}

fn write(stream: &UnixStream, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?)
}

fn read(stream: &UnixStream, room: &mut [u8], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(stream, &mut [IoSliceMut::new(room)], &mut ancillary, flags)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    // Nobody asked for more.
    descriptors.truncate(DESCRIPTORS_MAX);
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    fn pair() -> ((Sender, Receiver), (Sender, Receiver)) {
        let (one, other) = UnixStream::pair().unwrap();
        (channel(one), channel(other))
    }

    #[tokio::test]
    async fn a_descriptor_comes_with_its_message() {
        let ((sender, _one), (_other, mut receiver)) = pair();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"inside").unwrap();
        sender.send(&"without", None).await.unwrap();
        sender.send(&"with", Some(file.as_fd())).await.unwrap();
        assert_eq!(receiver.next::<String>().await.unwrap(), "without");
        assert!(receiver.descriptor().is_none());
        assert_eq!(receiver.next::<String>().await.unwrap(), "with");
        let mut came = File::from(receiver.descriptor().unwrap());
        came.rewind().unwrap();
        let mut text = String::new();
        came.read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
    }

    #[tokio::test]
    async fn a_message_that_is_larger_than_the_socket_takes_at_once_arrives_whole() {
        let ((sender, _one), (_other, mut receiver)) = pair();
        let text = "x".repeat(3 << 20);
        let sending = sender.send(&text, None);
        let (sent, came) = tokio::join!(sending, receiver.next::<String>());
        sent.unwrap();
        assert_eq!(came.unwrap(), text);
    }

    #[tokio::test]
    async fn lengths_and_bytes_that_are_no_message_are_told() {
        let ((sender, _one), (_other, mut receiver)) = pair();
        sender.send_bytes(&u32::MAX.to_le_bytes(), None).await.unwrap();
        assert!(matches!(receiver.next::<String>().await, Err(ControlError::WrongAnswer)));
        let ((sender, one), (_other, mut receiver)) = pair();
        sender.send_bytes(&[2, 0, 0, 0, 9], None).await.unwrap();
        drop((sender, one));
        assert!(matches!(receiver.next::<String>().await, Err(ControlError::Gone { .. })));
    }
}
