//! Calls through a proxy of the environment, to an address that only the proxy can find, with an authority of one's own.
//! Promises that a proxy in the way is named, that lines wait until it is out of the way, and that wrong certificates are
//! refused at the start. Leaves which variable counts for which address to the unit tests.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;
#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/proxy.rs"]
mod proxy;

use host::{Agent, Host};
use local_lake::{Lake, Mode};
use proxy::{Act, Proxy};
use serde_json::json;
use std::io::Write as _;
use std::net::TcpListener;

/// A name that no DNS knows: what arrives came through the proxy.
const NAME: &str = "firehose.lake.test";
const TEXT: &[u8] = b"one\ntwo\nthree\n";

/// A machine with a lake behind the name, whose certificate an authority of the test's own vouches for.
fn host(variables: &[(&str, &str)]) -> Host {
    let builder = Lake::builder().mode(Mode::Collect).credentials("AKIDEXAMPLE", "secret");
    let mut host = Host::with(builder.tls(true).host_names([NAME]).start_blocking().unwrap())
        .top("firehose.endpoint", json!(format!("https://{NAME}:443")))
        // Some tests stop while nothing can be delivered.
        .top("shutdownTimeoutMillis", json!(100))
        .flow("app.log", "logs", json!({}));
    let authority = host.lake.certificate_path().unwrap().to_owned();
    host = host.top("caBundle", json!(authority));
    host.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    std::fs::write(host.log("app.log"), TEXT).unwrap();
    host
}

fn proxied(act: Act) -> (Host, Proxy) {
    let mut host = host(&[]);
    let proxy = Proxy::to(host.lake.address(), act);
    host.environment.push(("HTTPS_PROXY".to_owned(), format!("http://me:hush@{}", proxy.address())));
    (host, proxy)
}

/// The first line about trouble, whatever its kind, which names the proxy and where it was configured.
fn named_in(agent: &Agent, proxy: &str, words: &str) {
    let mut line = None;
    host::until(&format!("the log says `{words}`"), || {
        line = agent.log_text().lines().find(|line| line.contains(words)).map(str::to_owned);
        line.is_some()
    });
    let line = line.unwrap();
    assert!(line.contains(&format!("the proxy http://{proxy} (HTTPS_PROXY in the agent's environment)")), "{line}");
}

#[test]
fn lines_arrive_through_the_proxy_under_a_certificate_of_the_operators_own() {
    let (host, proxy) = proxied(Act::Connect);
    let mut agent = host.run();
    assert_eq!(host.arrived("logs", TEXT.len()), TEXT);
    assert_eq!(agent.stop(), 0);
    assert_eq!(proxy.asked(), [format!("CONNECT {NAME}:443 HTTP/1.1")]);
    assert_eq!(proxy.credentials(), [Some("Basic bWU6aHVzaA==".to_owned())]);
    let line = agent.wait_for("calls go through a proxy");
    let address = format!("http://{}", proxy.address());
    assert_eq!((line["proxy"].as_str(), line["variable"].as_str()), (Some(address.as_str()), Some("HTTPS_PROXY")));
    assert!(!agent.log_text().contains("hush"), "the password is in the log");
}

#[test]
fn a_proxy_that_refuses_is_named_and_lines_wait_until_it_lets_them_through() {
    for (status, words) in [
        (
            "407 Proxy Authentication Required",
            "wants credentials: write http://USER:PASSWORD@HOST:PORT into HTTPS_PROXY",
        ),
        ("403 Forbidden", "does not let the agent through to https://firehose.lake.test"),
    ] {
        let (host, proxy) = proxied(Act::Refuse(status));
        let mut agent = host.run();
        named_in(&agent, &proxy.address(), words);
        assert!(host.payload("logs").is_empty());
        proxy.change(Act::Connect);
        assert_eq!(host.arrived("logs", TEXT.len()), TEXT, "{status}");
        assert_eq!(agent.stop(), 0);
        assert!(!agent.log_text().contains("hush"), "the password is in the log");
    }
}

#[test]
fn a_proxy_that_stops_letting_lines_through_takes_none_with_it() {
    let (host, proxy) = proxied(Act::Connect);
    let mut agent = host.run();
    host.arrived("logs", TEXT.len());
    proxy.change(Act::Refuse("403 Forbidden"));
    let more = [TEXT, b"four\n"].concat();
    // Appended: a file that is written anew is empty for a moment, and what is seen then is another content.
    std::fs::File::options().append(true).open(host.log("app.log")).unwrap().write_all(b"four\n").unwrap();
    named_in(&agent, &proxy.address(), "does not let the agent through");
    proxy.change(Act::Connect);
    assert_eq!(host.arrived("logs", more.len()), more);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_proxy_that_is_not_there_is_named_and_found_once_it_is() {
    // Bound and not listening would be a port that nobody else can take; it is as good as that to let it go and take it again.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = host(&[("HTTPS_PROXY", &format!("http://{port}"))]);
    let mut agent = host.run();
    named_in(&agent, &port.to_string(), "cannot be reached or does not answer");
    assert!(host.payload("logs").is_empty());
    let proxy = Proxy::on(TcpListener::bind(port).unwrap(), host.lake.address(), Act::Connect);
    assert_eq!(host.arrived("logs", TEXT.len()), TEXT);
    assert!(!proxy.asked().is_empty());
    assert_eq!(agent.stop(), 0);
}

#[test]
fn what_no_proxy_names_is_called_directly() {
    // The name of an address that is on this machine and does not look like it.
    const DIRECT: &str = "0x7f.0.0.1";
    let mut host = Host::new().flow("app.log", "logs", json!({})).top("shutdownTimeoutMillis", json!(100));
    let proxy = Proxy::to(host.lake.address(), Act::Refuse("407 Proxy Authentication Required"));
    let endpoint = format!("http://{DIRECT}:{}", host.lake.address().port());
    host = host.top("firehose.endpoint", json!(endpoint));
    host.environment.push(("HTTP_PROXY".to_owned(), format!("http://{}", proxy.address())));
    std::fs::write(host.log("app.log"), TEXT).unwrap();
    let mut agent = host.run();
    let words = "wants credentials: write http://USER:PASSWORD@HOST:PORT into HTTP_PROXY";
    host::until("the proxy is named", || agent.log_text().contains(words));
    assert_eq!(agent.stop(), 0);
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|line| line.starts_with(&format!("POST {endpoint}/"))), "{asked:?}");

    host.environment.push(("NO_PROXY".to_owned(), format!("example.com, {DIRECT}")));
    let mut agent = host.run();
    assert_eq!(host.arrived("logs", TEXT.len()), TEXT);
    assert_eq!(agent.stop(), 0);
    assert_eq!(proxy.asked(), asked, "the proxy was not asked again");
}

#[test]
fn a_name_that_only_the_proxy_knows_is_not_found_without_it() {
    let (mut host, proxy) = proxied(Act::Connect);
    host.environment.push(("NO_PROXY".to_owned(), ".lake.test".to_owned()));
    let mut agent = host.run();
    host::until("the name is not found", || {
        agent.log_text().contains("cannot be resolved: check DNS and the endpoint")
    });
    assert_eq!(agent.stop(), 0);
    assert!(proxy.asked().is_empty());
    // And with it, nothing is lost.
    host.environment.retain(|(name, _)| name != "NO_PROXY");
    let mut agent = host.run();
    assert_eq!(host.arrived("logs", TEXT.len()), TEXT);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn what_is_no_address_of_a_proxy_is_told_and_passed_over() {
    let mut host = Host::new().flow("app.log", "logs", json!({}));
    host.environment.push(("HTTPS_PROXY".to_owned(), "ftp://proxy.test".to_owned()));
    std::fs::write(host.log("app.log"), TEXT).unwrap();
    let mut agent = host.run();
    assert_eq!(agent.wait_for("no address of a proxy")["variable"], "HTTPS_PROXY");
    assert_eq!(host.arrived("logs", TEXT.len()), TEXT);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn certificates_that_cannot_be_used_are_refused_at_the_start_and_by_check() {
    let mut host = host(&[]);
    let file = host.root().join("own.pem");
    let malformed = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (content, reason) in [
        (None, "which cannot be read: No such file or directory"),
        (Some(""), "which holds no certificate that can be used"),
        (Some("not a certificate"), "which holds no certificate that can be used"),
        (Some(malformed), "which holds no certificate that can be used"),
        (Some("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"), "which is damaged"),
    ] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        host = host.top("caBundle", json!(file));
        let words = format!("`caBundle` is `{}`, {reason}", file.display());
        let help = "put certificates in PEM form there, or correct or remove `caBundle`";
        let mut agent = host.start();
        assert_eq!(agent.exit_code(), 78, "{content:?}");
        let log = agent.log_text();
        assert!(log.contains(&words) && log.contains(help), "{content:?}: {log}");
        let check = host.program().args(["check", "--config"]).arg(host.configure()).output().unwrap();
        let said = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(check.status.code(), Some(78), "{said}");
        assert!(said.contains(&words) && said.contains(help), "{said}");
    }
}

#[test]
fn without_the_authority_the_certificate_is_not_trusted_and_the_proxy_is_among_the_suspects() {
    let (host, proxy) = proxied(Act::Connect);
    // Another authority than the lake's.
    let other = host.root().join("other.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&other, rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()).unwrap();
    let host = host.top("caBundle", json!(other));
    let mut agent = host.run();
    named_in(&agent, &proxy.address(), "is not trusted");
    assert!(agent.log_text().contains("`caBundle`"));
    assert_eq!(agent.stop(), 0);
    let authority = host.lake.certificate_path().unwrap().to_owned();
    let host = host.top("caBundle", json!(authority));
    let mut agent = host.run();
    assert_eq!(host.arrived("logs", TEXT.len()), TEXT);
    assert_eq!(agent.stop(), 0);
}
