//! From a name to the manifest of a platform and its config.

use oci_distribution::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use reqwest::header::CONTENT_TYPE;

use super::access::Patience;
use super::body;
use super::error::PullError;
use super::missing;
use super::retry::{Notes, Tries};
use super::session::{Request, Session};
use super::wire::WireError;
use super::{Ask, Document, Resolved};
use crate::image::manifest::{
    self, CONFIG_MAX, Descriptor, INDEX_DEPTH_MAX, ImageManifest, IndexEntry, MANIFEST_MAX, Manifest, ManifestError,
};
use crate::image::{Digest, Platform};

/// Indexes that are looked into for one image; more are made by nobody.
const INDEXES_MAX: usize = 16;
/// Entries of one index that are looked at.
const CANDIDATES_MAX: usize = 16;

/// One search at one host.
pub(super) struct Resolver<'a> {
    pub(super) ask: Ask<'a>,
    pub(super) session: &'a Session,
    pub(super) patience: Patience,
    pub(super) notes: &'a Notes,
    /// Platforms that were seen and not wanted.
    found: Vec<String>,
    indexes_seen: usize,
}

impl std::fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("ask", &self.ask).finish_non_exhaustive()
    }
}

impl<'a> Resolver<'a> {
    pub(super) fn new(ask: Ask<'a>, session: &'a Session, patience: Patience, notes: &'a Notes) -> Self {
        Self { ask, session, patience, notes, found: Vec::new(), indexes_seen: 0 }
    }

    /// Finds the image.
    pub(super) async fn resolve(mut self) -> Result<Resolved, PullError> {
        let image = self.ask.image;
        let named = match (self.ask.locked, image.digest()) {
            (Some(locked), _) => Some(locked.clone()),
            (None, Some(digest)) => {
                Some(digest.parse().map_err(|_| PullError::Digest { image: image.written().to_owned() })?)
            }
            (None, None) => None,
        };
        let top = match named {
            Some(digest) => self.manifest(digest.as_str(), Some(&digest)).await?,
            None => self.manifest(image.tag().unwrap_or("latest"), None).await?,
        };
        let mut next = Some((Vec::new(), top));
        // What may still hold it, the likeliest last; a stack, so that no depth is one of the machine.
        let mut open: Vec<(Vec<Document>, Descriptor)> = Vec::new();
        while let Some((indexes, mut document)) = next {
            let said = document.descriptor.media_type.clone();
            let read = manifest::read(&document.bytes, Some(&said)).map_err(|source| self.wrong(source))?;
            if said.is_empty() {
                // What was here already, and says of itself only what it holds.
                let is_index = matches!(read, Manifest::Index(_));
                let media_type = if is_index { OCI_IMAGE_INDEX_MEDIA_TYPE } else { OCI_IMAGE_MEDIA_TYPE };
                document.descriptor.media_type = media_type.to_owned();
            }
            match read {
                Manifest::Image(content) => {
                    if let Some(resolved) = self.image(indexes, document, content).await? {
                        return Ok(resolved);
                    }
                }
                Manifest::Index(entries) => {
                    let below = self.index(&indexes, &entries)?;
                    let indexes: Vec<_> = indexes.into_iter().chain([document]).collect();
                    open.extend(below.into_iter().rev().map(|entry| (indexes.clone(), entry)));
                }
            }
            next = match open.pop() {
                Some((indexes, descriptor)) => Some((indexes, self.manifest_of(&descriptor).await?)),
                None => None,
            };
        }
        Err(self.no_platform())
    }

    /// What an index names that may be or hold the image, the likeliest first.
    fn index(&mut self, above: &[Document], entries: &[IndexEntry]) -> Result<Vec<Descriptor>, PullError> {
        self.indexes_seen += 1;
        if above.len() >= INDEX_DEPTH_MAX || self.indexes_seen > INDEXES_MAX {
            return Err(self.wrong(ManifestError::Form("its indexes lead on and on".to_owned())));
        }
        let named = entries.iter().filter_map(|entry| entry.platform.as_ref());
        // What is not for a platform (signatures, provenance) is for `unknown`.
        self.found.extend(named.filter(|platform| platform.os != "unknown").map(Platform::to_string));
        let likely = manifest::candidates(entries, self.ask.platform).into_iter().take(CANDIDATES_MAX);
        Ok(likely.map(|entry| entry.manifest.clone()).collect())
    }

    /// The image, where its config says that it is for the platform.
    async fn image(
        &mut self,
        indexes: Vec<Document>,
        manifest: Document,
        content: ImageManifest,
    ) -> Result<Option<Resolved>, PullError> {
        let config = self.config(&content.config).await?;
        let platform = manifest::platform_of_config(&config.bytes).map_err(|source| self.wrong(source))?;
        let wanted = self.ask.platform;
        let is_it = |found: &Platform| found.os == wanted.os && found.architecture == wanted.architecture;
        // A config that says nothing belongs to whoever asked for it by name.
        if platform.as_ref().is_none_or(is_it) {
            let image = self.ask.image.clone();
            return Ok(Some(Resolved { image, indexes, manifest, content, config }));
        }
        self.found.extend(platform.map(|platform| platform.to_string()));
        Ok(None)
    }

    /// A manifest that an index names.
    async fn manifest_of(&self, descriptor: &Descriptor) -> Result<Document, PullError> {
        if descriptor.size > MANIFEST_MAX {
            return Err(self.tries().failed(WireError::TooLarge(MANIFEST_MAX)));
        }
        let mut document = self.manifest(descriptor.digest.as_str(), Some(&descriptor.digest)).await?;
        document.descriptor.media_type.clone_from(&descriptor.media_type);
        Ok(document)
    }

    /// A manifest by tag or digest.
    async fn manifest(&self, name: &str, expected: Option<&Digest>) -> Result<Document, PullError> {
        if let Some(document) = expected.and_then(|digest| self.known(digest, String::new())) {
            return Ok(document);
        }
        let accept = [
            OCI_IMAGE_MEDIA_TYPE,
            OCI_IMAGE_INDEX_MEDIA_TYPE,
            IMAGE_MANIFEST_MEDIA_TYPE,
            IMAGE_MANIFEST_LIST_MEDIA_TYPE,
        ]
        .join(", ");
        let path = format!("manifests/{name}");
        let request = Request { path: &path, accept: Some(&accept), from: 0 };
        let mut tries = self.tries();
        loop {
            match self.document(request, MANIFEST_MAX, expected).await {
                Ok(document) => return Ok(document),
                Err(WireError::NotFound) => return Err(missing::explain(self.ask.image, name, self.session).await),
                Err(error) => tries.after(error).await?,
            }
        }
    }

    async fn config(&self, descriptor: &Descriptor) -> Result<Document, PullError> {
        if descriptor.size > CONFIG_MAX {
            return Err(self.tries().failed(WireError::TooLarge(CONFIG_MAX)));
        }
        if let Some(document) = self.known(&descriptor.digest, descriptor.media_type.clone()) {
            return Ok(document);
        }
        let path = format!("blobs/{}", descriptor.digest);
        let request = Request { path: &path, accept: None, from: 0 };
        let what = format!("config `{}` of `{}`", descriptor.digest, self.ask.image);
        let mut tries = Tries::new(self.patience, self.session, what, self.notes);
        loop {
            match self.document(request, CONFIG_MAX, Some(&descriptor.digest)).await {
                Ok(mut document) => {
                    document.descriptor.media_type.clone_from(&descriptor.media_type);
                    return Ok(document);
                }
                Err(error) => tries.after(error).await?,
            }
        }
    }

    async fn document(
        &self,
        request: Request<'_>,
        most: u64,
        expected: Option<&Digest>,
    ) -> Result<Document, WireError> {
        let response = self.session.get(request).await?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let media_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let said: Option<Digest> = header("docker-content-digest").and_then(|text| text.parse().ok());
        let bytes = body::read(response, most, self.session.endpoint.stall).await?;
        let found = Digest::of(&bytes);
        // That of a signed manifest of schema 1 is of a part of it; what it is is told later.
        let said = said.filter(|_| !media_type.contains("distribution.manifest.v1+"));
        if let Some(expected) = expected.or(said.as_ref()).filter(|expected| **expected != found) {
            return Err(WireError::WrongDigest { expected: expected.to_string(), found });
        }
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        Ok(Document { descriptor: Descriptor { digest: found, size: bytes.len() as u64, media_type }, bytes })
    }

    /// What is here already, where it is what it is called.
    fn known(&self, digest: &Digest, media_type: String) -> Option<Document> {
        let bytes = (self.ask.known)(digest).filter(|bytes| Digest::of(bytes) == *digest)?;
        let size = bytes.len() as u64;
        Some(Document { descriptor: Descriptor { digest: digest.clone(), size, media_type }, bytes })
    }

    fn tries(&self) -> Tries<'a> {
        Tries::new(self.patience, self.session, format!("`{}`", self.ask.image), self.notes)
    }

    fn wrong(&self, source: ManifestError) -> PullError {
        PullError::Manifest { image: self.ask.image.to_string(), source }
    }

    fn no_platform(mut self) -> PullError {
        self.found.sort();
        self.found.dedup();
        let (image, wanted) = (self.ask.image.to_string(), self.ask.platform.to_string());
        PullError::Platform { image, wanted, found: self.found }
    }
}
