//! A world that exists only in memory, for tests of the rules: a few files, links and variables.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::accounts::HostIds;
use super::files::{FileError, FileKind, Files, FolderContents, InvokerFacts, Metadata};
use super::host_facts::{HostPorts, HostResources};
use super::image_root::{ImageNode, ImageRoot};
use super::model::Image;

#[derive(Debug, Clone)]
enum Entry {
    File(Vec<u8>),
    Folder,
    Link(PathBuf),
    Other,
}

/// Files that exist only in memory. Folders above an added path are made by themselves.
#[derive(Debug, Clone)]
pub struct MemoryFiles {
    entries: BTreeMap<PathBuf, Entry>,
    unreadable: Vec<PathBuf>,
    unwritable: Vec<PathBuf>,
    variables: BTreeMap<String, String>,
    invoker: InvokerFacts,
    own_folders: Vec<PathBuf>,
    image_roots: Vec<(String, PathBuf)>,
    resources: HostResources,
    ports: HostPorts,
}

impl Default for MemoryFiles {
    fn default() -> Self {
        let home = PathBuf::from("/home/ada");
        let invoker = InvokerFacts {
            uid: 1000,
            gid: 1000,
            name: Some("ada".to_owned()),
            home: Some(home.clone()),
            is_privileged: false,
        };
        let own_folders = vec![home.join(".local/state/smolvm"), home.join(".cache/smolvm")];
        let new = Self {
            entries: BTreeMap::from([(PathBuf::from("/"), Entry::Folder)]),
            unreadable: Vec::new(),
            unwritable: Vec::new(),
            variables: BTreeMap::new(),
            invoker,
            own_folders,
            image_roots: Vec::new(),
            resources: HostResources { cpus: 16, memory_mib: 64 << 10 },
            ports: HostPorts { first_unprivileged: 1024, may_use_all: false, taken: Vec::new() },
        };
        new.folder("/home/ada")
    }
}

impl MemoryFiles {
    /// A world with the home `/home/ada` of user 1000, 16 CPUs and 64 GiB of memory, and nothing else.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, path: &Path, entry: Entry) -> Self {
        for parent in path.ancestors().skip(1) {
            self.entries.entry(parent.to_path_buf()).or_insert(Entry::Folder);
        }
        self.entries.insert(path.to_path_buf(), entry);
        self
    }

    /// Adds a regular file.
    #[must_use]
    pub fn file(self, path: impl AsRef<Path>, content: impl Into<Vec<u8>>) -> Self {
        self.with(path.as_ref(), Entry::File(content.into()))
    }

    /// A tar with members of these names and lengths, for [`MemoryFiles::file`]; they hold zeros.
    pub fn tar(members: &[(&str, u64)]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, size) in members {
            let mut header = [0; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
            header[148..156].copy_from_slice(b"        ");
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
            header[154] = 0;
            tar.extend(header);
            // What is longer than any test reads is left out, as in a file that was cut off.
            let blocks = usize::try_from(size.div_ceil(512)).unwrap_or(usize::MAX).min(64);
            tar.resize(tar.len() + blocks * 512, 0);
        }
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    /// Adds a folder.
    #[must_use]
    pub fn folder(self, path: impl AsRef<Path>) -> Self {
        self.with(path.as_ref(), Entry::Folder)
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: impl AsRef<Path>, target: impl Into<PathBuf>) -> Self {
        self.with(path.as_ref(), Entry::Link(target.into()))
    }

    /// Adds something that is neither file nor folder.
    #[must_use]
    pub fn device(self, path: impl AsRef<Path>) -> Self {
        self.with(path.as_ref(), Entry::Other)
    }

    /// Takes the right to read a path.
    #[must_use]
    pub fn unreadable(mut self, path: impl Into<PathBuf>) -> Self {
        self.unreadable.push(path.into());
        self
    }

    /// Takes the right to write a path.
    #[must_use]
    pub fn unwritable(mut self, path: impl Into<PathBuf>) -> Self {
        self.unwritable.push(path.into());
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Says where the root of an image is, by what the file calls it; of one that is locked, by its digest.
    #[must_use]
    pub fn image_root(mut self, image: impl Into<String>, root: impl Into<PathBuf>) -> Self {
        self.image_roots.push((image.into(), root.into()));
        self
    }

    /// Lets the invoking user act as others.
    #[must_use]
    pub fn privileged(mut self) -> Self {
        self.invoker.is_privileged = true;
        self.ports.may_use_all = true;
        self
    }

    /// Says who runs smolvm.
    #[must_use]
    pub fn invoked_by(mut self, invoker: InvokerFacts) -> Self {
        self.invoker = invoker;
        self
    }

    /// Says how large this host is; 0 is not known.
    #[must_use]
    pub fn host(mut self, cpus: u32, memory_mib: u64) -> Self {
        self.resources = HostResources { cpus, memory_mib };
        self
    }

    /// Lets another program listen at an address.
    #[must_use]
    pub fn taken(mut self, address: SocketAddr) -> Self {
        self.ports.taken.push(address);
        self
    }

    fn resolve(&self, path: &Path, follow_last: bool) -> Result<PathBuf, FileError> {
        let mut budget = 40;
        self.resolve_within(path, follow_last, &mut budget)
    }

    fn resolve_within(&self, path: &Path, follow_last: bool, budget: &mut u32) -> Result<PathBuf, FileError> {
        let mut at = PathBuf::from("/");
        let parts: Vec<Component<'_>> = path.components().collect();
        for (index, part) in parts.iter().enumerate() {
            match part {
                Component::ParentDir => {
                    at.pop();
                }
                Component::Normal(name) => at.push(name),
                _ => continue,
            }
            let entry = self.entries.get(&at).ok_or(FileError::Missing)?;
            if let Entry::Link(target) = entry
                && (follow_last || index + 1 < parts.len())
            {
                *budget = budget.checked_sub(1).ok_or(FileError::Loop)?;
                at.pop();
                at = self.resolve_within(&at.join(target), true, budget)?;
            }
        }
        Ok(at)
    }

    fn describe(&self, path: &Path) -> Result<Metadata, FileError> {
        let index = self.entries.keys().position(|known| known == path).ok_or(FileError::Missing)?;
        let (kind, length) = match &self.entries[path] {
            Entry::File(content) => (FileKind::File, content.len() as u64),
            Entry::Folder => (FileKind::Folder, 0),
            Entry::Link(_) => (FileKind::Link, 0),
            Entry::Other => (FileKind::Other, 0),
        };
        Ok(Metadata {
            kind,
            length,
            identity: (1, index as u64),
            is_public: !self.unreadable.iter().any(|taken| taken == path),
        })
    }
}

/// An image in a folder of the same world.
#[derive(Debug)]
struct MemoryRoot {
    files: MemoryFiles,
    root: PathBuf,
}

impl MemoryRoot {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

impl ImageRoot for MemoryRoot {
    fn at(&self, path: &str) -> Option<ImageNode> {
        Some(match self.files.entries.get(&self.path(path))? {
            Entry::File(_) => ImageNode::File,
            Entry::Folder => ImageNode::Folder,
            Entry::Link(target) => ImageNode::Link(target.to_string_lossy().into_owned()),
            Entry::Other => ImageNode::Other,
        })
    }

    fn contents(&self, path: &str, limit: usize) -> Option<FolderContents> {
        self.files.contents(&self.path(path), limit, false).ok()
    }

    fn read(&self, path: &str, limit: usize) -> Option<Vec<u8>> {
        self.files.read(&self.path(path), limit).ok()
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
        let content = self.read_start(path, usize::MAX)?;
        if content.len() > limit { Err(FileError::TooLong) } else { Ok(content) }
    }

    fn read_start(&self, path: &Path, length: usize) -> Result<Vec<u8>, FileError> {
        let path = self.resolve(path, true)?;
        if self.unreadable.contains(&path) {
            return Err(FileError::Denied);
        }
        match self.entries.get(&path) {
            Some(Entry::File(content)) => Ok(content[..content.len().min(length)].to_vec()),
            Some(_) => Err(FileError::NotRegular),
            None => Err(FileError::Missing),
        }
    }

    fn read_range(&self, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>, FileError> {
        let content = self.read_start(path, usize::MAX)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        Ok(content[start..].iter().take(length).copied().collect())
    }

    fn metadata(&self, path: &Path) -> Result<Metadata, FileError> {
        self.describe(&self.resolve(path, true)?)
    }

    fn link_metadata(&self, path: &Path) -> Result<Metadata, FileError> {
        self.describe(&self.resolve(path, false)?)
    }

    fn canonicalize(&self, path: &Path) -> Result<PathBuf, FileError> {
        self.resolve(path, true)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, FileError> {
        match self.entries.get(&self.resolve(path, false)?) {
            Some(Entry::Link(target)) => Ok(target.clone()),
            None => Err(FileError::Missing),
            _ => Err(FileError::Other("not a link".to_owned())),
        }
    }

    fn list(&self, folder: &Path) -> Result<Vec<OsString>, FileError> {
        let folder = self.resolve(folder, true)?;
        let names = self.entries.keys().filter(|path| path.parent() == Some(&folder));
        Ok(names.filter_map(|path| path.file_name().map(OsString::from)).collect())
    }

    fn contents(&self, folder: &Path, limit: usize, is_public_only: bool) -> Result<FolderContents, FileError> {
        let folder = self.resolve(folder, true)?;
        if !matches!(self.entries.get(&folder), Some(Entry::Folder)) {
            return Err(FileError::Other("not a folder".to_owned()));
        }
        let is_seen = |path: &Path| {
            let mut above = path.ancestors().take_while(|above| *above != folder);
            !is_public_only || !above.any(|above| self.unreadable.iter().any(|taken| taken == above))
        };
        let mut found = FolderContents::default();
        for (path, entry) in self.entries.iter().filter(|(path, _)| path.starts_with(&folder) && **path != folder) {
            found.looked_at += 1;
            if !is_seen(path) {
                continue;
            }
            if path.parent() == Some(&folder) {
                found.entries += 1;
                found.names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            } else if found.looked_at > limit {
                found.is_more = true;
                continue;
            }
            found.files += usize::from(!matches!(entry, Entry::Folder));
        }
        Ok(found)
    }

    fn image_root(&self, image: &Image, lock: Option<&str>) -> Option<Arc<dyn ImageRoot>> {
        let name = lock.map_or_else(|| image.to_string(), str::to_owned);
        let (_, root) = self.image_roots.iter().find(|(known, _)| *known == name)?;
        let files = Self { image_roots: Vec::new(), ..self.clone() };
        Some(Arc::new(MemoryRoot { files, root: root.clone() }))
    }

    fn is_readable(&self, path: &Path) -> bool {
        self.resolve(path, true).is_ok_and(|path| !self.unreadable.contains(&path))
    }

    fn is_writable(&self, path: &Path) -> bool {
        self.resolve(path, true).is_ok_and(|path| !self.unwritable.contains(&path))
    }

    fn is_usable_by(&self, owner: &HostIds, path: &Path, is_written: bool) -> bool {
        owner.uid == 0 || (self.is_readable(path) && (!is_written || self.is_writable(path)))
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn variable_names(&self) -> Vec<String> {
        self.variables.keys().cloned().collect()
    }

    fn invoker(&self) -> InvokerFacts {
        self.invoker.clone()
    }

    fn resources(&self) -> HostResources {
        self.resources
    }

    fn ports(&self) -> HostPorts {
        self.ports.clone()
    }

    fn own_folders(&self) -> Vec<PathBuf> {
        self.own_folders.clone()
    }
}
