#!/bin/sh
# Installs the broker that the MQTT tests run against, where it is missing and can be had. Says what it did; never fails a build.
set -eu
if command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ]; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "mosquitto is missing, and cannot be installed without root and apt-get: install it by hand for the MQTT tests" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if apt-get install -y --no-install-recommends mosquitto >/dev/null 2>&1 ||
    { apt-get update >/dev/null 2>&1 && apt-get install -y --no-install-recommends mosquitto >/dev/null 2>&1; }; then
    echo "installed mosquitto for the MQTT tests" >&2
else
    echo "mosquitto could not be installed: the MQTT tests that need it are skipped" >&2
fi
