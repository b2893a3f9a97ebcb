"""Says which devices need a new battery. Rows come on the standard input, one JSON object a line; what is written to
the file that LAKE_OUT names is kept as the report."""
import json
import os
import sys

LOW = 20.0

rows = [json.loads(line) for line in sys.stdin]
low = [row for row in rows if row["battery_level"] < LOW]
with open(os.environ["LAKE_OUT"], "w", encoding="utf-8") as report:
    report.write(f"{len(low)} of {len(rows)} devices are below {LOW:.0f} %\n")
    for row in sorted(low, key=lambda row: row["battery_level"]):
        report.write(f"{row['device_id']}: {row['battery_level']:.1f} % at {row['sent_at']}\n")
