//! The questions to the machine, over real sockets, with a server that is as strict as the real ones.

use super::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Answers the requests for which `answer` has one, with status and body; 404 to the others.
async fn serve(answer: fn(&str, &str) -> Option<(u16, &'static str)>) -> (String, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let (mut head, mut line) = (String::new(), String::new());
            while stream.read_line(&mut line).await.unwrap() > 2 {
                head.push_str(&line);
                line.clear();
            }
            let request = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
            let (status, body) = answer(&request, &head.to_lowercase()).unwrap_or((404, "not found"));
            let length = body.len();
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).await.ok();
        }
    });
    (address, server)
}

/// The metadata service of an instance that takes questions with a token only.
fn instance(request: &str, head: &str) -> Option<(u16, &'static str)> {
    if request == "PUT /latest/api/token" && head.contains("x-aws-ec2-metadata-token-ttl-seconds: 60") {
        return Some((200, "the token"));
    }
    if !head.contains("x-aws-ec2-metadata-token: the token") {
        return Some((401, ""));
    }
    match request.strip_prefix("GET ")? {
        "/latest/dynamic/instance-identity/document" => Some((
            200,
            r#"{"privateIp": "10.0.0.5", "availabilityZone": "us-west-2a", "instanceId": "i-0abc", "region": "us-west-2",
                "instanceType": "t3.small", "accountId": "111122223333", "imageId": "ami-1", "kernelId": null}"#,
        )),
        "/latest/meta-data/tags/instance" => Some((200, "Name\nthe stage")),
        "/latest/meta-data/tags/instance/Name" => Some((200, "web")),
        "/latest/meta-data/tags/instance/the%20stage" => Some((200, "prod")),
        _ => None,
    }
}

fn container(request: &str, _: &str) -> Option<(u16, &'static str)> {
    match request.strip_prefix("GET ")? {
        "/v4/1" => Some((200, r#"{"DockerId": "ea32", "Name": "shop", "Image": "shop:7"}"#)),
        "/v4/1/task" => Some((
            200,
            r#"{"Cluster": "default", "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/default/158d",
                "Family": "shop", "Revision": "5", "AvailabilityZone": "us-west-2b"}"#,
        )),
        _ => None,
    }
}

#[tokio::test]
async fn an_instance_is_asked_with_a_token_and_says_what_it_is() {
    let (address, _server) = serve(instance).await;
    let known = Sources { instance: Some(address), container: None }.fetch().await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!((&known.private_ip, &known.availability_zone), (&text("10.0.0.5"), &text("us-west-2a")));
    assert_eq!((&known.instance_id, &known.instance_type), (&text("i-0abc"), &text("t3.small")));
    assert_eq!((&known.account_id, &known.ami_id), (&text("111122223333"), &text("ami-1")));
    assert_eq!(known.region, text("us-west-2"));
    assert_eq!(known.tags, Some(vec![("Name".into(), "web".into()), ("the stage".into(), "prod".into())]));
    let fetched = known.fetched.unwrap();
    assert!(fetched.len() == 24 && fetched.ends_with("+0000"), "{fetched}");
}

#[tokio::test]
async fn an_instance_that_keeps_its_tags_to_itself_says_the_rest() {
    let (address, _server) =
        serve(|request, head| if request.contains("tags") { None } else { instance(request, head) }).await;
    let known = Sources { instance: Some(address), container: None }.fetch().await.unwrap();
    assert_eq!((known.tags, known.instance_id.as_deref()), (None, Some("i-0abc")));
}

#[tokio::test]
async fn a_container_says_what_it_is_and_where_no_instance_does() {
    let (address, _server) = serve(container).await;
    let sources = Sources { instance: None, container: Some(format!("{address}/v4/1")) };
    let known = sources.fetch().await.unwrap();
    assert_eq!((known.region.as_deref(), known.account_id.as_deref()), (Some("us-west-2"), Some("111122223333")));
    assert_eq!(known.availability_zone.as_deref(), Some("us-west-2b"));
    let names: Vec<_> = known.container.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(names[0], "ecsCluster=default");
    assert_eq!(names[4..], ["containerName=shop", "containerId=ea32", "containerImage=shop:7"]);
}

#[tokio::test]
async fn one_that_answers_is_enough_and_none_is_an_error_with_the_address() {
    let (address, _server) = serve(container).await;
    let sources = Sources { instance: Some(address.clone()), container: Some(format!("{address}/v4/1")) };
    assert!(sources.fetch().await.is_ok());
    let error = Sources { instance: Some(address.clone()), container: None }.fetch().await.unwrap_err();
    assert_eq!(error.to_string(), format!("{address}/latest/api/token: the answer has status 404"));
    assert!(matches!(Sources::default().fetch().await, Err(MachineError::Nobody)));
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "x".repeat(LARGEST_ANSWER + 1));
    let (address, _server) = serve(|_, _| Some((200, LONG.as_str()))).await;
    let error = Sources { instance: Some(address), container: None }.fetch().await.unwrap_err();
    assert!(error.to_string().contains("length limit exceeded"), "{error}");
}

#[test]
fn the_variables_of_the_aws_sdks_say_whom_to_ask() {
    let sources = |set: &'static [(&str, &str)]| {
        Sources::from_environment(move |name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(sources(&[]).instance.as_deref(), Some("http://169.254.169.254"));
    assert_eq!(sources(&[("AWS_EC2_METADATA_DISABLED", "True")]), Sources::default());
    assert_eq!(
        sources(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6")]).instance.as_deref(),
        Some("http://[fd00:ec2::254]")
    );
    let both = sources(&[
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1/"),
        ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/1"),
    ]);
    assert_eq!(both.instance.as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!(both.container.as_deref(), Some("http://169.254.170.2/v4/1"));
}
