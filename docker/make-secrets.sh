#!/bin/sh
# The secrets of a new site, made once: sh docker/make-secrets.sh docker/secrets
#
# MEMBERS   the replica set's members, as the nodes reach them
# SITE      the site's public name, for a certificate to begin with; put the site's own in site_certificate (certificates, then key)
# AT        where the containers find these files
set -eu
directory=${1:?usage: make-secrets.sh DIRECTORY}
members=${MEMBERS:-mongo1:27017,mongo2:27017,mongo3:27017}
site=${SITE:-localhost}
at=${AT:-/run/secrets}
days=3650

[ ! -e "$directory" ] || { echo "$directory is there already: what is in use is never made anew." >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077
mkdir "$work/secrets"
cd "$work"

password() { openssl rand -hex 24; }
key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null \
    || openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
# certificate NAME SUBJECT ALTERNATIVE-NAMES: signed by our own authority
certificate() {
    key "$1.key"
    openssl req -new -key "$1.key" -subj "/O=CSOR/CN=$2" -out "$1.csr"
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days $days -extfile "$1.ext" -out "$1.pem" 2>/dev/null
    cat "$1.pem" "$1.key" > "secrets/$1"
}

key ca.key
openssl req -x509 -new -key ca.key -subj "/O=CSOR/CN=authority of this site" -days $days -out ca.pem
cp ca.pem secrets/mongo_ca
hosts=$(printf '%s' "$members" | tr ',' '\n' | sed 's/:[0-9]*$//; s/^/DNS:/' | sort -u | paste -sd, -)
certificate mongo_certificate member "$hosts,DNS:localhost,IP:127.0.0.1"
certificate site_certificate "$site" "DNS:$site,DNS:localhost,IP:127.0.0.1"

openssl rand -base64 756 > secrets/mongo_key
password > secrets/mongo_admin
options="replicaSet=csor&authSource=admin&tls=true&tlsCAFile=$at/mongo_ca"
echo "mongodb://csor:$(password)@$members/csor?$options" > secrets/csor_store
: > secrets/csor_smtp_url

# The directory keeps the machine's other users out; the containers' users read the files that they are given.
chmod 444 secrets/*
cd - > /dev/null
mkdir -p "$(dirname "$directory")"
mv "$work/secrets" "$directory"
chmod 700 "$directory"
echo "Made $directory. The authority's key was not kept: new certificates take a new authority."
