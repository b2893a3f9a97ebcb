//! Which proxy of the environment lies on the way to an address, after the rules that the SDK's connections follow.
//! Promises that what it shows holds no password.
//! Leaves connecting to the SDK, and what a failure means to `fault`.

use hyper_util::client::proxy::matcher::Matcher;

/// The variables for each scheme, as one reads them: a later name counts where the earlier is not set.
const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
/// For whatever has no variable of its own.
const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
/// Hosts that are called directly.
const NONE: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A proxy, and where it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    variable: &'static str,
    /// Scheme, host and port; never the user.
    address: String,
}

impl Proxy {
    /// The one between here and there. This machine itself is reached without.
    pub(super) fn on_the_way_to(uri: &http::Uri, environment: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let own = match uri.scheme_str() {
            Some("https") => HTTPS,
            Some("http") => HTTP,
            _ => return None,
        };
        if is_this_machine(uri) {
            return None;
        }
        let none = first(NONE, &environment).map(|(_, hosts)| hosts).unwrap_or_default();
        [own, ALL].into_iter().filter_map(|names| first(names, &environment)).find_map(|(variable, value)| {
            let found = Matcher::builder().all(value).no(none.clone()).build().intercept(uri)?;
            Some(Self { variable, address: found.uri().to_string().trim_end_matches('/').to_owned() })
        })
    }

    /// The variable of the environment that names it.
    pub(super) const fn variable(&self) -> &'static str {
        self.variable
    }

    /// Scheme, host and port.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Whether the SDK's connections can go through it.
    pub(super) fn speaks_http(&self) -> bool {
        self.address.starts_with("http")
    }
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { variable, address } = self;
        write!(formatter, "the proxy {address} ({variable} in the agent's environment)")
    }
}

/// Whether a proxy may be on the way to anywhere.
pub(super) fn is_configured(environment: impl Fn(&str) -> Option<String>) -> bool {
    [HTTPS, HTTP, ALL].into_iter().any(|names| first(names, &environment).is_some_and(|(_, value)| !value.is_empty()))
}

/// Variables that hold something which is no address of a proxy: the SDK passes over them in silence.
pub(super) fn misread(environment: impl Fn(&str) -> Option<String>) -> Vec<&'static str> {
    let anywhere = http::Uri::from_static("http://host.invalid/");
    let set = [HTTPS, HTTP, ALL].into_iter().filter_map(|names| first(names, &environment));
    set.filter(|(_, value)| {
        !value.is_empty() && Matcher::builder().all(value.as_str()).build().intercept(&anywhere).is_none()
    })
    .map(|(variable, _)| variable)
    .collect()
}

/// The first that is set, even to nothing.
fn first(names: [&'static str; 2], environment: impl Fn(&str) -> Option<String>) -> Option<(&'static str, String)> {
    names.into_iter().find_map(|name| Some((name, environment(name)?)))
}

/// Whether the address is on this machine, where no proxy could reach it.
fn is_this_machine(uri: &http::Uri) -> bool {
    uri.host().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Variables<'a> = &'a [(&'a str, &'a str)];

    fn within(variables: Variables<'_>) -> impl Fn(&str) -> Option<String> {
        move |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_variable_that_counts_is_named_and_the_password_is_not() {
        type Row<'a> = (&'a str, Variables<'a>, Option<(&'a str, &'a str)>);
        let table: [Row<'_>; 12] = [
            ("https://e.test/", &[], None),
            ("https://e.test/", &[("HTTPS_PROXY", "http://p:3128")], Some(("HTTPS_PROXY", "http://p:3128"))),
            ("https://e.test/", &[("https_proxy", "p:3128")], Some(("https_proxy", "http://p:3128"))),
            ("https://e.test/", &[("HTTPS_PROXY", "http://me:hush@p")], Some(("HTTPS_PROXY", "http://p"))),
            ("https://e.test/", &[("HTTP_PROXY", "http://p")], None),
            ("http://e.test/", &[("HTTP_PROXY", "http://p")], Some(("HTTP_PROXY", "http://p"))),
            (
                "https://e.test/",
                &[("HTTP_PROXY", "http://q"), ("ALL_PROXY", "http://p")],
                Some(("ALL_PROXY", "http://p")),
            ),
            // Set to nothing counts as set, as the SDK has it.
            ("https://e.test/", &[("HTTPS_PROXY", ""), ("https_proxy", "http://p")], None),
            ("https://a.e.test/", &[("HTTPS_PROXY", "http://p"), ("NO_PROXY", "e.test")], None),
            ("https://10.1.2.3/", &[("HTTPS_PROXY", "http://p"), ("no_proxy", "x, 10.0.0.0/8")], None),
            ("https://localhost:1/", &[("HTTPS_PROXY", "http://p")], None),
            ("https://[::1]:1/", &[("HTTPS_PROXY", "http://p")], None),
        ];
        for (uri, variables, expected) in table {
            let proxy = Proxy::on_the_way_to(&uri.parse().unwrap(), within(variables));
            let found = proxy.as_ref().map(|proxy| (proxy.variable(), proxy.address()));
            assert_eq!(found, expected, "{uri} {variables:?}");
            assert!(!format!("{proxy:?}").contains("hush"));
        }
    }

    #[test]
    fn what_is_no_address_of_a_proxy_is_told() {
        let variables: Variables<'_> =
            &[("HTTPS_PROXY", "ftp://p"), ("HTTP_PROXY", ""), ("all_proxy", "http://p:3128")];
        assert_eq!(misread(within(variables)), ["HTTPS_PROXY"]);
        assert!(is_configured(within(variables)));
        assert!(!is_configured(within(&[("HTTPS_PROXY", ""), ("NO_PROXY", "*")])));
    }
}
