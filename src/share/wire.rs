//! What a file server and its parent tell each other over the control socket.
//!
//! The server says once how its start went; from then on the parent sends views, and each is answered by one byte
//! when it is in force. The end of the stream ends the server.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use super::source::ServedRoot;

/// The descriptor from which the server reads its [`super::ShareSpec`] as JSON.
pub(super) const SPEC_FD: i32 = 3;
/// The listener to which the front end is connected.
pub(super) const LISTENER_FD: i32 = 4;
/// The control socket.
pub(super) const CONTROL_FD: i32 = 5;

/// The longest report that is read.
const REPORT_MAX_BYTES: u64 = 16 * 1024;

/// How the start went.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) enum Report {
    /// The server is confined and serves this.
    Ready(ServedRoot),
    /// It could not start.
    Failed {
        /// Why, for people.
        message: String,
        /// Whether this host denies what confinement needs.
        is_host_unfit: bool,
    },
}

/// Sends a report: one line of JSON.
pub(super) fn send_report(mut stream: impl Write, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Reads a report. `None` where the stream ends before it is whole.
pub(super) fn receive_report(stream: impl Read) -> io::Result<Option<Report>> {
    let mut line = Vec::new();
    // Nothing follows a report before the parent has asked, so that a buffer takes nothing that is another's.
    BufReader::new(stream.take(REPORT_MAX_BYTES)).read_until(b'\n', &mut line)?;
    if line.pop() == Some(b'\n') { Ok(Some(serde_json::from_slice(&line)?)) } else { Ok(None) }
}

/// Sends a view and waits until it is in force.
pub(super) fn send_view(mut stream: impl Read + Write, uid: u32, gid: u32) -> io::Result<()> {
    let mut message = [0; 8];
    message[..4].copy_from_slice(&uid.to_le_bytes());
    message[4..].copy_from_slice(&gid.to_le_bytes());
    stream.write_all(&message)?;
    stream.read_exact(&mut [0])
}

/// Hands each view that comes to `set`, until the stream ends.
pub(super) fn serve_views(mut stream: impl Read + Write, mut set: impl FnMut(u32, u32)) -> io::Result<()> {
    loop {
        let mut message = [0; 8];
        if let Err(error) = stream.read_exact(&mut message) {
            return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(()) } else { Err(error) };
        }
        let [u0, u1, u2, u3, g0, g1, g2, g3] = message;
        set(u32::from_le_bytes([u0, u1, u2, u3]), u32::from_le_bytes([g0, g1, g2, g3]));
        stream.write_all(&[1])?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    #[test]
    fn report_survives_the_way_and_a_broken_one_is_none() {
        let failed = Report::Failed { message: "line\nbreak".into(), is_host_unfit: true };
        let mut bytes = Vec::new();
        send_report(&mut bytes, &failed).unwrap();
        assert_eq!(receive_report(bytes.as_slice()).unwrap(), Some(failed));
        assert_eq!(receive_report(&bytes[..bytes.len() - 1]).unwrap(), None);
    }

    #[test]
    fn views_arrive_in_order_until_the_stream_ends() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut seen = Vec::new();
            serve_views(theirs, |uid, gid| seen.push((uid, gid))).unwrap();
            seen
        });
        send_view(&ours, 1000, 100).unwrap();
        send_view(&ours, u32::MAX - 1, 0).unwrap();
        drop(ours);
        assert_eq!(server.join().unwrap(), [(1000, 100), (u32::MAX - 1, 0)]);
    }
}
