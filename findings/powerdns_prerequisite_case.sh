#!/usr/bin/env bash
# Guess:     a prerequisite "this record set exists with this data" of a DNS update (RFC 2136, section 2.4.2) holds only if the data is the same. TXT data is
#            made of character strings, which are binary (RFC 1035, section 3.3.14), so "Owner=a" and "owner=A" differ.
# Behaviour: PowerDNS takes TXT data that differs in letter case for the same, and makes the update. BIND refuses it (NXRRSET).
# Version:   pdns-server 4.7.3-2 and bind9 9.18 (Debian 12), dnspython 2.6.1.
# Source:    RFC 2136, section 1.1.1: resource records are equal if their RDATA is, among others; by section 1.1.2 letter case is ignored in names.
# So:        whoever does compare-and-set on a TXT record needs a further prerequisite whose data has no letters, such as the zone's SOA.
set -euo pipefail

work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
chmod 0755 "$work"
cd "$work"

python3 -m venv venv
venv/bin/pip --quiet install dnspython==2.6.1
# The packages and what they need beyond a small Debian 12 are unpacked, not installed.
mkdir debs root
packages=$(apt-get --simulate --no-install-recommends install pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 'bind9=1:9.18*' |
    sed -n 's/^Inst \([^ ]*\) .*/\1/p')
# shellcheck disable=SC2086
(cd debs && apt-get --quiet=2 -o APT::Sandbox::User=root download $packages)
for deb in debs/*.deb; do dpkg-deb --extract "$deb" root; done
libraries=$work/root/usr/lib/$(gcc -print-multiarch 2>/dev/null || echo x86_64-linux-gnu)
export LD_LIBRARY_PATH=$libraries

zone='example.test.'
record="$zone 60 SOA ns.$zone admin.$zone 1 3600 600 86400 60"

# PowerDNS, with SQLite.
venv/bin/python - root/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql <<'PYTHON'
import pathlib, sqlite3, sys
with sqlite3.connect("pdns.db") as database:
    database.executescript(pathlib.Path(sys.argv[1]).read_text())
    database.execute("INSERT INTO domains (name, type) VALUES ('example.test', 'NATIVE')")
    for name, kind, content in (
        ("example.test", "SOA", "ns.example.test admin.example.test 1 3600 600 86400 60"),
        ("example.test", "NS", "ns.example.test"),
        ("lock.example.test", "TXT", '"Owner=a"'),
    ):
        database.execute("INSERT INTO records (domain_id, name, type, content, ttl) VALUES (1, ?, ?, ?, 60)", (name, kind, content))
PYTHON
root/usr/sbin/pdns_server --no-config --daemon=no --guardian=no --socket-dir="$work" --module-dir="$libraries/pdns" --launch=gsqlite3 \
    --gsqlite3-database="$work/pdns.db" --local-address=127.0.0.1 --local-port=5391 --dnsupdate=yes --allow-dnsupdate-from=127.0.0.1 \
    --disable-syslog > pdns.log 2>&1 &
pids+=($!)

# BIND.
printf '%s\n%s 60 NS ns.%s\nlock.%s 60 TXT "Owner=a"\nns.%s 60 A 127.0.0.1\n' "$record" "$zone" "$zone" "$zone" "$zone" > zone.db
cat > named.conf <<CONF
options { directory "$work"; pid-file none; lock-file none; session-keyfile none; listen-on port 5392 { 127.0.0.1; }; listen-on-v6 { none; };
    recursion no; dnssec-validation no; managed-keys-directory "$work"; };
controls { };
zone "example.test" { type primary; file "zone.db"; allow-update { 127.0.0.1; }; };
CONF
root/usr/sbin/named -g -n 1 -c named.conf > named.log 2>&1 &
pids+=($!)

if ! venv/bin/python - <<'PYTHON'; then
import sys, time
import dns.exception, dns.message, dns.query, dns.rcode, dns.update

def ready(port):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            answer = dns.query.udp(dns.message.make_query("lock.example.test", "TXT"), "127.0.0.1", 0.5, port)
            if answer.answer:
                return
        except (dns.exception.DNSException, OSError):
            time.sleep(0.2)
    sys.exit(f"nobody answers at port {port}")

def update(port, believed, wanted):
    change = dns.update.UpdateMessage("example.test")
    change.present("lock", "TXT", f'"{believed}"')
    change.replace("lock", 60, "TXT", f'"{wanted}"')
    return dns.rcode.to_text(dns.query.udp(change, "127.0.0.1", 5, port).rcode())

seen = {}
for server, port in (("PowerDNS", 5391), ("BIND", 5392)):
    ready(port)
    seen[server] = [update(port, "Owner=b", "x"), update(port, "owner=A", "Owner=c")]
    print(f"{server}: other data {seen[server][0]}, other letter case {seen[server][1]}")
sys.exit(seen != {"PowerDNS": ["NXRRSET", "NOERROR"], "BIND": ["NXRRSET", "NXRRSET"]})
PYTHON
    tail -n 5 pdns.log named.log
    exit 1
fi
echo 'As described: PowerDNS does not see a difference in letter case in prerequisites about TXT data.'
