# shellcheck shell=bash
# Processes that outlive the script that starts them, each known by the path of its data directory, and locks. Sourced by
# dev/kafka, dev/mail and dev/alertmanager, which bring `say`, `die`, `running_pid`, what runs ($what), its data ($data) and log
# ($log), and how long it may take to end ($stop_seconds).

# Whether a process is there. A dead one that nobody waited for yet has no command line.
command_line() {
    if [ -d /proc/self ]; then
        tr '\0' ' ' <"/proc/$1/cmdline"
    else
        ps -ww -o command= -p "$1"
    fi 2>/dev/null || true
}

# Whether a process has ended. While one becomes another program, it has no command line for a moment.
has_ended() {
    [ -z "$(command_line "$1")" ] || return 1
    sleep 0.5
    [ -z "$(command_line "$1")" ]
}

is_paused() {
    local state
    if [ -d /proc/self ]; then
        state=$(sed 's/.*) //' "/proc/$1/stat")
    else
        state=$(ps -o state= -p "$1")
    fi
    case $state in T*) return 0 ;; *) return 1 ;; esac
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# await_end PID SECONDS: whether it ended in time.
await_end() {
    local deadline=$((SECONDS + $2))
    while [ -n "$(command_line "$1")" ]; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

need_pid() { running_pid || die "no $what runs on $data"; }

# signal NAME: sends it to the process, which must be there.
signal() {
    local pid
    pid=$(need_pid)
    kill -"$1" "$pid"
}

end_by_kill() {
    local pid
    pid=$(need_pid)
    kill -KILL "$pid"
    # The next start needs its port and its lock on the data.
    await_end "$pid" "$stop_seconds" || die "pid $pid is still there $stop_seconds s after SIGKILL"
    rm -f "$data/pid"
}

# What is left to do after a clean stop.
stopped() { :; }

end_by_stop() {
    local pid
    if ! pid=$(running_pid); then
        say "no $what runs on $data"
        return 0
    fi
    kill -TERM "$pid"
    kill -CONT "$pid" # if it was paused
    if await_end "$pid" "$stop_seconds"; then
        rm -f "$data/pid"
        stopped
    else
        say "still there after $stop_seconds s, see $log: killing it"
        end_by_kill
    fi
}

# The process is known by the path of its data, so that must be spelt in one way.
canonical() {
    if [ -d "$1" ]; then
        (cd "$1" && pwd -P)
    else
        echo "$(canonical "$(dirname "$1")")/$(basename "$1")"
    fi
}

held="" # the lock that this process holds

unlock() {
    if [ -n "$held" ]; then rm -f "$held"; fi
    held=""
}
trap unlock EXIT

# lock FILE: waits for its turn. The link names who holds the lock, and appears in one step; one whose
# holder is gone is removed.
lock() {
    local holder deadline=$((SECONDS + 600))
    until ln -s $$ "$1" 2>/dev/null; do
        holder=$(readlink "$1" || true)
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then rm -f "$1"; fi
        [ "$SECONDS" -lt "$deadline" ] || die "waited 10 minutes for process ${holder:-?}, which holds $1"
        sleep 0.1
    done
    held=$1
}
