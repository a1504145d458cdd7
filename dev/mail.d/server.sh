# shellcheck shell=bash
# The process of a mail server and its data directory. Sourced by dev/mail.
#
# A data directory holds: port, pid, log, previous.log, mailbox.jsonl, password, and the certificate with its authority.

# shellcheck disable=SC2034 # of dev/process.sh
what="mail server"
start_seconds=30
stop_seconds=10

# ask METHOD PATH [NAME=VALUE…]
ask() {
    local method=$1 path=$2 said
    shift 2
    [ -f "$venv/complete" ] || die "no mail server was ever started here"
    if ! said=$("$(python)" dev/mail.d/ask.py "http://127.0.0.1:$((port + 1))$path" "$method" "$@" 2>&1); then
        die "$said"
    fi
    echo "$said"
}

answers() { (ask GET /counts) >/dev/null 2>&1; }

# Prints the pid of the server that runs on the data directory: the one that was noted may be another's by now.
running_pid() {
    local pid
    pid=$(cat "$data/pid" 2>/dev/null) || return 1
    case "$(command_line "$pid") " in
    *" --data $data "*) echo "$pid" ;;
    *) return 1 ;;
    esac
}

# Takes the directory if it is empty or was made here.
claim_data() {
    mkdir -p "$data" || die "cannot make the data directory $data"
    if [ -f "$data/port" ]; then return 0; fi
    [ -z "$(ls -A "$data")" ] || die "$data is not empty and not of dev/mail. Name another directory with --data."
    echo "$port" >"$data/port"
}

# An authority of its own, and a certificate by it: clients do not take a server's certificate for an authority's.
make_certificate() (
    if [ -f "$data/cert.pem" ]; then return 0; fi
    cd "$data"
    umask 077
    key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    {
        openssl req -x509 "${key[@]}" -keyout ca.key -out ca.pem -days 3650 -subj "/CN=dev mail authority" \
            -addext keyUsage=critical,keyCertSign &&
            openssl req "${key[@]}" -keyout key.pem -out request.pem -subj /CN=localhost &&
            printf '%s\n' subjectAltName=DNS:localhost,IP:127.0.0.1 extendedKeyUsage=serverAuth >extensions &&
            openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -set_serial 1 -days 3650 \
                -extfile extensions -out cert.new
    } >openssl.log 2>&1 || die "openssl cannot make a certificate: $(tail -n 3 openssl.log)"
    head -c 18 /dev/urandom | base64 | tr '+/' '-_' >password
    mv cert.new cert.pem
)

# A process group of its own keeps it from the terminal's Ctrl-C, and no stream of ours may stay open in it: who started us
# would wait for its end.
launch() (
    if [ -f "$data/log" ]; then mv "$data/log" "$data/previous.log"; fi
    set -m
    trap '' HUP
    "$(python)" dev/mail.d/server.py --data "$data" --smtp "$port" --http $((port + 1)) --smtps $((port + 2)) \
        ${flags[@]+"${flags[@]}"} >"$data/log" 2>&1 </dev/null &
    echo $! >"$data/pid"
)

check_ports() {
    local taken
    for taken in "$port" $((port + 1)) $((port + 2)); do
        if listens "$taken"; then die "port $taken is taken. Choose another with --port, and leave two after it."; fi
    done
}

await_answer() {
    local pid=$1 deadline=$((SECONDS + start_seconds))
    until answers; do
        if has_ended "$pid"; then
            die "the mail server on port $port died while it started:
$(tail -n 5 "$data/log")"
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            kill -KILL "$pid"
            die "the mail server on port $port did not answer within $start_seconds s, and was killed: see $data/log"
        fi
        sleep 0.05
    done
}

# A server that runs is left as it is.
start_locked() {
    local pid running
    if pid=$(running_pid); then
        running=$(cat "$data/port")
        [ "$running" = "$port" ] || die "the mail server of $data runs on port $running: stop it first, or leave --port out"
        # shellcheck disable=SC2154 # of dev/mail
        if is_paused "$pid"; then die "the mail server on port $port is paused: dev/mail resume$options"; fi
        say "already running, pid $pid"
    else
        check_ports
        echo "$port" >"$data/port"
        make_certificate
        launch
        pid=$(cat "$data/pid")
    fi
    await_answer "$pid"
}

start() {
    need_python
    fetch
    claim_data
    lock "$data/lock"
    start_locked
    unlock
    echo "127.0.0.1:$port"
}

status() {
    local pid how=running
    if ! pid=$(running_pid); then
        echo "stopped, data in $data"
        return 1
    elif is_paused "$pid"; then
        how=paused
    elif ! answers; then
        how="not answering"
    fi
    echo "$how, pid $pid, 127.0.0.1:$port, data in $data"
    [ "$how" = running ]
}
