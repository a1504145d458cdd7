# shellcheck shell=bash
# Finds a Java that can run Kafka. Sourced by dev/setup and dev/kafka.

java_minimum=17 # Kafka 4 asks for it

java_major() { "$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'; }

# Prints the path of the first Java that is new enough. The one on the path may be older than one that
# lies beside it, and on macOS it may be a stub that only says where to get Java.
find_java() {
    local java major
    for java in "${JAVA_HOME:-}/bin/java" "$(command -v java || true)" \
        {/usr/local,/opt/homebrew}/opt/openjdk/bin/java /usr/lib/jvm/*/bin/java; do
        if [ ! -x "$java" ]; then continue; fi
        major=$(java_major "$java")
        if [ "${major:-0}" -ge "$java_minimum" ]; then
            echo "$java"
            return 0
        fi
    done
    return 1
}
