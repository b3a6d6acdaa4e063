#!/bin/bash
# Cuts the network between source and daemon, both directions, and heals it: Tests/Booted/network.bash BINARIES
#
# BINARIES is the folder of df2redis, dragonfly-sim and df2redis-lab. Two network namespaces with a cable between them,
# and nftables that drop at the source's end. The daemon runs in the foreground, as an operator starts it.
# shellcheck disable=SC2317  # functions are called by name
set -u -o pipefail
# shellcheck source=Tests/Booted/scene.bash
source "$(dirname "$0")/scene.bash"

scene_binaries "${1:?usage: $0 BINARIES}"
[ "$(id -u)" = 0 ] || { echo "network: must be root" >&2; exit 1; }
for tool in ip nft redis-server; do
    command -v "$tool" >/dev/null || { echo "network: no $tool here" >&2; exit 1; }
done

folder=$(mktemp -d "${TMPDIR:-/tmp}/df2redis-network.XXXXXX")
far=df2far$$    # the source's host
near=df2near$$  # the daemon's and the target's
pids=()

end() {
    local pid
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
    wait
    ip netns delete "$far" 2>/dev/null
    ip netns delete "$near" 2>/dev/null
    rm -rf -- "$folder"
}
trap end EXIT

ip netns add "$far" && ip netns add "$near" || exit 1
ip link add "far$$" netns "$far" type veth peer name "near$$" netns "$near" || exit 1
ip -n "$far" address add 10.99.0.1/24 dev "far$$"
ip -n "$near" address add 10.99.0.2/24 dev "near$$"
for namespace in "$far" "$near"; do
    ip -n "$namespace" link set lo up
    ip -n "$namespace" link set "${namespace#df2}" up 2>/dev/null
done
ip -n "$far" link set "far$$" up
ip -n "$near" link set "near$$" up

cut() {
    ip netns exec "$far" nft -f - <<'END'
table inet cut {
    chain input { type filter hook input priority 0; policy drop; iif lo accept; }
    chain output { type filter hook output priority 0; policy drop; oif lo accept; }
}
END
}
heal() { ip netns exec "$far" nft delete table inet cut; }

# start NAMESPACE NAME COMMAND...: in the background, its output in NAME.log, its id in $started
start() {
    local namespace=$1 name=$2
    shift 2
    ip netns exec "$namespace" "$@" >"$folder/$name.log" 2>&1 </dev/null &
    started=$!
    pids+=("$started")
}
answers() { [ "$(ip netns exec "$near" redis-cli -h "$1" -p "$2" PING 2>/dev/null)" = PONG ]; }
says() { [ "$(grep -c -- "$2" "$folder/$1.log")" -ge "${3:-1}" ]; }
equal() {
    ip netns exec "$near" "$SCENE_BINARIES/df2redis-lab" compare 10.99.0.1:6379 127.0.0.1:6380 \
        >"$folder/compare.log" 2>&1
}

# scenario NAME LINE OPTION...: cuts once the daemon has said LINE, of a source with these options
scenario() {
    local name=$1 line=$2 source target daemon begin lost
    shift 2
    start "$near" target redis-server --port 6380 --save '' --appendonly no --dir "$folder"
    target=$started
    start "$far" source "$SCENE_BINARIES/dragonfly-sim" serve --port 6379 --all-addresses --shards 2 --live \
        --backlog 4000000 "$@"
    source=$started
    scene_wait 20 answers 127.0.0.1 6380 || exit 1
    scene_wait 60 answers 10.99.0.1 6379 || exit 1
    mkdir -p "$folder/$name"
    printf 'source:\n  addr: 10.99.0.1:6379\ntarget:\n  addr: 127.0.0.1:6380\nstateDir: %s\n' "$folder/$name" \
        >"$folder/$name.yaml"
    start "$near" "$name" "$SCENE_BINARIES/df2redis" replicate --config "$folder/$name.yaml"
    daemon=$started

    scene_wait 60 says "$name" "$line" || { cat "$folder/$name.log"; exit 1; }
    cut
    begin=$SECONDS
    scene_wait 60 says "$name" 'another attempt' || { cat "$folder/$name.log"; exit 1; }
    lost=$((SECONDS - begin))
    check "$name: the cut is noticed within 40 s ($lost s)" yes "$([ "$lost" -le 40 ] && echo yes || echo no)"
    sleep 3
    check "$name: the daemon goes on trying" 0 "$(kill -0 "$daemon" 2>/dev/null; echo $?)"
    heal
    scene_wait 60 says "$name" "$CONTINUES" "$CONTINUATIONS" || { cat "$folder/$name.log"; exit 1; }
    check "$name: the source is found again" 0 $?
    kill -USR1 "$source"
    scene_wait 60 equal || cat "$folder/compare.log"
    check "$name: source and target are equal" 0 "$(equal; echo $?)"
    kill -TERM "$daemon"
    wait "$daemon"
    check "$name: the daemon leaves with exit code 0" 0 $?
    # While the network is broken no FIN can arrive; the last session must end in order.
    check "$name: the last leave was complete" yes \
        "$(sed -n '/SIGTERM received/,$p' "$folder/$name.log" | grep -q "closed without" && echo no || echo yes)"
    [ "$SCENE_FAILURES" -eq 0 ] || cat "$folder/$name.log"
    kill -TERM "$source" "$target"
    wait "$source" "$target"
}

CONTINUES='resuming at the checkpoint' CONTINUATIONS=1 \
    scenario stable 'stable: following' --keys 2000 --write-rate 2000
CONTINUES='full sync done' CONTINUATIONS=1 \
    scenario full-sync 'full sync begins' --keys 400000 --size 500

scene_end
