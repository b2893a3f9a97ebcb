"""Takes records of PutRecords apart as a consumer does: one JSON object a line in, one a record out."""

import base64
import json
import sys

from aws_kinesis_agg.deaggregator import deaggregate_records

for line in sys.stdin:
    sent = json.loads(line)
    record = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "sequenceNumber": "1",
            "approximateArrivalTimestamp": 0,
            "partitionKey": sent["PartitionKey"],
            "data": sent["Data"],
        }
    }
    for found in deaggregate_records([record]):
        inner = found["kinesis"]
        data = inner["data"]
        print(
            json.dumps(
                {
                    "partitionKey": inner["partitionKey"],
                    "data": data if isinstance(data, str) else data.decode(),
                    "aggregated": inner.get("aggregated", False),
                }
            )
        )
