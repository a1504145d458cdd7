"""Asks a server of dev/mail over HTTP: URL METHOD [NAME=VALUE…]. Prints what it answers."""

import json
import sys
import urllib.error
import urllib.request

url, method, *pairs = sys.argv[1:]
body = {}
for pair in pairs:
    name, _, value = pair.partition("=")
    if name == "reject":
        value = [address for address in value.split(",") if address]
    elif name == "keep":
        value = value == "yes"
    elif value.isdigit():
        value = int(value)
    body[name] = value
request = urllib.request.Request(url, json.dumps(body).encode() if pairs else None, method=method)
try:
    # Not through a proxy: it is on this machine.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    sys.exit(json.load(error)["error"])
except OSError as error:
    sys.exit(f"{url} does not answer: {error}")
