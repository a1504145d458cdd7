# shellcheck shell=bash
# Installs the pinned libraries of the mail server into the cache. Sourced by dev/mail.
#
# Pip downloads them, with whatever index and proxy it is set up for, and takes only files with the sum that is pinned.

# shellcheck source=dev/mail.d/python.sh
. dev/mail.d/python.sh

requirements=$root/dev/mail.d/requirements.txt
cache=${XDG_CACHE_HOME:-$HOME/.cache}/headwater/mail
# Other pins are another directory.
venv=$cache/python-$(cksum <"$requirements" | cut -d ' ' -f 1)

python() { echo "$venv/bin/python"; }

need_python() {
    if has_python && command -v openssl >/dev/null; then return 0; fi
    die "needs Python $python_minimum or later with venv, and openssl. Install them, then try again:
  Debian, Ubuntu:  sudo apt-get update && sudo apt-get install --no-install-recommends python3-venv openssl
  Fedora, RHEL:    sudo dnf install python3 openssl
  macOS:           brew install python openssl
or, on Debian and Ubuntu, run dev/setup test."
}

fetch_missing() {
    local log=$cache/fetch.log
    if [ -f "$venv/complete" ]; then return 0; fi # another process was quicker
    say "installing the mail server's libraries, once, in $venv"
    rm -rf "$venv"
    python3 -m venv "$venv" >"$log" 2>&1 || die "cannot make $venv: $(tail -n 3 "$log")"
    if ! "$(python)" -m pip install --disable-pip-version-check --no-input --no-deps --only-binary :all: \
        --require-hashes --requirement "$requirements" >"$log" 2>&1; then
        die "cannot install the mail server's libraries: $(grep -m 1 -i error "$log" | cut -c1-400)
Look at the network, or name a mirror with PIP_INDEX_URL=https://…
Without a network: copy $venv from a machine that has it. All that pip said: $log"
    fi
    touch "$venv/complete"
}

fetch() {
    if [ -f "$venv/complete" ]; then return 0; fi
    mkdir -p "$cache"
    lock "$venv.lock"
    fetch_missing
    unlock
}
