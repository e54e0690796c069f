//! Who hands out tokens to a real registry, as large registries do it: a password or an identity token for a token.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tempfile::TempDir;

use super::server::TokenRealm;

/// User and password, and the identity token, for which tokens are given.
pub(crate) const LOGIN: (&str, &str) = ("ann", "secret");
pub(crate) const IDENTITY: &str = "an+identity/token";

/// The server; it lives as long as the test.
pub(crate) struct Tokens {
    pub(crate) realm: TokenRealm,
    /// What was asked: the first line and the body.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// So many tokens are given that have run out already.
    pub(crate) old: Arc<AtomicUsize>,
    _folder: TempDir,
}

impl Tokens {
    pub(crate) fn start() -> Self {
        let folder = TempDir::with_prefix("smolvm-tokens-").unwrap();
        let made = Command::new("openssl")
            .args("req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=tokens".split(' '))
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let realm = TokenRealm {
            url,
            service: "a-registry".to_owned(),
            issuer: "an-issuer".to_owned(),
            certificate: folder.path().join("cert.pem"),
        };
        let (asked, old) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let (log, old_left, path) = (Arc::clone(&asked), Arc::clone(&old), folder.path().to_owned());
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &log, &old_left, &path);
            }
        });
        Self { realm, asked, old, _folder: folder }
    }
}

fn answer(mut stream: TcpStream, log: &Mutex<Vec<String>>, old: &AtomicUsize, folder: &Path) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut login, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "authorization" => login = value.to_owned(),
            "content-length" => length = value.parse().unwrap(),
            _ if first.is_empty() => first = line.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    log.lock().unwrap().push(format!("{first} {body}"));
    let expected = format!("Basic {}", STANDARD.encode(format!("{}:{}", LOGIN.0, LOGIN.1)));
    let is_let_in = login == expected || body.contains("refresh_token=an%2Bidentity%2Ftoken");
    let (status, answer) = match is_let_in {
        true => {
            let is_old = old.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
            ("200 OK", format!("{{\"access_token\":\"{}\"}}", token(folder, is_old)))
        }
        false => ("401 Unauthorized", "{}".to_owned()),
    };
    let length = answer.len();
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}");
}

/// A token for all of `app`, signed as the registry asks for it.
fn token(folder: &Path, is_old: bool) -> String {
    let pem = std::fs::read_to_string(folder.join("cert.pem")).unwrap();
    let certificate: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let ends = if is_old { now - 3600 } else { now + 3600 };
    let header = serde_json::json!({ "typ": "JWT", "alg": "RS256", "x5c": [certificate] });
    let claims = serde_json::json!({
        "iss": "an-issuer", "sub": "ann", "aud": "a-registry", "exp": ends, "nbf": now - 7200, "iat": now - 7200,
        "jti": format!("{now}-{is_old}"),
        "access": [{ "type": "repository", "name": "app", "actions": ["pull", "push"] }],
    });
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign", "key.pem"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let signature = openssl.wait_with_output().unwrap().stdout;
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
