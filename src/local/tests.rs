use super::server::address_of;
use super::*;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// Answers everything with the same line.
struct Echo;

impl Respond for Echo {
    async fn respond(&self, ask: Ask, mut to: Lines) -> std::io::Result<()> {
        to.send(&serde_json::json!({"asked": serde_json::to_value(ask.ask)?})).await
    }
}

/// A server in a thread of its own, until the returned sender is dropped.
fn serve(places: Vec<PathBuf>) -> (PathBuf, tokio::sync::oneshot::Sender<()>, std::thread::JoinHandle<()>) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (send, received) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let server = Server::listen(&places).unwrap();
            send.send(server.path().to_owned()).unwrap();
            tokio::select! {
                () = server.serve(Arc::new(Echo)) => {}
                _ = stopped => {}
            }
        });
    });
    (received.recv_timeout(Duration::from_secs(10)).unwrap(), stop, thread)
}

fn asked(path: &Path, question: &[u8]) -> String {
    let (address, _folder) = address_of(path).unwrap();
    let mut stream = UnixStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(question).ok();
    let mut text = String::new();
    stream.read_to_string(&mut text).ok();
    text
}

#[test]
fn the_socket_is_its_owners_alone_answers_one_question_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (path, stop, thread) = serve(vec![folder.path().join(NAME)]);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(asked(&path, b"{\"ask\":\"status\"}\n"), "{\"asked\":\"status\"}\n");
    let refusal = asked(&path, b"{\"ask\":\"harvest\"}\n");
    assert!(refusal.contains("\"error\"") && refusal.contains("harvest"), "{refusal}");
    drop(stop);
    thread.join().unwrap();
    assert!(!path.exists(), "a stopped agent leaves no socket");
}

/// More clients than are served at a time hang; each loses its place after its time, and a question is answered.
#[test]
fn clients_that_hang_or_say_too_much_keep_nobody_out_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _stop, _thread) = serve(vec![folder.path().join(NAME)]);
    let silent: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&path).unwrap()).collect();
    assert_eq!(asked(&path, b"{\"ask\":\"status\"}\n"), "{\"asked\":\"status\"}\n");
    drop(silent);
    assert_eq!(asked(&path, &vec![b'x'; 1 << 20]), "", "no question has a mebibyte");
    assert_eq!(asked(&path, b"{\"ask\":\"status\"}\n"), "{\"asked\":\"status\"}\n");
}

#[test]
fn a_socket_that_a_killed_agent_left_is_replaced_and_that_of_a_living_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("run.sock"), folder.path().join("state.sock"));
    drop(std::os::unix::net::UnixListener::bind(&first).unwrap());
    assert!(first.exists(), "what a killed agent leaves");
    let (path, _stop, _thread) = serve(vec![first.clone(), second.clone()]);
    assert_eq!(path, first);
    let (path, _stop, _thread) = serve(vec![first.clone(), second.clone()]);
    assert_eq!(path, second, "the first belongs to another agent");
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    assert!(Server::listen(std::slice::from_ref(&file)).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_path_that_is_too_long_for_an_address_works_too() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(90)).join("e".repeat(90));
    std::fs::create_dir_all(&deep).unwrap();
    let (path, _stop, _thread) = serve(vec![deep.join(NAME)]);
    assert_eq!(asked(&path, b"{\"ask\":\"status\"}\n"), "{\"asked\":\"status\"}\n");
}

#[test]
fn a_path_in_json_comes_out_as_it_went_in() {
    use std::os::unix::ffi::OsStrExt;
    for bytes in [&b"/var/log/a.log"[..], b"/l/\xff\n\x1b[2J", b"", "/l/\u{202e}ü".as_bytes()] {
        let path = PathText(std::ffi::OsStr::from_bytes(bytes).into());
        let json = serde_json::to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<PathText>(&json).unwrap(), path, "{json}");
    }
    assert!(serde_json::from_str::<PathText>(r#"{"text": "x", "hex": "0"}"#).is_err());
}
