//! One connection to the agent: dial until it answers, then greet.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use smolvm_agent::{GREETING_BYTES, GreetingError, check_greeting, greeting};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::SessionError;

/// Pause between two attempts. The guest's kernel refuses until the agent listens; every attempt is one packet.
const RETRY: Duration = Duration::from_millis(5);

/// For whom a connection of a machine is, of which it has only so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Who asks: any number, the same for the same.
    pub by: u32,
    /// How many may ask in all, this one among them: half of all connections is set aside for them in equal parts.
    pub among: u32,
}

/// Makes connections to ports of one guest.
pub trait Dial: Send + Sync {
    /// Connects to a port without waiting for the guest; a refused connection ends at once (end of file).
    fn dial(&self, port: u32) -> io::Result<StdStream>;

    /// Makes a stream the host's end of a connection to a port, behind the bytes of `opening`; where the guest refuses, the
    /// stream is closed, and where it breaks off, reset.
    ///
    /// # Errors
    /// `QuotaExceeded` where there are too many connections, in all or of this claim, which will pass; others where the machine is gone.
    fn join(&self, port: u32, opening: &[u8], stream: OwnedFd, claim: Claim) -> io::Result<()>;

    /// What went through such streams so far.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

/// Bytes of the connections that others made into a machine, or the machine to others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// To the guest.
    pub received: u64,
    /// From the guest.
    pub sent: u64,
}

enum Attempt {
    Connected(UnixStream),
    Refused,
    Alien(GreetingError),
}

/// Connects to `port` and exchanges greetings, with `opening` behind the own one; tries again until `limit` is over.
pub(super) async fn connect(
    dial: &dyn Dial,
    port: u32,
    opening: &[u8],
    limit: Duration,
) -> Result<UnixStream, SessionError> {
    let deadline = Instant::now() + limit;
    loop {
        match timeout_at(deadline, attempt(dial, port, opening)).await {
            Ok(Ok(Attempt::Connected(stream))) => return Ok(stream),
            Ok(Ok(Attempt::Alien(source))) => return Err(SessionError::Greeting { source }),
            Ok(Ok(Attempt::Refused)) if Instant::now() + RETRY < deadline => sleep(RETRY).await,
            Ok(Ok(Attempt::Refused)) | Err(_) => return Err(SessionError::Connect { limit }),
            Ok(Err(source)) => return Err(SessionError::Dial { source }),
        }
    }
}

async fn attempt(dial: &dyn Dial, port: u32, opening: &[u8]) -> io::Result<Attempt> {
    let stream = dial.dial(port)?;
    stream.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(stream)?;
    let mut theirs = [0u8; GREETING_BYTES];
    let exchange = async {
        stream.write_all(&[&greeting()[..], opening].concat()).await?;
        stream.read_exact(&mut theirs).await
    };
    if exchange.await.is_err() {
        return Ok(Attempt::Refused);
    }
    Ok(match check_greeting(theirs) {
        Ok(()) => Attempt::Connected(stream),
        Err(error) => Attempt::Alien(error),
    })
}
