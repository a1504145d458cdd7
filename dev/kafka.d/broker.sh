# shellcheck shell=bash
# The process of a broker and what its data directory tells about it. Sourced by dev/kafka.
#
# A data directory holds: port, pid, server.properties (of the last start), broker.log,
# console.log (what the process printed), previous.log, archive and classes.jsa (see keep_archive), and
# Kafka's own files under logs.

# shellcheck disable=SC2034 # of dev/process.sh
what=broker
start_seconds=60
stop_seconds=30 # writing the archive takes some of it on a busy machine

# Prints the pid of the broker that runs on the data directory. After a crash or a restart of the machine,
# its pid may be another's: the command line names the directory's file only if it is ours.
running_pid() {
    local pid
    pid=$(cat "$data/pid" 2>/dev/null) || return 1
    case "$(command_line "$pid") " in
    *" $data/server.properties "*) echo "$pid" ;;
    *) return 1 ;;
    esac
}

# Whether a Kafka broker answers on a port. A connection alone proves little: the kernel accepts it for a
# broker that is paused, or is not there yet. The request is ApiVersions: its length, key 18, version 0,
# correlation id 1, no client id. The response begins with a length, that is, a zero byte.
answers() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf '\0\0\0\012\0\022\0\0\0\0\0\001\377\377' >&3
        IFS= read -r -t 2 -d '' -u 3 _
    ) 2>/dev/null
}

# Runs one class of Kafka in place of this process. In short runs the second compiler does not pay. Notes
# of the virtual machine itself would mix with what a tool prints.
run_java() {
    local heap=$1 log4j=$2 sharing=()
    shift 2
    if [ -f "$archive" ]; then sharing=(-XX:SharedArchiveFile="$archive"); fi
    exec "$java" -Xmx"$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true \
        -Xlog:disable -Xlog:all=error:stderr -Xshare:auto ${sharing[@]+"${sharing[@]}"} \
        -Dlog4j2.disable.jmx=true -Dlog4j2.configurationFile="$root/dev/kafka.d/$log4j" -cp "$(class_path)" "$@"
}

# The port of the controller, which only the broker itself talks to: one that nobody listens on, below
# those that the system hands out to outgoing connections.
controller_port() {
    local candidate=$((12000 + port % 20000)) last
    last=$((candidate + 100))
    while [ "$candidate" = "$port" ] || listens "$candidate"; do
        candidate=$((candidate + 1))
        [ "$candidate" -lt "$last" ] || die "no free port for the controller up to $last"
    done
    echo "$candidate"
}

write_properties() {
    local controller
    controller=$(controller_port)
    cat dev/kafka.d/server.properties
    cat <<EOF
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$data/logs
EOF
    [ ${#settings[@]} -eq 0 ] || printf '%s\n' "${settings[@]}"
}

# Takes the directory if it is empty or was made here. Anything else is left alone: it may be a home, or
# the data of a cluster that another port, id or version would harm.
claim_data() {
    local cluster
    mkdir -p "$data" || die "cannot make the data directory $data"
    [ ! -f "$data/port" ] || return 0
    if [ -f "$data/meta.properties" ] || [ -f "$data/logs/meta.properties" ]; then
        cluster=$(sed -n 's/^cluster.id=//p' "$data"/{,logs/}meta.properties 2>/dev/null) || true
        die "$data holds the data of another cluster, $cluster, which dev/kafka did not make.
Name another directory with --data."
    fi
    [ -z "$(ls -A "$data")" ] || die "$data is not empty and not of dev/kafka. Name another directory with --data."
    echo "$port" >"$data/port"
}

format_data() {
    local id
    if [ -f "$data/logs/meta.properties" ]; then return 0; fi
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
    if ! (run_java 128m tool.log4j2.properties kafka.tools.StorageTool \
        format "--cluster-id=$id" --config "$data/server.properties") >"$data/console.log" 2>&1; then
        die "Kafka refused to format $data:
$(tail -n 5 "$data/console.log" | cut -c1-400)"
    fi
}

# A process group of its own keeps it from the terminal's Ctrl-C, and no stream of ours may stay open in
# it: who started us would wait for its end.
launch() (
    learn=()
    rm -f "$data/classes.jsa" # from a broker that was killed while it wrote it
    if [ ! -f "$archive" ]; then learn=(-XX:ArchiveClassesAtExit="$data/classes.jsa"); fi
    if [ -f "$data/broker.log" ]; then mv "$data/broker.log" "$data/previous.log"; fi
    set -m
    trap '' HUP
    run_java 512m broker.log4j2.properties "-Dkafka.log=$data/broker.log" \
        ${learn[@]+"${learn[@]}"} kafka.Kafka "$data/server.properties" >"$data/console.log" 2>&1 </dev/null &
    echo $! >"$data/pid"
)

last_words() {
    local cause
    cause=$(grep -hE 'FATAL|ERROR|Exception|Error' "$data/broker.log" "$data/console.log" 2>/dev/null |
        tail -n 5 | cut -c1-300) || true
    echo "${cause:-It left no error.}
More in $data/broker.log and console.log"
}

# Answers come a moment before the broker is in its own metadata, which its log tells.
await_answer() {
    local pid=$1 deadline=$((SECONDS + start_seconds))
    until grep -qs 'Kafka Server started' "$data/broker.log" && answers "$port"; do
        if has_ended "$pid"; then
            die "the broker on port $port died while it started:
$(last_words)"
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            kill -KILL "$pid"
            die "the broker on port $port did not answer within $start_seconds s, and was killed:
$(last_words)"
        fi
        sleep 0.1
    done
}

check_port() {
    local who="a program that is not Kafka"
    if ! listens "$port"; then return 0; fi
    if answers "$port"; then who="another Kafka broker"; fi
    die "port $port is taken by $who. Choose another with --port."
}

# A broker that runs is left as it is, so it must be what was asked for.
check_running() {
    local pid=$1 setting running
    running=$(cat "$data/port")
    [ "$running" = "$port" ] || die "the broker of $data runs on port $running: stop it first, or leave --port out"
    if is_paused "$pid"; then die "the broker on port $port is paused: dev/kafka resume$options"; fi
    for setting in ${settings[@]+"${settings[@]}"}; do
        grep -qxF -- "$setting" "$data/server.properties" ||
            die "the broker on port $port runs without $setting: stop it first"
    done
}

start_locked() {
    local pid
    if pid=$(running_pid); then
        check_running "$pid"
        say "already running, pid $pid"
    else
        check_port
        echo "$port" >"$data/port"
        write_properties >"$data/server.properties"
        format_data
        echo "$archive" >"$data/archive"
        launch
        pid=$(cat "$data/pid")
    fi
    await_answer "$pid"
}

# The first broker that is stopped leaves the classes that it loaded, parsed and checked. With them a
# start takes half the time.
keep_archive() {
    local new archive
    if [ ! -f "$data/classes.jsa" ]; then return 0; fi
    archive=$(cat "$data/archive")
    new=$(mktemp "$archive.XXXXXX") # in the same directory, so that no start sees half of it
    cp "$data/classes.jsa" "$new"
    mv -f "$new" "$archive"
    rm -f "$data/classes.jsa"
}

stopped() { keep_archive; }

status() {
    local pid
    if ! pid=$(running_pid); then
        echo "stopped, data in $data"
        return 1
    elif is_paused "$pid"; then
        echo "paused, pid $pid, 127.0.0.1:$port, data in $data"
        return 1
    elif ! answers "$port"; then
        echo "not answering, pid $pid, 127.0.0.1:$port, data in $data"
        return 1
    fi
    echo "running, pid $pid, 127.0.0.1:$port, data in $data"
}
