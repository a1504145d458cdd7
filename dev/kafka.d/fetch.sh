# shellcheck shell=bash
# Brings the pinned jars of Kafka into the cache. Sourced by dev/kafka.
#
# Maven downloads them, several at a time, with whatever proxy and mirror it is set up for. Where they
# came from is of no matter: a jar enters the cache only with the sum that is pinned for it.

jars=$root/dev/kafka.d/jars
version=$(sed -n 's/.* org.apache.kafka:kafka-clients://p' "$jars")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/headwater/kafka
lib=$cache/$version
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

# The pins: a sum, a group, an artifact, a version a line.
pins() { sed -n 's/^\([0-9a-f]\{64\}\)  \(.*\):\(.*\):\(.*\)$/\1 \2 \3 \4/p' "$jars"; }

# The pins whose jars are not in the cache.
missing_pins() {
    local sum group artifact revision
    pins | while read -r sum group artifact revision; do
        [ -f "$lib/$artifact-$revision.jar" ] || echo "$sum $group $artifact $revision"
    done
}

class_path() { pins | while read -r _ _ artifact revision; do printf '%s:' "$lib/$artifact-$revision.jar"; done; }

# A project that depends on exactly the missing jars, since what they depend on is pinned too.
write_project() {
    local group artifact revision
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo '<groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>'
    echo '<dependencies>'
    missing_pins | while read -r _ group artifact revision; do
        echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$revision</version>"
        echo '<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>'
        echo '</dependency>'
    done
    echo '</dependencies></project>'
}

write_settings() {
    case $MAVEN_REPO in
    *[\<\>\&]* | *[[:space:]]*) die "MAVEN_REPO is no plain URL: $MAVEN_REPO" ;;
    https://* | file://*) ;;
    *) die "MAVEN_REPO must begin with https:// or file://, and is $MAVEN_REPO" ;;
    esac
    echo '<settings><mirrors><mirror><id>MAVEN_REPO</id><mirrorOf>*</mirrorOf>'
    echo "<url>$MAVEN_REPO</url></mirror></mirrors></settings>"
}

# download DIR: has Maven put the missing jars into a repository of ours, so that none comes from a
# cache that we do not look after. It goes on where a try before left off, and asks again (-U) for what failed there.
download() {
    local maven=(mvn -B -q -ntp -U -Dstyle.color=never -f "$1/pom.xml" "-Dmaven.repo.local=$1/repository"
        # Minutes, without these, until a dead server is noticed: the first in Maven 3.8, the others later.
        -Dmaven.wagon.rto=60000 -Daether.connector.connectTimeout=10000 -Daether.connector.requestTimeout=60000)
    command -v mvn >/dev/null || die_without "Maven, which downloads Kafka" maven maven maven
    mkdir -p "$1"
    write_project >"$1/pom.xml"
    if [ -n "${MAVEN_REPO:-}" ]; then
        write_settings >"$1/settings.xml"
        maven+=(-s "$1/settings.xml")
    fi
    "${maven[@]}" "$plugin:resolve" >"$1/log" 2>&1 </dev/null
}

# Maven's first error, from the last "Could not" on: which file, from where, and why. Colours may precede it.
why_not_downloaded() {
    sed -n 's/^.*\[ERROR\] \(.\)/\1/p' "$1/log" | head -n 1 |
        sed 's/.*\(Could not \)/\1/; s/ -> \[Help.*//' | cut -c1-400
}

sha256() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1; }

# accept DIR: moves the jars that have the pinned sum into the cache, and removes the others.
accept() {
    local sum group artifact revision jar found wrong=""
    mkdir -p "$lib"
    while read -r sum group artifact revision; do
        jar=$1/repository/$(echo "$group" | tr . /)/$artifact/$revision/$artifact-$revision.jar
        [ -f "$jar" ] || continue
        found=$(sha256 "$jar")
        if [ "$found" = "$sum" ]; then
            mv "$jar" "$lib/"
        else
            rm -r "$(dirname "$jar")"
            wrong="$wrong
  $artifact-$revision.jar: $found instead of $sum"
        fi
    done < <(missing_pins)
    [ -z "$wrong" ] || die "downloaded, but with another SHA-256 than $jars pins, and so removed:$wrong
Try again. If it stays so, the repository serves other files: name another one with MAVEN_REPO=https://…"
}

fetch_missing() {
    local work=$cache/$version.download count
    count=$(missing_pins | wc -l)
    if [ "$count" -eq 0 ]; then return 0; fi # another process was quicker
    say "downloading Kafka $version: $((count)) jars, once, to $lib"
    if ! download "$work"; then
        die "cannot download Kafka $version: $(why_not_downloaded "$work")
Look at the network, and at the proxy in ~/.m2/settings.xml, or name a mirror with MAVEN_REPO=https://…
Without a network: copy $lib from a machine that has it. All that Maven said: $work/log"
    fi
    accept "$work"
    count=$(missing_pins | wc -l)
    [ "$count" -eq 0 ] || die "Maven downloaded without an error, and yet there is none of: $(missing_pins)"
    rm -r "$work"
}

fetch() {
    if [ -z "$(missing_pins)" ]; then return 0; fi
    mkdir -p "$cache"
    lock "$cache/$version.lock"
    fetch_missing
    unlock
}
