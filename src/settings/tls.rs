//! The settings of TLS, towards callers and towards services.

use std::net::SocketAddr;
use std::path::PathBuf;

use figment::value::{Dict, Value};
use rustls::pki_types::DnsName;

use super::read::Reader;

/// TLS towards callers.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Addresses on which callers speak TLS; none: nobody does.
    pub listen: Vec<SocketAddr>,
    /// At least one where there are addresses. The first is for callers that name none, or one that no other has.
    pub certificates: Vec<Pair>,
    /// The oldest version of the protocol that is spoken.
    pub oldest: TlsVersion,
    /// Whether callers show a certificate.
    pub clients: Clients,
    /// PEM file of those who sign callers' certificates; there is one where `clients` is not off.
    pub client_ca: Option<PathBuf>,
    /// Names of which a caller's certificate must have one; none: whatever `client_ca` has signed.
    pub client_names: Vec<ClientName>,
    /// Whether services are told in `X-Forwarded-Client-Cert` who the caller is.
    pub client_header: bool,
}

/// TLS towards services.
#[derive(Debug, Clone)]
pub struct UpstreamTls {
    /// PEM file of those who sign services' certificates; none: those that the platform trusts.
    pub ca: Option<PathBuf>,
    /// What the gateway shows to services that ask who it is.
    pub certificate: Option<Pair>,
}

/// A certificate with those that lead to its signer, and its key: two PEM files, which may be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate first.
    pub chain: PathBuf,
    /// In PKCS #8, PKCS #1 or SEC 1 form.
    pub key: PathBuf,
}

/// Versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Whether callers show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// They are not asked.
    Off,
    /// They are asked; those that show none are served, those that show a bad one are not.
    Optional,
    /// Without a good one there is no connection.
    Required,
}

/// A name in a caller's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientName {
    /// A URI, whole, such as `spiffe://mesh.example/ns/shop/sa/web`. The certificate has no other.
    Uri(String),
    /// A URI below this one, which ends in `/`; written `spiffe://mesh.example/ns/shop/*`.
    UriBelow(String),
    /// A DNS name, in lower case.
    Dns(String),
}

impl Reader {
    /// Reads the section `tls`.
    pub(super) fn tls(&mut self) -> Tls {
        let listen = if self.is_empty_list("tls.listen") { Vec::new() } else { self.addresses("tls.listen") };
        let choices = [("off", Clients::Off), ("optional", Clients::Optional), ("required", Clients::Required)];
        let tls = Tls {
            listen,
            certificates: self.pairs(),
            oldest: self.choice("tls.oldest", &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)]),
            clients: self.choice("tls.clients", &choices),
            client_ca: self.path("tls.client_ca"),
            client_names: self.client_names(),
            client_header: self.take("tls.client_header"),
        };
        if !tls.listen.is_empty() && tls.certificates.is_empty() && !self.found("tls.certificates") {
            self.wrong("tls.certificates", "must name a certificate, since `tls.listen` names an address");
        }
        if tls.listen.is_empty() && !tls.certificates.is_empty() {
            self.wrong("tls.certificates", "are for nobody, since `tls.listen` names no address");
        }
        if tls.clients == Clients::Off && !self.found("tls.clients") {
            // What would keep somebody out must not be without effect.
            if tls.client_ca.is_some() {
                self.wrong("tls.client_ca", "has no effect while `tls.clients` is `off`");
            }
            if !tls.client_names.is_empty() {
                self.wrong("tls.client_names", "has no effect while `tls.clients` is `off`");
            }
        } else if tls.client_ca.is_none() {
            self.wrong("tls.client_ca", "must name a file, since callers are asked for certificates (`tls.clients`)");
        }
        tls
    }

    /// Reads the section `upstream_tls`.
    pub(super) fn upstream_tls(&mut self) -> UpstreamTls {
        let (chain, key) = (self.path("upstream_tls.chain"), self.path("upstream_tls.key"));
        let certificate = match (chain, key) {
            (Some(chain), Some(key)) => Some(Pair { chain, key }),
            (None, None) => None,
            (Some(_), None) => {
                self.wrong("upstream_tls.key", "must be set where `upstream_tls.chain` is");
                None
            }
            (None, Some(_)) => {
                self.wrong("upstream_tls.chain", "must be set where `upstream_tls.key` is");
                None
            }
        };
        UpstreamTls { ca: self.path("upstream_tls.ca"), certificate }
    }

    fn pairs(&mut self) -> Vec<Pair> {
        const KEY: &str = "tls.certificates";
        const FORM: &str = "is a list of `{chain = \"site.pem\", key = \"site.key\"}`";
        let Some(Value::Array(_, list)) = self.value(KEY) else {
            self.wrong(KEY, FORM);
            return Vec::new();
        };
        let read: Vec<Option<Pair>> = list.iter().map(|one| one.as_dict().and_then(parse_pair)).collect();
        if read.iter().any(Option::is_none) {
            self.wrong(KEY, FORM);
        }
        read.into_iter().flatten().collect()
    }

    fn client_names(&mut self) -> Vec<ClientName> {
        let texts: Vec<String> = self.take("tls.client_names");
        let mut names = Vec::new();
        for text in texts {
            match parse_client_name(&text) {
                Some(name) => names.push(name),
                None => self.wrong(
                    "tls.client_names",
                    &format!(
                        "`{text}` is neither a DNS name nor a URI such as `spiffe://mesh.example/web` or \
                         `spiffe://mesh.example/*`"
                    ),
                ),
            }
        }
        names
    }
}

fn parse_pair(dict: &Dict) -> Option<Pair> {
    let file = |name: &str| dict.get(name)?.as_str().filter(|path| !path.is_empty()).map(PathBuf::from);
    (dict.len() == 2).then_some(Pair { chain: file("chain")?, key: file("key")? })
}

fn parse_client_name(text: &str) -> Option<ClientName> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let name = DnsName::try_from(text).ok()?;
        return Some(ClientName::Dns(name.to_lowercase_owned().as_ref().to_owned()));
    };
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
    let below = rest.strip_suffix('*');
    // `spiffe://mesh.exam*` would let in `mesh.example.evil`: what is below something stands behind a `/`.
    let is_whole = below.is_none_or(|before| before.ends_with('/') && before.len() > 1);
    if !is_plain(scheme) || !is_plain(rest) || !is_whole || below.unwrap_or(rest).contains('*') {
        return None;
    }
    Some(match below {
        Some(_) => ClientName::UriBelow(text.trim_end_matches('*').to_owned()),
        None => ClientName::Uri(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, Sources};
    use super::*;

    fn load(toml: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bifocal.toml");
        std::fs::write(&file, toml).unwrap();
        Settings::load(Sources { file: Some(file), ..Sources::default() }).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn everything_about_tls_can_be_said() {
        let settings = load(
            "listen = []\n[tls]\nlisten = '127.0.0.1:8443'\ncertificates = [{chain = 'a', key = 'b'}]\noldest = '1.3'\n\
             clients = 'required'\nclient_ca = 'ca'\n\
             client_names = ['spiffe://m.example/a', 'spiffe://m.example/b/*', 'Web.Example']\n\
             [upstream_tls]\nca = 'c'\nchain = 'd'\nkey = 'e'",
        )
        .unwrap();
        assert!(settings.listen.is_empty());
        let tls = settings.tls;
        assert_eq!(tls.certificates, [Pair { chain: "a".into(), key: "b".into() }]);
        assert_eq!((tls.oldest, tls.clients, tls.client_ca), (TlsVersion::Tls13, Clients::Required, Some("ca".into())));
        let names = [
            ClientName::Uri("spiffe://m.example/a".into()),
            ClientName::UriBelow("spiffe://m.example/b/".into()),
            ClientName::Dns("web.example".into()),
        ];
        assert_eq!(tls.client_names, names);
        assert_eq!(settings.upstream_tls.ca, Some("c".into()));
        assert_eq!(settings.upstream_tls.certificate, Some(Pair { chain: "d".into(), key: "e".into() }));
    }

    #[test]
    fn every_mistake_about_tls_is_reported() {
        let text = load(
            "[tls]\nlisten = ['127.0.0.1:8443', 'x']\noldest = '1.1'\nclients = 'optional'\n\
             client_names = ['spiffe://a*', 'spiffe://*', 'a b', '*.example', '://a']\nclient_key = 1\n\
             [upstream_tls]\nkey = 'e'",
        )
        .unwrap_err();
        for expected in [
            "setting `tls.listen` in ",
            "`x` is not an address",
            "must be `1.2` or `1.3`",
            "must name a certificate, since `tls.listen`",
            "must name a file, since callers are asked",
            "`spiffe://a*` is neither",
            "`spiffe://*` is neither",
            "`a b` is neither",
            "`*.example` is neither",
            "`://a` is neither",
            "must be set where `upstream_tls.key` is",
            "unknown setting `tls.client_key`",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
        }
        assert_eq!(text.lines().count(), 11, "{text}");
    }

    #[test]
    fn what_would_have_no_effect_is_a_mistake() {
        for (toml, expected) in [
            ("certificates = [{chain = 'a', key = 'b'}]", "are for nobody"),
            ("client_ca = 'ca'", "`tls.client_ca`"),
            ("client_names = ['a']", "`tls.client_names`"),
            ("listen = '[::1]:1'\ncertificates = [{chain = 'a'}]", "is a list of"),
            ("listen = '[::1]:1'\ncertificates = [{chain = 'a', key = 'b', name = 'c'}]", "is a list of"),
            ("listen = '[::1]:1'\ncertificates = 'a'", "is a list of"),
        ] {
            let text = load(&format!("[tls]\n{toml}")).unwrap_err();
            assert!(text.contains(expected) && text.lines().count() == 1, "{toml}: {text}");
        }
        assert!(load("listen = []").unwrap_err().contains("must be an address"));
    }
}
