//! Frames of the protocol: headers, a length, a JSON text. What is no message is told as such, and the next one is read.

use std::io::{self, BufRead, Read};

use lsp_server::{ErrorCode, Message, RequestId};

/// The longest message that is taken, in bytes; a document has 1 MiB at most.
const MESSAGE_MAX: u64 = 64 << 20;

/// The longest line of a header.
const HEADER_MAX: u64 = 8 << 10;

/// What was read.
#[derive(Debug)]
pub enum Frame {
    /// A message.
    Message(Message),
    /// What is none: the request that it was meant to be, and what is wrong with it.
    Malformed {
        /// Its id, where it has one.
        id: Option<RequestId>,
        /// What kind of mistake it is.
        code: ErrorCode,
        /// The mistake in words.
        message: String,
    },
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream failed.
    #[error("standard input cannot be read")]
    Read(#[from] io::Error),
    /// Where the next message begins is not known.
    #[error("a message of the editor has no `Content-Length` that can be read")]
    Header,
}

/// Reads the next frame; none where the stream has ended.
///
/// # Errors
/// Where the stream failed, or a header cannot be read, so that the end of its message is not known.
pub fn read_frame(reader: &mut dyn BufRead) -> Result<Option<Frame>, FrameError> {
    let Some(length) = read_length(reader)? else { return Ok(None) };
    if length > MESSAGE_MAX {
        io::copy(&mut reader.take(length), &mut io::sink())?;
        let message = format!("the message is longer than {MESSAGE_MAX} bytes");
        return Ok(Some(Frame::Malformed { id: None, code: ErrorCode::InvalidRequest, message }));
    }
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Ok(None);
    }
    Ok(Some(parse(&bytes)))
}

fn read_length(reader: &mut dyn BufRead) -> Result<Option<u64>, FrameError> {
    let mut length = None;
    let mut is_begun = false;
    loop {
        let mut line = Vec::new();
        (&mut *reader).take(HEADER_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            // The stream may end between two messages only; inside one there is nothing left to answer either.
            return Ok(None);
        }
        if !line.ends_with(b"\n") {
            return if line.len() as u64 == HEADER_MAX { Err(FrameError::Header) } else { Ok(None) };
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() {
            // Empty lines before a header are no frame.
            if is_begun {
                return length.map(Some).ok_or(FrameError::Header);
            }
            continue;
        }
        is_begun = true;
        if let Some((name, value)) = text.split_once(':')
            && name.trim().eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse().map_err(|_| FrameError::Header)?);
        }
    }
}

fn parse(bytes: &[u8]) -> Frame {
    let value: serde_json::Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => {
            let message = format!("the message is not JSON: {error}");
            return Frame::Malformed { id: None, code: ErrorCode::ParseError, message };
        }
    };
    let id = value.get("id").and_then(|id| serde_json::from_value(id.clone()).ok());
    match serde_json::from_value(value) {
        Ok(message) => Frame::Message(message),
        Err(_) => {
            let message = "the message is neither request, notification nor response".to_owned();
            Frame::Malformed { id, code: ErrorCode::InvalidRequest, message }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8]) -> (Vec<Frame>, bool) {
        let mut reader = io::BufReader::new(bytes);
        let mut all = Vec::new();
        loop {
            match read_frame(&mut reader) {
                Ok(Some(frame)) => all.push(frame),
                Ok(None) => return (all, true),
                Err(_) => return (all, false),
            }
        }
    }

    fn framed(text: &str) -> Vec<u8> {
        format!("Content-Length: {}\r\nContent-Type: x; charset=utf-8\r\n\r\n{text}", text.len()).into_bytes()
    }

    #[test]
    fn what_is_no_message_is_told_and_the_next_one_read() {
        let mut bytes = framed("{ nonsense");
        bytes.extend(framed("[]"));
        bytes.extend(framed(r#"{"jsonrpc":"2.0","id":7,"method":3}"#));
        bytes.extend(framed(r#"{"jsonrpc":"2.0","id":8,"method":"x"}"#));
        let (all, is_end) = frames(&bytes);
        assert!(is_end);
        assert!(matches!(&all[0], Frame::Malformed { id: None, code: ErrorCode::ParseError, .. }));
        assert!(matches!(&all[1], Frame::Malformed { id: None, code: ErrorCode::InvalidRequest, .. }));
        assert!(matches!(&all[2], Frame::Malformed { id: Some(_), code: ErrorCode::InvalidRequest, .. }));
        assert!(matches!(&all[3], Frame::Message(Message::Request(request)) if request.method == "x"));
    }

    #[test]
    fn a_length_that_cannot_be_read_ends_all_and_a_stream_may_end_anywhere() {
        assert!(!frames(b"Content-Length: many\r\n\r\n{}").1);
        assert!(!frames(b"X: y\r\n\r\n{}").1);
        assert!(!frames(&vec![b'a'; 20_000]).1);
        for bytes in [&b""[..], b"Content-Le", b"Content-Length: 5\r\n\r\n{}", b"\r\n\r\n"] {
            assert!(frames(bytes).1, "{bytes:?}");
        }
    }

    #[test]
    fn a_huge_message_is_passed_over_without_being_held() {
        let length = MESSAGE_MAX + 5;
        let head = format!("Content-Length: {length}\r\n\r\n");
        let rest = framed(r#"{"method":"x"}"#);
        let stream = head.as_bytes().chain(io::repeat(b' ').take(length)).chain(&rest[..]);
        let mut reader = io::BufReader::new(stream);
        assert!(matches!(read_frame(&mut reader), Ok(Some(Frame::Malformed { .. }))));
        assert!(matches!(read_frame(&mut reader), Ok(Some(Frame::Message(_)))));
    }
}
