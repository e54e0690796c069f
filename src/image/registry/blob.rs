//! One blob into its place, from where it was left, as often as it takes.

use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};

use super::body;
use super::error::PullError;
use super::retry::Tries;
use super::session::{Request, Session};
use super::sink::{BlobSink, Commit};
use super::wire::WireError;
use crate::config::Reference;
use crate::image::manifest::Descriptor;

/// Bytes that count as progress, after which a broken connection is no failure in a row.
const PROGRESS: u64 = 1 << 20;

/// A blob on its way.
pub(super) struct Fetch<'a> {
    pub(super) image: &'a Reference,
    pub(super) blob: &'a Descriptor,
    pub(super) sink: &'a mut dyn BlobSink,
    /// Is told how many bytes are here.
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

impl std::fmt::Debug for Fetch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetch").field("blob", self.blob).finish_non_exhaustive()
    }
}

/// Why one try came to nothing.
enum Failed {
    Wire(WireError),
    Store(std::io::Error),
}

impl From<WireError> for Failed {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Store(error)
    }
}

impl Fetch<'_> {
    /// Fetches it from one host.
    pub(super) async fn run(&mut self, session: &Session, mut tries: Tries<'_>) -> Result<(), PullError> {
        let mut before = self.sink.offset();
        loop {
            match self.attempt(session).await {
                Ok(()) => return Ok(()),
                Err(Failed::Store(source)) => {
                    let (image, digest) = (self.image.to_string(), self.blob.digest.clone());
                    return Err(PullError::Store { image, digest, source });
                }
                Err(Failed::Wire(error)) => {
                    if self.sink.offset() >= before.saturating_add(PROGRESS) {
                        before = self.sink.offset();
                        tries.progressed();
                    }
                    tries.after(error).await?;
                }
            }
        }
    }

    async fn attempt(&mut self, session: &Session) -> Result<(), Failed> {
        let size = self.blob.size;
        if self.sink.offset() > size {
            self.restart()?;
        }
        if self.sink.offset() < size {
            let path = format!("blobs/{}", self.blob.digest);
            let request = Request { path: &path, accept: None, from: self.sink.offset() };
            match session.get(request).await {
                Ok(response) => self.receive(response, session).await?,
                Err(error @ WireError::Status { status: 416, .. }) => {
                    // What is here is more than it has there; from the beginning then.
                    self.restart()?;
                    return Err(WireError::Broken(error.to_string()).into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        match self.sink.commit()? {
            Commit::Kept => Ok(()),
            Commit::Wrong(found) => {
                (self.progress)(0);
                Err(WireError::WrongDigest { expected: self.blob.digest.to_string(), found }.into())
            }
        }
    }

    async fn receive(&mut self, mut response: Response, session: &Session) -> Result<(), Failed> {
        let size = self.blob.size;
        if response.status() == StatusCode::OK {
            if self.sink.offset() > 0 {
                // It does not know ranges.
                self.restart()?;
            }
        } else if starts_at(&response) != Some(self.sink.offset()) {
            self.restart()?;
            return Err(WireError::Broken("it sent another part than was asked for".to_owned()).into());
        }
        if let Some(length) = response.content_length() {
            let found = self.sink.offset().saturating_add(length);
            if found != size {
                return Err(WireError::WrongSize { expected: size, found }.into());
            }
        }
        while let Some(chunk) = body::chunk(&mut response, session.endpoint.stall).await? {
            let chunk = chunk.as_ref();
            if self.sink.offset().saturating_add(chunk.len() as u64) > size {
                self.restart()?;
                return Err(WireError::TooLarge(size).into());
            }
            self.sink.write(chunk)?;
            (self.progress)(self.sink.offset());
        }
        if self.sink.offset() < size {
            let text = format!("it ended after {} of {size} bytes", self.sink.offset());
            return Err(WireError::Broken(text).into());
        }
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        (self.progress)(0);
        self.sink.restart()
    }
}

/// Where the part begins that an answer holds.
fn starts_at(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
