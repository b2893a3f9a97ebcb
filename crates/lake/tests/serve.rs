//! The page about the lake: what it shows, what it refuses, and what hostile names do in a real browser: nothing.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "support/house.rs"]
mod house;

use house::House;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const EVIL: &str =
    "</text></td><script>document.title='taken over'</script><img src=x onerror=\"document.title='taken over'\">";
const LAKE: &str = r#"{"name": "farm", "protos": ["schema"],
    "tables": {
        "ping": {"message": "t.Ping", "prefix": "raw/v0/ping/"},
        "battery": {"message": "t.Ping", "prefix": "processed/v0/battery/"}},
    "reactions": [
        {"name": "battery", "on": "ping", "query": "sql/q.sql", "into": "battery"},
        {"name": "week", "on": "battery", "chart": {"query": "sql/q.sql", "value": "level", "title": "A <b>title</b>", "unit": "%", "to": "charts/week.svg"}},
        {"name": "step", "on": "battery", "query": "sql/q.sql", "run": ["true"], "to": "reports/step/"}]}"#;
const PROTO: &str = "syntax = \"proto3\"; package t; message Ping { string device_id = 1; double level = 2; }";

struct Page {
    child: Child,
    port: u16,
    house: House,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Page {
    /// A lake in which everything that may hold a hostile name does.
    fn start() -> Self {
        let house = House::new(LAKE, PROTO);
        house.file("sql/q.sql", "SELECT device_id, level FROM ping\n");
        let line = serde_json::json!({"device_id": EVIL, "level": 5}).to_string() + "\n";
        let name = format!("{}.gz", EVIL.replace('/', "|"));
        house.object("raw/v0/ping/", "2026-03-09-07", &name, line.as_bytes());
        house.object("processed/v0/battery/", "2026-03-09-07", "b.gz", line.as_bytes());
        house.object("raw/v0/ping/", "2026-03-09<b>", "c.gz", line.as_bytes());
        let series = [(EVIL.to_owned(), vec![(1_773_039_600_000, 5.0), (1_773_043_200_000, 6.0)])].into();
        house.file("lake/charts/week.svg", &datalake::chart::svg(EVIL, EVIL, &series));
        house.file("lake/reports/step/dt=2026-03-09-07/step-1.txt", &format!("{EVIL}\u{1b}[31m\u{202e}\n"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_datalake"));
        command.args(["serve", "--port", "0"]).current_dir(house.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("http://127.0.0.1:").unwrap().parse().unwrap();
        Self { child, port, house }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The whole answer to these bytes.
    fn send(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // It may answer, and close, before it has read all.
        stream.write_all(request).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port).as_bytes())
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("no answer")
}

#[test]
fn tables_reactions_reports_and_charts_are_on_the_page_and_hostile_names_are_only_texts() {
    let page = Page::start();
    let content = page.get("/content");
    assert_eq!(status(&content), "200");
    for shown in [
        "<h2>ping</h2>",
        "t.Ping",
        "2026-03-09&lt;b&gt;",
        "/charts/week.svg?",
        "reports/step/dt=2026-03-09-07/step-1.txt",
        "&lt;script&gt;",
    ] {
        assert!(content.contains(shown), "{shown:?} is missing in {content}");
    }
    assert!(content.contains("`datalake react` is not running"), "{content}");
    for evil in ["<script", "<img src=x", "<b>", "\u{1b}", "\u{202e}"] {
        assert!(!content.contains(evil), "{evil:?} in {content}");
    }
    let policy = "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'";
    assert!(content.to_ascii_lowercase().contains(policy), "{content}");
    let chart = page.get("/charts/week.svg?5");
    assert!(
        status(&chart) == "200" && chart.contains("default-src 'none'; sandbox") && !chart.contains("<script"),
        "{chart}"
    );
    let report = page.get("/reports/step/dt=2026-03-09-07/step-1.txt");
    assert!(report.contains("Content-Type: text/plain; charset=utf-8") && report.contains("nosniff"), "{report}");
    let head = page.send(format!("HEAD / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", page.port).as_bytes());
    assert!(status(&head) == "200" && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn nothing_but_charts_and_reports_is_given_out_whatever_the_path_says() {
    let page = Page::start();
    let lake = page.house.path().join("lake");
    page.house.file("lake/charts/other.svg", "<svg/>");
    page.house.file("lake/reports/other/a.txt", "a");
    page.house.file("lake/reports/step/.hidden", "a");
    std::os::unix::fs::symlink("/etc/passwd", lake.join("reports/step/link.txt")).unwrap();
    for path in [
        "/lake.json",
        "/charts/../../lake.json",
        "/charts/other.svg",
        "/charts/",
        "/reports/other/a.txt",
        "/reports/step/../../../lake.json",
        "/reports/step/..%2f..%2flake.json",
        "/reports/step/.hidden",
        "/reports/step/link.txt",
        "/reports/step/",
        "/reports/step",
        "//etc/passwd",
        "/raw/v0/ping/dt=2026-03-09-07/b.gz",
        "/\0",
        "*",
        "",
    ] {
        let answer = page.get(path);
        assert_eq!(status(&answer), "404", "{path:?}: {answer}");
    }
}

#[test]
fn requests_from_elsewhere_too_long_or_unfinished_are_refused_and_hold_nobody_up() {
    let page = Page::start();
    let port = page.port;
    for (request, expected) in [
        (format!("GET / HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"), "403"),
        (format!("GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example:{port}\r\n\r\n"), "403"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "403"),
        (format!("POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 3\r\n\r\nabc"), "405"),
        ("nonsense\r\n\r\n".to_owned(), "405"),
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(10_000)), "431"),
    ] {
        assert_eq!(status(&page.send(request.as_bytes())), expected, "{}", &request[..request.len().min(80)]);
    }
    assert_eq!(status(&page.send(b"GET /\xff HTTP/1.1\r\n\r\n")), "400");
    // Connections that say nothing: as many as there may be are held, the next is refused, and their time ends.
    let silent: Vec<TcpStream> = (0..16).map(|_| page.connect()).collect();
    let deadline = std::time::Instant::now() + PATIENCE;
    while status(&page.get("/")) != "503" {
        assert!(std::time::Instant::now() < deadline, "the seventeenth connection is served");
    }
    // A connection from above may still have been ending when they came: then one of them was refused.
    let mut held = 0;
    for mut stream in silent {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        match status(&answer) {
            "408" => held += 1,
            other => assert_eq!(other, "503", "{answer}"),
        }
    }
    assert!(held >= 12, "{held} of 16 were held");
    while status(&page.get("/")) != "200" {
        assert!(std::time::Instant::now() < deadline, "the page does not come back");
    }
}

fn browser() -> Option<PathBuf> {
    let found = std::env::split_paths(&std::env::var_os("PATH")?)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)))
        .find(|path| path.is_file());
    if found.is_none() {
        println!("SKIPPED: there is no Chromium; the Debian package is `chromium`");
    }
    found
}

/// The page as it is after its scripts ran.
fn rendered(browser: &Path, page: &Page) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=8000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", &format!("http://127.0.0.1:{}/", page.port)])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(dom.contains("</html>"), "{dom}{}", String::from_utf8_lossy(&output.stderr));
    dom
}

#[test]
fn in_a_real_browser_the_page_fills_itself_and_no_name_becomes_code() {
    let Some(browser) = browser() else { return };
    let page = Page::start();
    let dom = rendered(&browser, &page);
    assert!(dom.contains("<title>farm - datalake</title>"), "{dom}");
    assert!(!dom.contains("<img src=\"x\"") && !dom.contains("<script>document"), "{dom}");
    assert!(dom.contains("<h2>ping</h2>") && dom.contains("as of ") && dom.contains("/charts/week.svg?"), "{dom}");
    assert!(dom.contains("&lt;script&gt;document.title"), "{dom}");
    page.house.object("raw/v0/ping/", "2026-03-10-11", "new.gz", b"{\"device_id\":\"a\",\"level\":1}\n");
    // What the page shows may be a few seconds old, and a browser without a screen does not wait in real time.
    let deadline = std::time::Instant::now() + PATIENCE;
    while !rendered(&browser, &page).contains("2026-03-10-11") {
        assert!(std::time::Instant::now() < deadline, "a new hour never comes to the page");
    }
}
