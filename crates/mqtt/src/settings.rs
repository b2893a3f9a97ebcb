//! The settings of an MQTT flow: broker, topics, ways of signing in, limits.
//! Promises that secrets are named by file only, so that no setting can show one.
//! Leaves ranges to the configuration, and reading the files to the connection, anew each time.

use super::envelope;
use super::packets::Version;
use super::topics::Topic;
use datalake_base::units::ByteSize;
use datalake_schema::Decoder;
use std::path::PathBuf;
use std::time::Duration;

/// One subscription of the agent to one broker, over one or several connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the broker is and how it is spoken to.
    pub broker: Broker,
    /// At least one.
    pub topics: Vec<Topic>,
    /// Of the protocol.
    pub version: Version,
    /// Of the first connection; further ones add their number.
    pub client_id: String,
    /// How long the broker keeps the session while nobody is connected, in whole seconds.
    pub session_expiry: Duration,
    /// The longest silence, in whole seconds.
    pub keep_alive: Duration,
    /// May hold `{token}`, which stands for the content of `token_file`.
    pub username: Option<String>,
    /// Holds the password; a relative name lies in the folder of systemd's credentials.
    pub password_file: Option<PathBuf>,
    /// Holds the token of a custom authorizer; as above.
    pub token_file: Option<PathBuf>,
    /// Certificates that are trusted in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's certificates, its own first.
    pub certificate_file: Option<PathBuf>,
    /// The key of the first; together with it or not at all.
    pub private_key_file: Option<PathBuf>,
    /// The protocol asked for during the TLS handshake.
    pub alpn: Option<String>,
    /// Whether the address of the WebSocket is signed with the agent's AWS credentials, and for which region.
    pub sign_for: Option<String>,
    /// At least 1.
    pub connections: u16,
    /// Larger packets are refused, counted and acknowledged.
    pub max_packet: ByteSize,
    /// The longest time that a message waits for others before it is synced.
    pub sync_interval: Duration,
    /// The spool stays below this.
    pub max_spool: ByteSize,
    /// How a message becomes a line.
    pub line: envelope::Settings,
    /// How binary payloads become JSON, where they are binary.
    pub decoder: Option<Decoder>,
    /// The longest line, its newline included, that fits into a record; a message that needs more is refused, because
    /// its pieces would not be what was sent.
    pub longest_line: usize,
    /// What becomes of a payload that cannot be a line.
    pub on_failure: OnFailure,
}

impl Settings {
    /// As whom the connection of this number, from 0 on, signs in.
    #[must_use]
    pub fn client_id_of(&self, number: u16) -> String {
        match number {
            0 => self.client_id.clone(),
            number => format!("{}-{}", self.client_id, number + 1),
        }
    }
}

/// What becomes of a payload that cannot be a line as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It is kept in a quarantine file.
    #[default]
    Quarantine,
    /// It goes on as text, or as base64.
    Raw,
    /// It is counted and dropped.
    Drop,
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TCP.
    Mqtt,
    /// TLS.
    Mqtts,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Scheme {
    /// Whether others on the way cannot read along.
    #[must_use]
    pub const fn is_private(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// Whether it is a WebSocket.
    #[must_use]
    pub const fn is_web_socket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// Where the broker is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Broker {
    /// How bytes travel.
    pub scheme: Scheme,
    /// A name or an address, without brackets.
    pub host: String,
    /// 1883, 8883, 80 or 443 where none is written.
    pub port: u16,
    /// Path and query of a WebSocket; `/mqtt` where none is written.
    pub path: String,
}

/// Why a text is no address of a broker; says what would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// No known scheme.
    #[error("begin with mqtt://, mqtts://, ws:// or wss://")]
    Scheme,
    /// User names and passwords have keys of their own.
    #[error("write the user name as `username`, and put the password into a file named by `passwordFile`")]
    UserInfo,
    /// No host.
    #[error("name a host, such as mqtts://broker.example:8883")]
    Host,
    /// No port.
    #[error("the port is a number from 1 to 65535")]
    Port,
    /// Only a WebSocket has a path.
    #[error("remove what follows the port: only ws:// and wss:// have a path")]
    Path,
}

impl Broker {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, BrokerError> {
        let (scheme, rest) = text.split_once("://").ok_or(BrokerError::Scheme)?;
        let (scheme, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" => (Scheme::Mqtt, 1883),
            "mqtts" => (Scheme::Mqtts, 8883),
            "ws" => (Scheme::Ws, 80),
            "wss" => (Scheme::Wss, 443),
            _ => return Err(BrokerError::Scheme),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(BrokerError::UserInfo);
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, if rest.is_empty() { None } else { rest.strip_prefix(':').or(Some("")) }),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let is_plain = |character: char| character.is_ascii_alphanumeric() || ".-_:%".contains(character);
        if host.is_empty() || !host.chars().all(is_plain) {
            return Err(BrokerError::Host);
        }
        let port = match port {
            None => usual_port,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(BrokerError::Port)?,
        };
        let path = match (scheme.is_web_socket(), path) {
            (true, "" | "/") => "/mqtt".to_owned(),
            (true, path) if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) => {
                path.to_owned()
            }
            (false, "" | "/") => String::new(),
            _ => return Err(BrokerError::Path),
        };
        Ok(Self { scheme, host: host.to_owned(), port, path })
    }

    /// Whether bytes stay on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The region in the name of an AWS IoT Core endpoint, such as `…-ats.iot.eu-central-1.amazonaws.com`.
    #[must_use]
    pub fn aws_region(&self) -> Option<&str> {
        let host = self.host.strip_suffix(".amazonaws.com").or_else(|| self.host.strip_suffix(".amazonaws.com.cn"))?;
        let (_, region) = host.rsplit_once(".iot.")?;
        (!region.is_empty() && !region.contains('.')).then_some(region)
    }

    /// The host as an address is written, with brackets where it needs them.
    pub fn written_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl std::fmt::Display for Broker {
    /// Without the query, which may hold a token.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.scheme {
            Scheme::Mqtt => "mqtt",
            Scheme::Mqtts => "mqtts",
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(formatter, "{scheme}://{}:{}{path}", self.written_host(), self.port)
    }
}

impl std::fmt::Debug for Broker {
    /// As it is displayed.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_with_what_was_left_out() {
        for (text, shown) in [
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("mqtts://b.example:443", "mqtts://b.example:443"),
            ("ws://[::1]:9001", "ws://[::1]:9001/mqtt"),
            ("WSS://b.example/path?token=secret", "wss://b.example:443/path"),
        ] {
            let broker = Broker::parse(text).unwrap();
            assert_eq!((broker.to_string(), format!("{broker:?}")), (shown.to_owned(), shown.to_owned()));
        }
        assert!(
            Broker::parse("mqtt://[::1]").unwrap().is_local() && !Broker::parse("mqtt://b.example").unwrap().is_local()
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_would_do() {
        for (text, error) in [
            ("localhost:1883", BrokerError::Scheme),
            ("http://b", BrokerError::Scheme),
            ("mqtt://me:secret@b", BrokerError::UserInfo),
            ("mqtt://:1883", BrokerError::Host),
            ("mqtt://b c", BrokerError::Host),
            ("mqtt://b:0", BrokerError::Port),
            ("mqtt://[::1]x", BrokerError::Port),
            ("mqtt://b:99999", BrokerError::Port),
            ("mqtt://b/x", BrokerError::Path),
            ("ws://b?x", BrokerError::Path),
        ] {
            assert_eq!(Broker::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_region_of_an_endpoint_of_aws_iot_core_stands_in_its_name() {
        let region = |host: &str| Broker::parse(&format!("wss://{host}")).unwrap().aws_region().map(str::to_owned);
        assert_eq!(region("a1b2-ats.iot.eu-central-1.amazonaws.com").as_deref(), Some("eu-central-1"));
        assert_eq!(region("a1b2.ats.iot.cn-north-1.amazonaws.com.cn").as_deref(), Some("cn-north-1"));
        assert_eq!(region("broker.example"), None);
    }
}
