//! The rule about the path of an image: it is there, and holds what its prefix says (0402).

use std::path::Path;

use super::shell_word;
use super::sources::{give, nearest_path};
use super::world::World;
use crate::config::archive::{Contents, look, prefix_of};
use crate::config::files::{FileError, FileKind};
use crate::config::model::{Image, Machine};
use crate::diag::{Code, Diagnostic, Severity, Span};

/// What is wrong with the path of a machine's image, if anything.
pub(super) fn check(world: &World<'_>, machine: &Machine) -> Option<Diagnostic> {
    let image = &machine.image.value;
    let path = image.path()?;
    let span = machine.image.span;
    let shown = world.show_in(span, path);
    let (message, label, help) = match look(path, world.files) {
        Ok(contents) => match wrong_contents(image, &contents, &shown) {
            Some(words) => words,
            None if world.files.is_readable(path) => return None,
            None => unreadable(world, (image, span), path),
        },
        Err(FileError::Denied) => unreadable(world, (image, span), path),
        Err(FileError::Missing) => missing(world, (image, span), path, &shown),
        Err(error) => (
            format!("image {} `{shown}` cannot be used: {error}", noun(image)),
            "cannot be looked at",
            "name one that can be read".to_owned(),
        ),
    };
    Some(Diagnostic::new(Code(402), Severity::Error, message).label(machine.image.span, label).help(help))
}

type Words = (String, &'static str, String);

fn missing(world: &World<'_>, (image, span): (&Image, Span), path: &Path, shown: &str) -> Words {
    let noun = noun(image);
    if let Ok(leads) = world.files.read_link(path) {
        let message = format!("image {noun} `{shown}` is a link to `{}`, which does not exist", leads.display());
        return (message, "this link leads nowhere", format!("make what it leads to, or name the {noun} itself"));
    }
    let label = if matches!(image, Image::Dir(_)) { "no such folder" } else { "nothing is there" };
    (format!("image {noun} `{shown}` does not exist"), label, missing_help(world, (image, span), path))
}

fn noun(image: &Image) -> &'static str {
    match image {
        Image::Dir(_) => "folder",
        Image::DockerArchive(_) => "file",
        _ => "path",
    }
}

/// What is said where the path holds something else than the prefix of the image.
fn wrong_contents(image: &Image, contents: &Contents, shown: &str) -> Option<Words> {
    let is_right = match image {
        Image::Dir(_) => *contents == Contents::Folder,
        Image::Oci(_) => matches!(contents, Contents::Layout | Contents::Tar { is_layout: true, .. }),
        _ => matches!(contents, Contents::Tar { is_docker: true, .. }),
    };
    // A root may hold files of any name.
    let is_odd = matches!(contents, Contents::DockerFolder | Contents::HalfLayout);
    if is_right || (matches!(image, Image::Dir(_)) && is_odd) {
        return None;
    }
    let prefix = image.prefix();
    let asked = match image {
        Image::Dir(_) => "an unpacked root file system",
        Image::Oci(_) => "an OCI layout",
        _ => "what `docker save` writes",
    };
    let label = match contents {
        Contents::Layout => "this folder is an OCI layout",
        Contents::DockerFolder => "this folder is an unpacked archive of docker",
        Contents::HalfLayout => "this folder has only one of `oci-layout` and `index.json`",
        Contents::Folder => "this is a folder without `oci-layout` and `index.json`",
        Contents::Tar { is_docker: true, .. } => "this tar is an archive of docker",
        Contents::Tar { is_layout: true, .. } => "this tar is an OCI layout",
        Contents::Tar { .. } => "this tar has neither `manifest.json` nor `oci-layout` and `index.json`",
        Contents::CutTar => "this tar ends in the midst of a file: it was not written or copied to its end",
        Contents::Packed(_) => "this file is packed once more",
        Contents::Other => "this is neither a folder nor a tar",
    };
    let help = match (contents, prefix_of(contents)) {
        (_, Some(right)) => format!("write `{right}{shown}`"),
        (Contents::Packed(program), _) => format!("unpack it: `{program} {}`", shell_word(shown)),
        (Contents::DockerFolder, _) => format!(
            "pack it again: `tar -C {} -cf {} .`, and write `docker-archive:{shown}.tar`",
            shell_word(shown),
            shell_word(&format!("{shown}.tar"))
        ),
        (Contents::Tar { .. }, _) if matches!(image, Image::Dir(_)) => {
            format!("unpack it into a folder (`tar -xf {}`), and name that", shell_word(shown))
        }
        (Contents::CutTar, _) => "write or copy it once more".to_owned(),
        _ => match image {
            Image::Dir(_) => "name the folder that holds an unpacked root file system".to_owned(),
            Image::Oci(_) => "name a folder or tar with `oci-layout` and `index.json`".to_owned(),
            _ => "write one with `docker save IMAGE -o FILE`".to_owned(),
        },
    };
    Some((format!("image `{shown}` is not {asked}, as `{prefix}` says"), label, help))
}

fn unreadable(world: &World<'_>, (image, span): (&Image, Span), path: &Path) -> Words {
    let message =
        format!("image {} `{}` cannot be read by {}", noun(image), world.show_in(span, path), world.invoker_words());
    let is_folder = world.files.metadata(path).is_ok_and(|found| found.kind == FileKind::Folder);
    if is_folder {
        return (message, "no right to list and enter this folder", give(world, path, "rx"));
    }
    (message, "no right to read this", give(world, path, "r"))
}

fn missing_help(world: &World<'_>, (image, span): (&Image, Span), path: &Path) -> String {
    // The form of other programs names the image in the file after a colon.
    let text = path.to_str().unwrap_or_default();
    let mut shorter = text.match_indices(':').map(|(at, _)| &text[..at]);
    let before = shorter.find(|before| !before.ends_with('/') && world.files.metadata(Path::new(before)).is_ok());
    if let Some(before) = before.filter(|_| !matches!(image, Image::Dir(_))) {
        return format!(
            "write `{}{}`, without a name after it",
            image.prefix(),
            world.show_in(span, Path::new(before))
        );
    }
    let kinds: &[FileKind] = match image {
        Image::Dir(_) => &[FileKind::Folder],
        Image::DockerArchive(_) => &[FileKind::File],
        _ => &[FileKind::Folder, FileKind::File],
    };
    match nearest_path(world, span, path, kinds) {
        Some(near) => format!("did you mean `{}{near}`?", image.prefix()),
        None => match image {
            Image::Dir(_) => "name a folder that is there".to_owned(),
            Image::Oci(_) => "name a folder or tar that is there".to_owned(),
            _ => "name a file that is there, or write one with `docker save IMAGE -o FILE`".to_owned(),
        },
    }
}
