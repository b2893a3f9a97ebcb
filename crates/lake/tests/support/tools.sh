#!/usr/bin/env bash
# What the tests of the lake run against, in a virtual environment below target/: DuckDB's program, protobuf for Python,
# and MiniStack for Athena. Says SKIPPED where it cannot be had; the tests then say so too.
set -uo pipefail
cd "$(dirname "$0")/../../../.."
tools=target/lake-tools
[ -x "$tools/bin/ministack" ] && [ -x "$tools/bin/duckdb" ] && exit 0
python3 -m venv "$tools" && "$tools/bin/pip" install --quiet --disable-pip-version-check \
    'duckdb-cli>=1.4,<3' 'duckdb>=1.4,<3' 'protobuf>=6,<8' 'ministack>=1.5,<2' 'cfn-lint>=1.50,<2' ||
    echo "SKIPPED: the tools for the tests of the lake could not be installed"
