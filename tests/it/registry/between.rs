//! A host between us and a registry that does to single answers what networks, proxies and bad registries do.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// Nothing more comes after so many bytes of the body.
    Stall(usize),
    /// Another answer: status and headers, then the body.
    Answer(String, Vec<u8>),
    /// The registry does not hear of the range that was asked for.
    NoRange,
    /// One byte of the body is another one.
    Flip(usize),
    /// A status and headers, then bytes without end.
    Endless(String),
}

/// A request, as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Method and path (or address).
    pub(crate) line: String,
    pub(crate) range: Option<String>,
    pub(crate) authorization: Option<String>,
    head: Vec<String>,
}

impl Asked {
    /// Whether it asks for a blob of an image.
    pub(crate) fn is_blob(&self) -> bool {
        self.line.contains("/blobs/")
    }

    /// Whether it asks for a manifest.
    pub(crate) fn is_manifest(&self) -> bool {
        self.line.contains("/manifests/")
    }
}

type Script = dyn Fn(&Asked, &[Asked]) -> Fault + Send + Sync;

/// The host; it ends with its drop.
pub(crate) struct Between {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    is_over: Arc<AtomicBool>,
}

impl Between {
    /// A host before another one. What becomes of a request is told by it and by those that came before it.
    pub(crate) fn start(upstream: &str, script: impl Fn(&Asked, &[Asked]) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let script: Arc<Script> = Arc::new(script);
        let (log, over, upstream) = (Arc::clone(&asked), Arc::clone(&is_over), upstream.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let (log, script, upstream) = (Arc::clone(&log), Arc::clone(&script), upstream.clone());
                // Whoever hangs up has what they wanted.
                thread::spawn(move || serve(stream?, &upstream, &log, &*script));
            }
        });
        Self { address, asked, is_over }
    }

    /// An image there.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(mut client: TcpStream, upstream: &str, log: &Mutex<Vec<Asked>>, script: &Script) -> io::Result<()> {
    let mut first = [0];
    if client.peek(&mut first)? == 1 && first[0] == 0x16 {
        // As Go's server answers who speaks TLS to it.
        return client.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n");
    }
    let Some(asked) = read_head(&client)? else { return Ok(()) };
    if let Some(target) = asked.line.strip_prefix("CONNECT ") {
        log.lock().unwrap().push(asked.clone());
        let _ = target;
        return tunnel(client, upstream);
    }
    let fault = {
        let mut log = log.lock().unwrap();
        let fault = script(&asked, &log);
        log.push(asked.clone());
        fault
    };
    match &fault {
        Fault::Answer(head, body) => {
            let length = body.len();
            write!(client, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
            return client.write_all(body);
        }
        Fault::Endless(head) => {
            write!(client, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
            loop {
                client.write_all(&[b' '; 1 << 16])?;
            }
        }
        _ => {}
    }
    let (head, mut body) = forward(upstream, &asked, matches!(fault, Fault::NoRange))?;
    let at = match fault {
        Fault::Cut(at) | Fault::Stall(at) => at.min(body.len()),
        Fault::Flip(at) => {
            body[at] ^= 1;
            body.len()
        }
        _ => body.len(),
    };
    client.write_all(head.as_bytes())?;
    client.write_all(&body[..at])?;
    if matches!(fault, Fault::Stall(_)) {
        // Until the other side has had enough of it.
        let _ = client.read(&mut first);
    }
    client.shutdown(Shutdown::Both)
}

fn read_head(client: &TcpStream) -> io::Result<Option<Asked>> {
    let mut asked = Asked::default();
    let mut reader = BufReader::new(client);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(asked));
        }
        if asked.line.is_empty() {
            asked.line = line.to_owned();
            continue;
        }
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.range = Some(value.to_owned()),
            "authorization" => asked.authorization = Some(value.to_owned()),
            "connection" => continue,
            _ => {}
        }
        asked.head.push(line.to_owned());
    }
}

/// The answer of the host behind: head with the empty line, and body.
fn forward(upstream: &str, asked: &Asked, has_no_range: bool) -> io::Result<(String, Vec<u8>)> {
    let mut server = TcpStream::connect(upstream)?;
    // A proxy is given the whole address.
    let line = match asked.line.split_once("http://") {
        Some((method, rest)) => format!("{method}/{}", rest.split_once('/').map_or("", |(_, path)| path)),
        None => asked.line.clone(),
    };
    let mut head = format!("{line}\r\n");
    for line in &asked.head {
        if !(has_no_range && line.to_ascii_lowercase().starts_with("range:")) {
            head.push_str(&format!("{line}\r\n"));
        }
    }
    write!(server, "{head}Connection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)? + 4;
    let body = answer.split_off(end);
    Ok((String::from_utf8(answer).map_err(io::Error::other)?, body))
}

fn tunnel(mut client: TcpStream, upstream: &str) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        to.shutdown(Shutdown::Write)
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}
