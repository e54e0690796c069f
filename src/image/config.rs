//! What an image says about the processes that run in it: the config of OCI (image-spec, `config.md`) and of docker.
//!
//! The bytes come from anywhere and are believed in nothing: counts and lengths have limits, texts hold no NUL. What is of
//! no use in a machine (`Healthcheck`, `OnBuild`, `Labels`, history) is not read. Deliberately not here: what `plan` makes
//! of it.

use serde::Deserialize;
use serde_json::Value;

use super::Digest;
use super::manifest::{CONFIG_MAX, LAYERS_MAX};

/// Entries of one list.
const ENTRIES_MAX: usize = 10_000;
/// Bytes of one text; the kernel takes no longer argument.
const TEXT_MAX: usize = 128 << 10;

/// What an image says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Environment, in its order; of a name that comes twice the last value.
    pub env: Vec<(String, String)>,
    /// `USER[:GROUP]`, names or numbers.
    pub user: Option<String>,
    /// Working folder.
    pub working_dir: Option<String>,
    /// What comes before the arguments.
    pub entrypoint: Vec<String>,
    /// Arguments where none are given.
    pub cmd: Vec<String>,
    /// Signal that asks for the end, as `SIGTERM` or a number.
    pub stop_signal: Option<String>,
    /// Folders that are meant to be volumes, sorted.
    pub volumes: Vec<String>,
    /// Ports that are meant to be reached, as `80/tcp`, sorted.
    pub exposed_ports: Vec<String>,
    /// When it was made, as RFC 3339; as it is written.
    pub created: Option<String>,
    /// Digests of the layers without compression, the lowest first.
    pub diff_ids: Vec<Digest>,
}

/// Why bytes are no config.
#[derive(Debug, thiserror::Error)]
pub enum ImageConfigError {
    /// No JSON of the form.
    #[error("the config cannot be read: {0}")]
    Form(String),
    /// A value that makes no sense, or is larger than any real one.
    #[error("the config's `{key}` {fault}")]
    Value {
        /// Which.
        key: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
}

#[derive(Deserialize)]
struct Written {
    created: Option<String>,
    #[serde(default)]
    config: Option<Process>,
    rootfs: RootFs,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Process {
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    entrypoint: Option<Value>,
    cmd: Option<Value>,
    stop_signal: Option<String>,
    volumes: Option<serde_json::Map<String, Value>>,
    exposed_ports: Option<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: Option<String>,
    diff_ids: Option<Vec<Digest>>,
}

impl ImageConfig {
    /// Reads a config.
    ///
    /// # Errors
    /// Where it is none, or says what no image says.
    pub fn read(bytes: &[u8]) -> Result<Self, ImageConfigError> {
        if bytes.len() as u64 > CONFIG_MAX {
            return Err(ImageConfigError::Form(format!("it is longer than {CONFIG_MAX} bytes")));
        }
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| ImageConfigError::Form(error.to_string()))?;
        if written.rootfs.kind.is_some_and(|kind| kind != "layers") {
            return Err(value("rootfs", "is not made of layers"));
        }
        let diff_ids = written.rootfs.diff_ids.unwrap_or_default();
        if diff_ids.len() > LAYERS_MAX {
            return Err(value("diff_ids", "are more than an image may have layers"));
        }
        let process = written.config.unwrap_or_default();
        Ok(Self {
            env: environment(process.env.unwrap_or_default())?,
            user: text("User", process.user)?,
            working_dir: text("WorkingDir", process.working_dir)?,
            entrypoint: words("Entrypoint", process.entrypoint)?,
            cmd: words("Cmd", process.cmd)?,
            stop_signal: text("StopSignal", process.stop_signal)?,
            volumes: keys("Volumes", process.volumes)?,
            exposed_ports: keys("ExposedPorts", process.exposed_ports)?,
            created: text("created", written.created)?,
            diff_ids,
        })
    }
}

fn value(key: &'static str, fault: &'static str) -> ImageConfigError {
    ImageConfigError::Value { key, fault }
}

fn checked(key: &'static str, text: &str) -> Result<(), ImageConfigError> {
    if text.len() > TEXT_MAX {
        return Err(value(key, "is longer than 128 KiB"));
    }
    if text.contains('\0') { Err(value(key, "holds a NUL")) } else { Ok(()) }
}

/// A text; an empty one says nothing.
fn text(key: &'static str, text: Option<String>) -> Result<Option<String>, ImageConfigError> {
    text.iter().try_for_each(|text| checked(key, text))?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// Words of a command: a list, or (in images of the first years of docker) one word.
fn words(key: &'static str, from: Option<Value>) -> Result<Vec<String>, ImageConfigError> {
    let list = match from {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(word)) => vec![Value::String(word)],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(value(key, "is no list of words")),
    };
    if list.len() > ENTRIES_MAX {
        return Err(value(key, "has too many entries"));
    }
    let word = |from| match from {
        Value::String(word) => checked(key, &word).map(|()| word),
        _ => Err(value(key, "is no list of words")),
    };
    list.into_iter().map(word).collect()
}

fn environment(list: Vec<String>) -> Result<Vec<(String, String)>, ImageConfigError> {
    if list.len() > ENTRIES_MAX {
        return Err(value("Env", "has too many entries"));
    }
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for entry in list {
        checked("Env", &entry)?;
        // An entry without a value, or without a name, sets nothing.
        let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) else { continue };
        match places.get(name) {
            Some(place) => {
                let (_, old): &mut (String, String) = &mut variables[*place];
                value.clone_into(old);
            }
            None => {
                places.insert(name.to_owned(), variables.len());
                variables.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    Ok(variables)
}

fn keys(key: &'static str, map: Option<serde_json::Map<String, Value>>) -> Result<Vec<String>, ImageConfigError> {
    let map = map.unwrap_or_default();
    if map.len() > ENTRIES_MAX {
        return Err(value(key, "has too many entries"));
    }
    let mut keys: Vec<String> = map.into_iter().map(|(name, _)| name).collect();
    keys.iter().try_for_each(|name| checked(key, name))?;
    keys.sort();
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &str = r#"{"rootfs":{"type":"layers","diff_ids":[]}}"#;

    fn read(config: &str) -> Result<ImageConfig, ImageConfigError> {
        ImageConfig::read(format!(r#"{{"config":{config},"rootfs":{{"type":"layers"}}}}"#).as_bytes())
    }

    #[test]
    fn all_that_a_process_needs_is_read() {
        let config = read(
            r#"{"Env":["PATH=/bin","A=1","B","=x","A=2=3"],"User":"app:app","WorkingDir":"/srv","Entrypoint":["/init","-x"],
                "Cmd":["run"],"StopSignal":"SIGINT","Volumes":{"/b":{},"/a":{}},"ExposedPorts":{"80/tcp":{}},
                "Healthcheck":{"Test":["CMD","true"]},"Labels":{"x":"y"}}"#,
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            config.unwrap(),
            ImageConfig {
                env: vec![pair("PATH", "/bin"), pair("A", "2=3")],
                user: Some("app:app".to_owned()),
                working_dir: Some("/srv".to_owned()),
                entrypoint: vec!["/init".to_owned(), "-x".to_owned()],
                cmd: vec!["run".to_owned()],
                stop_signal: Some("SIGINT".to_owned()),
                volumes: vec!["/a".to_owned(), "/b".to_owned()],
                exposed_ports: vec!["80/tcp".to_owned()],
                created: None,
                diff_ids: Vec::new(),
            }
        );
    }

    #[test]
    fn what_is_absent_null_or_empty_says_nothing() {
        assert_eq!(ImageConfig::read(NONE.as_bytes()).unwrap(), ImageConfig::default());
        let empty =
            read(r#"{"Env":null,"User":"","WorkingDir":"","Entrypoint":null,"Cmd":[],"Volumes":null}"#).unwrap();
        assert_eq!(empty, ImageConfig::default());
        assert_eq!(read("null").unwrap(), ImageConfig::default());
    }

    #[test]
    fn one_word_is_a_command_of_one_word() {
        assert_eq!(read(r#"{"Entrypoint":"/init"}"#).unwrap().entrypoint, ["/init"]);
    }

    #[test]
    fn what_no_image_says_is_refused() {
        let long = format!(r#"{{"User":"{}"}}"#, "x".repeat(TEXT_MAX + 1));
        let many = format!(r#"{{"Cmd":[{}"a"]}}"#, r#""a","#.repeat(ENTRIES_MAX));
        for config in [r#"{"User":"a\u0000b"}"#, r#"{"Cmd":[1]}"#, r#"{"Cmd":{}}"#, "[]", &long, &many] {
            assert!(read(config).is_err(), "{}", &config[..config.len().min(50)]);
        }
        for bytes in
            ["", "{}", r#"{"rootfs":{"type":"layers","diff_ids":["sha256:../x"]}}"#, r#"{"rootfs":{"type":"x"}}"#]
        {
            assert!(ImageConfig::read(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
