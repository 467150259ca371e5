#!/bin/sh
# Runs the example `jobs` with a Redis of its own, on a UNIX socket in a directory of its own, and
# takes both away at the end. Ctrl-C stops it.
set -eu
cd "$(dirname "$0")/../../.."
cargo build --quiet --example jobs
command -v redis-server >/dev/null || { echo "redis-server is not installed" >&2; exit 1; }

directory=$(mktemp -d)
socket="$directory/redis.socket"
# In a session of its own: Ctrl-C is for the daemon, which may still need its Redis to stop.
setsid redis-server --port 0 --unixsocket "$socket" --dir "$directory" --save '' --appendonly yes \
    --appendfsync always >"$directory/log" &
redis=$!
trap 'kill "$redis" || true; wait "$redis" || true; rm -r "$directory"' EXIT
# The daemon stops in order on these, and then this script does.
trap : INT TERM
until redis-cli -s "$socket" ping >/dev/null 2>&1; do
    kill -0 "$redis" || { cat "$directory/log" >&2; exit 1; }
    sleep 0.05
done

echo "Try:"
echo "  redis-cli -s $socket LPUSH jobs 'upper hello' 'sleep 2000' 'crash please'"
echo "  redis-cli -s $socket LRANGE jobs:done 0 -1"
echo "  redis-cli -s $socket LRANGE jobs:failed 0 -1"
echo "  redis-cli -s $socket --scan --pattern 'jobs:taken:*'"
"${CARGO_TARGET_DIR:-target}/debug/examples/jobs" "redis+unix://$socket" jobs
