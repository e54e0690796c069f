//! A real registry on loopback, with a folder of its own: `docker-registry`, as Debian packages it.
//!
//! It takes a free port and says which, so that any number run side by side.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

/// A registry that runs until it is dropped.
pub(crate) struct Registry {
    /// Host and port.
    pub(crate) address: String,
    server: Child,
    login: Option<(String, String)>,
    authority: Option<PathBuf>,
    _folder: TempDir,
}

/// What a registry is to be like.
#[derive(Default)]
pub(crate) struct RegistryOptions {
    login: Option<(String, String)>,
    has_tls: bool,
    certificate: Option<PathBuf>,
    takes_schema_1: bool,
    token: Option<TokenRealm>,
}

/// Whose tokens a registry believes.
#[derive(Debug, Clone)]
pub(crate) struct TokenRealm {
    /// Address that hands tokens out.
    pub(crate) url: String,
    /// Name of the registry in tokens.
    pub(crate) service: String,
    /// Name of who signs.
    pub(crate) issuer: String,
    /// Certificate of who signs, a PEM file.
    pub(crate) certificate: PathBuf,
}

impl Registry {
    /// A registry that everybody may read and write, without TLS.
    pub(crate) fn start() -> Self {
        RegistryOptions::default().start()
    }

    /// A registry with something else.
    pub(crate) fn with() -> RegistryOptions {
        RegistryOptions::default()
    }

    /// A reference to an image there: `127.0.0.1:PORT/NAME`.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Who may read and write: user and password.
    pub(crate) fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// Certificate of the authority behind its certificate, a PEM file, where it speaks TLS.
    pub(crate) fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl RegistryOptions {
    /// Only this user may read and write.
    pub(crate) fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// It speaks TLS, with a certificate of an authority of its own.
    pub(crate) fn tls(mut self) -> Self {
        self.has_tls = true;
        self
    }

    /// It speaks TLS with `server.pem` and `server.key` of this folder.
    pub(crate) fn certificate(mut self, folder: &Path) -> Self {
        self.certificate = Some(folder.to_owned());
        self.has_tls = true;
        self
    }

    /// It takes and gives manifests of schema 1.
    pub(crate) fn schema_1(mut self) -> Self {
        self.takes_schema_1 = true;
        self
    }

    /// It asks for tokens.
    pub(crate) fn tokens(mut self, realm: TokenRealm) -> Self {
        self.token = Some(realm);
        self
    }

    /// Starts it; it listens when this returns.
    pub(crate) fn start(self) -> Registry {
        let folder = TempDir::with_prefix("smolvm-registry-").unwrap();
        let authority = match &self.certificate {
            Some(from) => {
                for name in ["server.pem", "server.key"] {
                    std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
                }
                Some(from.join("server.pem"))
            }
            None => self.has_tls.then(|| make_certificates(folder.path())),
        };
        let config = folder.path().join("config.yml");
        std::fs::write(&config, self.config(folder.path())).unwrap();
        let mut server = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(server.stderr.take().unwrap());
        let address = listening(&mut told);
        // What it says later must go somewhere, or it stands still.
        thread::spawn(move || std::io::copy(&mut told.take(u64::MAX), &mut std::io::sink()));
        Registry { address, server, login: self.login, authority, _folder: folder }
    }

    fn config(&self, folder: &Path) -> String {
        let shown = |name: &str| serde_json::Value::from(folder.join(name).to_str().unwrap()).to_string();
        let mut text = format!(
            "version: 0.1\nlog: {{ level: info }}\nstorage:\n  filesystem: {{ rootdirectory: {} }}\n  delete: {{ enabled: true }}\n",
            shown("storage")
        );
        text.push_str("http:\n  addr: 127.0.0.1:0\n  secret: of-a-test\n");
        if self.has_tls {
            let (certificate, key) = (shown("server.pem"), shown("server.key"));
            writeln!(text, "  tls: {{ certificate: {certificate}, key: {key} }}").unwrap();
        }
        if let Some((user, password)) = &self.login {
            let made = Command::new("htpasswd").args(["-Bbn", user, password]).output().unwrap();
            assert!(made.status.success(), "{made:?}");
            std::fs::write(folder.join("htpasswd"), made.stdout).unwrap();
            writeln!(text, "auth: {{ htpasswd: {{ realm: test, path: {} }} }}", shown("htpasswd")).unwrap();
        }
        if let Some(TokenRealm { url, service, issuer, certificate }) = &self.token {
            let certificate = serde_json::Value::from(certificate.to_str().unwrap());
            writeln!(
                text,
                "auth: {{ token: {{ realm: \"{url}\", service: {service}, issuer: {issuer}, rootcertbundle: {certificate} }} }}"
            )
            .unwrap();
        }
        if self.takes_schema_1 {
            text.push_str("compatibility: { schema1: { enabled: true } }\n");
        }
        text
    }
}

/// Reads what the server says until it says where it listens.
fn listening(told: &mut impl BufRead) -> String {
    let mut all = String::new();
    loop {
        let start = all.len();
        let count = told.read_line(&mut all).unwrap();
        assert!(count > 0, "the registry did not start:\n{all}");
        if let Some((_, rest)) = all[start..].split_once("listening on ") {
            return rest.split(['"', ',']).next().unwrap().trim().to_owned();
        }
    }
}

/// An authority, and a certificate of it for `127.0.0.1` and `localhost`; gives the authority's.
fn make_certificates(folder: &Path) -> PathBuf {
    let run = |args: &str| {
        let made = Command::new("openssl").args(args.split_whitespace()).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&made.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority"));
    run(&format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"));
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost,DNS:registry.test\n")
        .unwrap();
    run("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names");
    folder.join("ca.pem")
}
