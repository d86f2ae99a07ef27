# The words that systemd/verify uses inside the container; sourced there by bash.
config=/etc/tokenweir/tokenweir.yaml
url=http://127.0.0.1:8080/v1/chat/completions

# Two resources: one knows the key of the environment, the other the key of LoadCredential=. `slow` streams ten tokens a
# second, as many as the request wants.
configure() {
  cat >/opt/environment.json <<'JSON'
{ "name": "environment", "kind": "azure", "port": 8101, "api_keys": ["key-of-environment"], "deployments": [
  { "name": "fast", "model": "gpt-4o" },
  { "name": "slow", "model": "gpt-4o", "behaviour": { "tokens_per_second": 10, "answer_tokens": 1000 } } ] }
JSON
  cat >/opt/credential.json <<'JSON'
{ "name": "credential", "kind": "azure", "port": 8102, "api_keys": ["key-of-credential"], "deployments": [
  { "name": "credential", "model": "gpt-4o" } ] }
JSON
  systemd-run --quiet --unit=upstream-1 /opt/simulator --config /opt/environment.json
  systemd-run --quiet --unit=upstream-2 /opt/simulator --config /opt/credential.json
  cat >$config <<'YAML'
version: 1
open: true
listen: [{ address: 127.0.0.1:8080 }]
admin: { address: 127.0.0.1:9090, socket: /run/tokenweir/admin.sock }
credentials:
  environment: { api_key: { env: KEY_OF_ENVIRONMENT } }
  credential: { api_key: { credential: key } }
endpoints:
  environment:
    url: http://127.0.0.1:8101
    credential: environment
    deployments:
      fast: { deployment: fast }
      slow: { deployment: slow }
  credential:
    url: http://127.0.0.1:8102
    credential: credential
    deployments: { credential: {} }
YAML
  echo KEY_OF_ENVIRONMENT=key-of-environment >>/etc/tokenweir/environment
  (umask 077 && echo key-of-credential >/etc/tokenweir/credentials/key)
  drop_in credential LoadCredential=key:/etc/tokenweir/credentials/key
  systemctl restart tokenweir
}

# drop_in NAME LINE: of the section [Service].
drop_in() {
  mkdir -p /etc/systemd/system/tokenweir.service.d
  printf '[Service]\n%s\n' "$2" >"/etc/systemd/system/tokenweir.service.d/$1.conf"
  systemctl daemon-reload
}

# Fails without one: `kill 0` would hit this side.
main_pid() { systemctl show --property=MainPID --value tokenweir | grep -vx 0; }
restarts() { systemctl show --property=NRestarts --value tokenweir; }
processes() { pgrep -cx tokenweir || true; }

# `set -e` overlooks a failing `! command`; these it does not.
fails() { if "$@" 2>/dev/null; then return 1; fi; }
nothing() { if grep .; then return 1; fi; }

# within MILLISECONDS COMMAND...: until it succeeds; prints how long that took.
within() {
  local limit=$1 begin=${EPOCHREALTIME/./} took
  shift
  until "$@" >/dev/null 2>&1; do
    took=$(((${EPOCHREALTIME/./} - begin) / 1000))
    if [ "$took" -gt "$limit" ]; then
      echo "not within $limit ms: $*"
      return 1
    fi
    sleep 0.01
  done
  echo "$(((${EPOCHREALTIME/./} - begin) / 1000)) ms"
}

# ask MODEL [QUERY]: prints the status and curl's own exit code.
ask() {
  curl --silent --max-time 10 --output /dev/null --write-out '%{http_code} %{exitcode}\n' \
    --json "{\"model\":\"$1\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}" "$url${2:-}" || true
}
serves() { [ "$(ask "$1")" = "200 0" ]; }

# stream NAME TOKENS: starts one and returns when it flows.
stream() {
  (
    code=0
    curl --silent --no-buffer --max-time 100 "$url" --json "{\"model\":\"slow\",\"stream\":true,\"max_tokens\":$2,
      \"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}" || code=$?
    echo "curl: $code"
  ) >"/run/stream.$1" 2>&1 </dev/null &
  within 5000 grep -q ^data: "/run/stream.$1" >/dev/null
}
streaming() { [ -s "/run/stream.$1" ] && ! grep -q ^curl: "/run/stream.$1"; }
stream_ended() {
  grep -qF 'data: [DONE]' "/run/stream.$1" && grep -q '^curl: 0' "/run/stream.$1" || {
    tail -n 3 "/run/stream.$1"
    return 1
  }
}

# Requests until load_end, from three loops with a connection each time and one that keeps its connection.
load_begin() {
  rm -f /run/load.stop
  : >/run/load
  load=()
  for query in '' '' '' '?n=[1-100]'; do
    (until [ -e /run/load.stop ]; do ask fast "$query" >>/run/load; done) >/dev/null 2>&1 </dev/null &
    load+=($!)
  done
  sleep 0.3
}
# load_end [none-refused]: with it, what a crash cut is no failure, as long as every connection was accepted.
load_end() {
  touch /run/load.stop
  wait "${load[@]}"
  sort /run/load | uniq --count | sort --reverse --numeric-sort
  local failed
  failed=$(grep -vc '^200 0$' /run/load || true)
  echo "$(wc -l </run/load) requests, $failed failed"
  case ${1:-} in
  none-refused) fails grep -q ' 7$' /run/load ;;
  *) [ "$failed" = 0 ] ;;
  esac
}

# hand_over signal|command
hand_over() {
  local before
  before=$(main_pid)
  case $1 in
  signal) systemctl kill --signal=USR2 --kill-who=main tokenweir ;;
  command) tokenweir upgrade ;;
  esac
  within 5000 eval "[ \$(main_pid) != $before ]"
  systemctl is-active tokenweir >/dev/null
}
