//! Addresses of services: `[https://]host[:port]`.
//! Promises that what it takes can be called, and tells whether the way there is encrypted or stays on the machine.
//! Leaves whether anybody answers to the session.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An address with its scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `scheme://host[:port]`, nothing behind it.
    pub(super) url: String,
    /// `http`, and not to this machine.
    pub(super) exposed: bool,
    /// On this machine.
    pub(super) local: bool,
}

/// Reads an address; else what would do.
pub(super) fn parse(text: &str) -> Result<Endpoint, &'static str> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
        Some(_) => return Err("begin with https://, or with the name of the host"),
        None => ("https", text),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("end with the host or the port; there is no path");
    }
    if authority.contains('@') {
        return Err("leave out the user; calls are signed with the access key");
    }
    let (host, port) = match authority.rfind(']') {
        Some(end) if authority[end + 1..].is_empty() => (authority, None),
        Some(end) => (&authority[..=end], Some(authority[end + 1..].strip_prefix(':').ok_or(HOST)?)),
        None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if !port.is_none_or(is_port) {
        return Err("write the port as a number from 1 to 65535");
    }
    let loopback = host_is_loopback(host)?;
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    Ok(Endpoint {
        url: format!("{scheme}://{}{port}", host.to_ascii_lowercase()),
        exposed: scheme == "http" && !loopback,
        local: loopback,
    })
}

const HOST: &str = "write a host name such as firehose.eu-central-1.amazonaws.com, or an IP address (IPv6 in brackets)";

fn host_is_loopback(host: &str) -> Result<bool, &'static str> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().map(|address| address.is_loopback()).map_err(|_| HOST);
    }
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    if host.len() > 253 || !host.split('.').all(is_label) {
        return Err(HOST);
    }
    if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return host.parse::<Ipv4Addr>().map(|address| address.is_loopback()).map_err(|_| HOST);
    }
    Ok(host.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_get_a_scheme_and_lose_the_slash() {
        for (text, url) in [
            ("firehose.eu-central-1.amazonaws.com", "https://firehose.eu-central-1.amazonaws.com"),
            ("HTTPS://Example.com/", "https://example.com"),
            ("example.com:8443", "https://example.com:8443"),
            ("http://127.0.0.1:4573", "http://127.0.0.1:4573"),
            ("http://[::1]:4573/", "http://[::1]:4573"),
            ("[fe80::1]", "https://[fe80::1]"),
        ] {
            assert_eq!(parse(text).map(|endpoint| endpoint.url), Ok(url.to_owned()), "{text}");
        }
    }

    #[test]
    fn only_http_to_another_machine_is_exposed() {
        for (text, exposed) in [
            ("http://localhost:1", false),
            ("http://127.0.0.2", false),
            ("http://[::1]", false),
            ("https://example.com", false),
            ("http://example.com", true),
            ("http://10.0.0.1:80", true),
            ("http://127.0.0.1.example.com", true),
        ] {
            assert_eq!(parse(text).map(|endpoint| endpoint.exposed), Ok(exposed), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "https://",
            "ftp://example.com",
            "https://example.com/path",
            "https://user@example.com",
            "example.com:0",
            "example.com:65536",
            "example.com:+1",
            "exa mple.com",
            "https://.example.com",
            "https://[::1",
            "https://[::1]x",
            "1.2.3.400",
            "https://a..b",
            "https://exämple.com",
            "https://example.com?x",
            "]:1",
            "::1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
