#!/bin/sh
# Programs that tests run and Python packages do not bring: headless Chromium for the pages, haproxy and openssl for the site of docker/.
# Installed where that can be done, else those tests skip and say so.
missing=""
for program in chromium haproxy openssl; do
    command -v $program >/dev/null 2>&1 || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
case $missing in *chromium*) missing="$missing fonts-liberation" ;; esac
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Debian packages for the tests:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get -q update && apt-get -q -y install --no-install-recommends $missing; } >/tmp/csor-programs.log 2>&1 && exit 0
    tail -n 5 /tmp/csor-programs.log
fi
echo "Not installed, and could not be:$missing. The tests that need them will be skipped. Install them and run again."
exit 0
