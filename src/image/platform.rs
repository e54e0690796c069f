//! What an image is made for: operating system and architecture, as OCI writes them. Not here: which one is chosen.

use std::fmt;
use std::str::FromStr;

/// Bytes of one word; those of the specification are far shorter.
const WORD_MAX: usize = 64;

/// Operating system, architecture and, for some architectures, its variant: `linux/amd64`, `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// As Go's `GOOS`.
    pub os: String,
    /// As Go's `GOARCH`.
    pub architecture: String,
    /// Variant of the architecture.
    pub variant: Option<String>,
}

impl Platform {
    /// The platform of machines.
    pub fn machine() -> Self {
        Self { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// Text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no platform: expected `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`, as `linux/amd64`")]
pub struct PlatformError(String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let words: Vec<&str> = text.split('/').collect();
        let is_word = |word: &&str| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            !word.is_empty() && word.len() <= WORD_MAX && word.bytes().all(is_letter)
        };
        let wrong = || PlatformError(text.chars().take(100).collect());
        if !words.iter().all(is_word) {
            return Err(wrong());
        }
        let (os, architecture, variant) = match words.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some((*variant).to_owned())),
            _ => return Err(wrong()),
        };
        Ok(Self { os: (*os).to_owned(), architecture: (*architecture).to_owned(), variant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_two_or_three_words() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        assert_eq!(Platform::machine(), "linux/amd64".parse().unwrap());
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
