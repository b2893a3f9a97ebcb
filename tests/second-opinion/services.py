"""What other people's services make of the agent's calls: signatures, permissions, roles, metrics, and what arrived.

Usage: services.py AGENT HOME; HOME holds MiniStack (bin/ministack) and perhaps kinesalite (node/). Everything stays on loopback.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta, timezone

import botocore.session

PATIENCE = 20
REGION = "us-east-1"
# A call holds 500 records; the services refuse more.
MORE_THAN_A_CALL = 1200
ACCOUNT = "000000000000"
AGENT, HOME = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
ROOT = pathlib.Path(tempfile.mkdtemp(prefix="second-opinion-"))
failed = 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def within(condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def check(name):
    """Runs a check at once and says how it went."""

    def run(body):
        global failed
        try:
            skipped = body()
        except Exception as trouble:
            failed += 1
            print(f"FAILED  {name}: {type(trouble).__name__}: {trouble}", flush=True)
        else:
            print(f"SKIPPED {name}: {skipped}" if skipped else f"passed  {name}", flush=True)

    return run


def client(service, endpoint, key=("test", "test")):
    session = botocore.session.Session()
    options = {"region_name": REGION, "endpoint_url": endpoint}
    return session.create_client(service, aws_access_key_id=key[0], aws_secret_access_key=key[1], **options)


class Agent:
    """The agent in a folder of its own, with one flow."""

    def __init__(self, endpoint, key, flow, environment=None, wrapper=(), **top):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=ROOT))
        self.log = self.folder / "agent.log"
        common = {"filePattern": f"{self.folder}/*.in", "initialPosition": "START_OF_FILE", "maxBufferAgeMillis": 50}
        configuration = {
            "stateDirectory": f"{self.folder}/state",
            "region": REGION,
            "firehose.endpoint": endpoint,
            "kinesis.endpoint": endpoint,
            "cloudwatch.emitMetrics": False,
            "shutdownTimeoutMillis": 2000,
            "flows": [common | flow],
        }
        (self.folder / "state").mkdir()
        (self.folder / "agent.json").write_text(json.dumps(configuration | top))
        environment = environment or {
            "AWS_ACCESS_KEY_ID": key[0],
            "AWS_SECRET_ACCESS_KEY": key[1],
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        environment |= {"PATH": os.environ["PATH"], "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
        command = [*wrapper, AGENT, "run", "--config", self.folder / "agent.json", "--log-format", "json"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def write(self, text):
        (self.folder / "a.in").write_text(text)

    def said(self, words):
        return [line for line in self.log.read_text().splitlines() if words in line]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)


def lines(mark, count=500):
    return "".join(f'{{"mark": "{mark}", "number": {number}}}\n' for number in range(count))


def arrive(what, expected, look):
    got = b""

    def all_there():
        nonlocal got
        got = look()
        return len(got) >= len(expected)

    within(all_there)
    assert sorted(got.splitlines()) == sorted(expected.encode().splitlines()), f"{what}: {len(got)} of {len(expected)} bytes"


class Ministack:
    """MiniStack, with or without its checks of signatures and permissions."""

    def __init__(self, checks=True):
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        folder = tempfile.mkdtemp(dir=ROOT)
        environment = dict(os.environ, BIND_HOST="127.0.0.1", GATEWAY_PORT=str(self.port), AUTH=str(checks).lower(), HOME=folder)
        environment |= {"IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "S3_PERSIST": "0", "MINISTACK_IMDS_V2_REQUIRED": "1"}
        log = open(f"{folder}/log", "wb")
        self.process = subprocess.Popen([HOME / "bin/ministack"], stdout=log, stderr=log, env=environment, cwd=folder)
        assert within(self.is_healthy), f"MiniStack does not start, see {folder}/log"

    def is_healthy(self):
        try:
            return urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=1).status == 200
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def admin(self, service):
        return client(service, self.endpoint)

    def user(self, name, *actions):
        """A user who may do this; returns the keys."""
        iam = self.admin("iam")
        iam.create_user(UserName=name)
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
        iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def delivery_stream(self, name):
        """A new delivery stream; returns a look at what it wrote."""
        s3 = self.admin("s3")
        s3.create_bucket(Bucket=name)
        destination = {"BucketARN": f"arn:aws:s3:::{name}", "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/firehose"}
        self.admin("firehose").create_delivery_stream(
            DeliveryStreamName=name, ExtendedS3DestinationConfiguration=destination
        )

        def look():
            listed = s3.get_paginator("list_objects_v2").paginate(Bucket=name)
            keys = [each["Key"] for page in listed for each in page.get("Contents", [])]
            return b"".join(s3.get_object(Bucket=name, Key=key)["Body"].read() for key in keys)

        return look


def kinesis_stream(kinesis, name):
    """A new stream of two shards; returns a look at all of its records."""
    kinesis.create_stream(StreamName=name, ShardCount=2)
    status = lambda: kinesis.describe_stream(StreamName=name)["StreamDescription"]
    assert within(lambda: status()["StreamStatus"] == "ACTIVE"), f"{name} does not become active"

    def look():
        data = []
        for shard in status()["Shards"]:
            first = {"StreamName": name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = kinesis.get_shard_iterator(**first)["ShardIterator"]
            while iterator:
                page = kinesis.get_records(ShardIterator=iterator, Limit=10_000)
                data += [record["Data"] for record in page["Records"]]
                iterator = page["NextShardIterator"] if page["Records"] else None
        return b"".join(data)

    return look


PUTS = ("firehose:PutRecordBatch", "kinesis:PutRecords", "kinesis:DescribeStreamSummary")


def firehose_checks(stack, writer):
    @check("Firehose: every line arrives once, signed for a user who may put records")
    def _():
        look = stack.delivery_stream("plain")
        with Agent(stack.endpoint, writer, {"deliveryStream": "plain"}) as agent:
            agent.write(lines("plain"))
            arrive("lines", lines("plain"), look)

    @check("signatures: with a wrong secret nothing arrives, and the log says why")
    def _():
        look = stack.delivery_stream("unsigned")
        with Agent(stack.endpoint, (writer[0], "wrong"), {"deliveryStream": "unsigned"}) as agent:
            agent.write(lines("unsigned"))
            assert within(lambda: agent.said("InvalidSignature")), "the log does not say InvalidSignature…"
        assert look() == b"", "lines arrived all the same"

    @check("permissions: without them nothing arrives, and the log says what is missing")
    def _():
        look = stack.delivery_stream("denied")
        nobody = stack.user("nobody", "s3:ListAllMyBuckets")
        with Agent(stack.endpoint, nobody, {"deliveryStream": "denied"}) as agent:
            agent.write(lines("denied"))
            assert within(lambda: agent.said("firehose:PutRecordBatch")), "the log does not name the action"
        assert look() == b"", "lines arrived all the same"


def clock_check(stack, writer):
    @check("clock: 20 minutes slow, the agent signs with the service's time and every line arrives")
    def _():
        if not shutil.which("faketime"):
            return "faketime is not on this machine"
        look = stack.delivery_stream("slow-clock")
        flow = {"deliveryStream": "slow-clock"}
        with Agent(stack.endpoint, writer, flow, wrapper=("faketime", "-f", "-20m")) as agent:
            agent.write(lines("slow-clock"))
            arrive("lines", lines("slow-clock"), look)


def instance_check():
    @check("IMDSv2: with the credentials of the instance's role every line arrives")
    def _():
        # The keys that it gives to instances are not among those that it knows when it checks.
        stack = Ministack(checks=False)
        try:
            look = stack.delivery_stream("instance")
            environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": stack.endpoint}
            with Agent(stack.endpoint, None, {"deliveryStream": "instance"}, environment) as agent:
                agent.write(lines("instance"))
                arrive("lines", lines("instance"), look)
        finally:
            stack.stop()


def role_checks(stack):
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "right"}},
    }
    allow = {"Effect": "Allow", "Action": PUTS, "Resource": "*"}
    document = lambda statement: json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam = stack.admin("iam")
    arn = iam.create_role(RoleName="shipper", AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="shipper", PolicyName="may", PolicyDocument=document(allow))
    base = stack.user("base", "sts:AssumeRole")
    keys = {"assumeRoleARN": arn, "sts.endpoint": stack.endpoint}

    @check("AssumeRole: with the right external id every line arrives")
    def _():
        look = stack.delivery_stream("by-role")
        with Agent(stack.endpoint, base, {"deliveryStream": "by-role"}, **keys, assumeRoleExternalId="right") as agent:
            agent.write(lines("by-role"))
            arrive("lines", lines("by-role"), look)

    @check("AssumeRole: with another external id nothing arrives, and the log says why")
    def _():
        look = stack.delivery_stream("no-role")
        with Agent(stack.endpoint, base, {"deliveryStream": "no-role"}, **keys, assumeRoleExternalId="wrong") as agent:
            agent.write(lines("no-role"))
            assert within(lambda: agent.said("AccessDenied")), "the log does not say AccessDenied"
        assert look() == b"", "lines arrived all the same"


def metric_checks(stack, writer):
    def statistics(name, stream):
        now = datetime.now(timezone.utc)
        found = stack.admin("cloudwatch").get_metric_statistics(
            Namespace="AWSKinesisAgent",
            MetricName=name,
            Dimensions=[{"Name": "Destination", "Value": f"DeliveryStream:{stream}"}],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=10),
            Period=60,
            Statistics=["Sum", "SampleCount"],
        )
        return sum(point["Sum"] for point in found["Datapoints"])

    metrics = {"cloudwatch.emitMetrics": True, "cloudwatch.endpoint": stack.endpoint}
    metrics["cloudwatch.metricsBufferTimeMillis"] = 1000

    @check("CloudWatch: the metrics add up to what was delivered")
    def _():
        look = stack.delivery_stream("told")
        with Agent(stack.endpoint, writer, {"deliveryStream": "told"}, **metrics) as agent:
            agent.write(lines("told"))
            arrive("lines", lines("told"), look)
            within(lambda: statistics("BytesSent", "told") > 0)
        sent = statistics("BytesSent", "told")
        assert sent == len(lines("told")), f"BytesSent is {sent}, delivered were {len(lines('told'))}"
        assert statistics("RecordsSent", "told") >= 1, "RecordsSent is missing"
        assert not agent.said("metrics cannot be sent"), agent.said("metrics cannot be sent")

    @check("CloudWatch: a denied permission is said once, and every line arrives")
    def _():
        look = stack.delivery_stream("untold")
        silent = stack.user("silent", *PUTS)
        with Agent(stack.endpoint, silent, {"deliveryStream": "untold"}, **metrics) as agent:
            agent.write(lines("untold"))
            arrive("lines", lines("untold"), look)
            assert within(lambda: agent.said("metrics cannot be sent")), "the log says nothing"
            # The next attempt comes after twice the period.
            time.sleep(3)
        said = agent.said("metrics cannot be sent")
        assert len(said) == 1 and "allow `cloudwatch:PutMetricData`" in said[0], said


def kinesalite_check():
    @check("Kinesis Data Streams of kinesalite: every line arrives once")
    def _():
        module = HOME / "node/node_modules/kinesalite"
        if not module.exists():
            return "npm is not here, or its registry cannot be reached"
        port = free_port()
        endpoint = f"http://127.0.0.1:{port}"
        # Its command listens on every address of the machine.
        command = ["node", "-e", f"require({json.dumps(str(module))})().listen({port}, '127.0.0.1')"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            kinesis = client("kinesis", endpoint)
            answers = lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0
            assert within(answers), "kinesalite does not start"
            look = kinesis_stream(kinesis, "events")
            flow = {"kinesisStream": "events", "aggregation": "none"}
            with Agent(endpoint, ("test", "test"), flow) as agent:
                agent.write(lines("kinesalite", MORE_THAN_A_CALL))
                arrive("lines", lines("kinesalite", MORE_THAN_A_CALL), look)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def main():
    stack = Ministack()
    try:
        writer = stack.user("writer", *PUTS, "cloudwatch:PutMetricData")
        firehose_checks(stack, writer)

        @check("Kinesis Data Streams of MiniStack: every line arrives once")
        def _():
            look = kinesis_stream(stack.admin("kinesis"), "events")
            flow = {"kinesisStream": "events", "aggregation": "none"}
            with Agent(stack.endpoint, writer, flow) as agent:
                agent.write(lines("kinesis", MORE_THAN_A_CALL))
                arrive("lines", lines("kinesis", MORE_THAN_A_CALL), look)

        clock_check(stack, writer)
        role_checks(stack)
        metric_checks(stack, writer)
    finally:
        stack.stop()
    instance_check()
    kinesalite_check()
    if failed:
        print(f"logs and configurations are kept in {ROOT}")
    else:
        shutil.rmtree(ROOT)
    sys.exit(1 if failed else 0)


main()
