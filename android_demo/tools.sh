#!/bin/sh
# Sees to it that commands exist: tools.sh COMMAND:PACKAGE... installs their Debian packages as root, or names them.
set -eu
missing=
for tool in "$@"; do
    command -v "${tool%%:*}" > /dev/null || missing="$missing ${tool#*:}"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "Missing tools. On Debian or Ubuntu: sudo apt-get install$missing" >&2
    exit 1
fi
echo "Installing$missing ..."
apt-get -qq update
# shellcheck disable=SC2086 # one argument per package
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing > /dev/null
