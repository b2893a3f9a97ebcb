//! Where metrics are asked for: an address of this machine, or a socket in the filesystem.
//! Promises that what it takes is out of reach for other machines. Leaves listening to the server.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// An address that only this machine reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A port of a loopback address.
    Loopback(SocketAddr),
    /// A socket, by its absolute path.
    Socket(PathBuf),
}

/// The longest path of a socket, in bytes: `sun_path` has 108, the last is NUL.
const LONGEST_PATH: usize = 107;

/// Why an address is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadListen {
    /// Other machines could reach it.
    Exposed,
    /// It is the path of a socket, and longer than the system allows.
    TooLong,
    /// It is no address at all.
    Unknown,
}

impl BadListen {
    /// What is wrong with it, as the end of a sentence.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Exposed => "which other machines can reach",
            Self::TooLong => "which is longer than the path of a socket may be (107 bytes)",
            Self::Unknown => "which is no address to listen on",
        }
    }

    /// What would do.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::Exposed => {
                "everybody who reaches it sees the names of flows and streams without a password: write \"127.0.0.1:9464\", \
                 \"[::1]:9464\" or the path of a socket, and let the collector run on this machine or come through a \
                 proxy that asks who it is"
            }
            Self::TooLong => "choose a shorter one, such as \"/run/datalake-agent/metrics.sock\"",
            Self::Unknown => {
                "write \"127.0.0.1:9464\", \"[::1]:9464\" or the absolute path of a socket, such as \
                 \"/run/datalake-agent/metrics.sock\""
            }
        }
    }
}

impl Listen {
    /// Reads `127.0.0.1:9464`, `[::1]:9464`, `localhost:9464` or `/run/datalake-agent/metrics.sock`.
    ///
    /// # Errors
    /// Everything else.
    pub fn parse(text: &str) -> Result<Self, BadListen> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return match path {
                _ if path.contains('\0') || path.ends_with('/') => Err(BadListen::Unknown),
                _ if path.len() > LONGEST_PATH => Err(BadListen::TooLong),
                _ => Ok(Self::Socket(path.into())),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadListen::Unknown)?;
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port: u16 = port.parse().ok().filter(|port| is_port && *port > 0).ok_or(BadListen::Unknown)?;
        let address: IpAddr = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => IpAddr::V6(host.parse().map_err(|_| BadListen::Unknown)?),
            None if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
            // `:9464` and `*:9464` mean all addresses elsewhere.
            None if matches!(host, "" | "*") => return Err(BadListen::Exposed),
            None => match host.parse::<Ipv4Addr>() {
                Ok(address) => address.into(),
                // A name may lead anywhere, and elsewhere tomorrow.
                Err(_) if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) => {
                    return Err(BadListen::Exposed);
                }
                Err(_) => return Err(BadListen::Unknown),
            },
        };
        if address.is_loopback() { Ok(Self::Loopback((address, port).into())) } else { Err(BadListen::Exposed) }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(address) => write!(formatter, "http://{address}/metrics"),
            Self::Socket(path) => write!(formatter, "{}", datalake_base::shown::shown(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_machine_alone_reaches_is_taken() {
        for (text, shown) in [
            ("127.0.0.1:9464", "http://127.0.0.1:9464/metrics"),
            ("127.8.9.10:1", "http://127.8.9.10:1/metrics"),
            ("[::1]:9464", "http://[::1]:9464/metrics"),
            ("localhost:9464", "http://127.0.0.1:9464/metrics"),
            ("/run/datalake-agent/metrics.sock", "/run/datalake-agent/metrics.sock"),
            ("unix:/run/a", "/run/a"),
        ] {
            assert_eq!(Listen::parse(text).map(|listen| listen.to_string()), Ok(shown.to_owned()), "{text}");
        }
        let long = format!("/{}", "x".repeat(LONGEST_PATH));
        for (text, reason) in [
            ("0.0.0.0:9464", BadListen::Exposed),
            ("[::]:9464", BadListen::Exposed),
            (":9464", BadListen::Exposed),
            ("*:9464", BadListen::Exposed),
            ("10.0.0.1:9464", BadListen::Exposed),
            ("[fe80::1]:9464", BadListen::Exposed),
            // Routed to the loopback on some systems, and not on others.
            ("[::ffff:127.0.0.1]:9464", BadListen::Exposed),
            ("example.com:9464", BadListen::Exposed),
            ("127.0.0.1.example.com:9464", BadListen::Exposed),
            (long.as_str(), BadListen::TooLong),
            ("/run/folder/", BadListen::Unknown),
            ("run/metrics.sock", BadListen::Unknown),
            ("9464", BadListen::Unknown),
            ("127.0.0.1", BadListen::Unknown),
            ("127.0.0.1:", BadListen::Unknown),
            ("127.0.0.1:0", BadListen::Unknown),
            ("127.0.0.1:+1", BadListen::Unknown),
            ("127.0.0.1:65536", BadListen::Unknown),
            ("::1:9464", BadListen::Unknown),
            ("http://127.0.0.1:9464", BadListen::Unknown),
            ("", BadListen::Unknown),
        ] {
            assert_eq!(Listen::parse(text), Err(reason), "{text}");
        }
    }
}
