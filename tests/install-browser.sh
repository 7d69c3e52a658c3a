#!/bin/sh
# Headless Chromium for the page tests: installed where that can be done, else the tests skip and say so.
command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing chromium (Debian package) for the page tests"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -q update && apt-get -q -y install --no-install-recommends chromium fonts-liberation; } >/tmp/csor-browser.log 2>&1 && exit 0
    tail -n 5 /tmp/csor-browser.log
fi
echo "Chromium is not installed and could not be: the page tests will be skipped. Install 'chromium' and run again."
exit 0
