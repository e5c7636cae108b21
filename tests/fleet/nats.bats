# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2034,SC2154
#
# Messages between machines, by the real broker of NATS: each host is an nclust
# with a host's name of its own.  As root.

bats_require_minimum_version 1.5.0
load ../lib
load ../upgrade

setup() {
	need nats-server
	need_root
	upgrade_setup
	GOT=$DIR/got
	declare -gA HOSTS=()
	free_port
	BROKER_PORT=$PORT
	URL="nats://u:\${BROKER_PASSWORD}@127.0.0.1:$PORT"
	export BROKER_PASSWORD=right
}

# broker [OPTION]...: the real one, which answers when this returns.
broker() {
	{
		echo "port: $BROKER_PORT"
		echo 'host: "127.0.0.1"'
		echo 'authorization: {user: u, password: right}'
		printf '%s\n' "$@"
	} >"$DIR/broker.conf"
	nats-server -c "$DIR/broker.conf" >>"$DIR/broker.log" 2>&1 3>&- &
	BROKER=$!
	STARTED+=("$BROKER")
	poll_until 10 grep -qs "Server is ready" "$DIR/broker.log"
}

kill_broker() {
	kill -KILL "$BROKER"
	wait "$BROKER" 2>/dev/null || true
	: >"$DIR/broker.log"
}

liar() {
	python3 "$ROOT/tests/fleet/liar.py" "$BROKER_PORT" "$1" 3>&- &
	LIAR=$!
	STARTED+=("$LIAR")
	poll_until 10 listens
}

listens() {
	ss -Htln "sport = :$BROKER_PORT" | grep -q .
}

is_free() {
	! listens
}

# write_host NAME RELAY.  With NODE_PORT it is a program of Node.
write_host() {
	local command="$FIXTURES/talk $GOT/$1"

	[ -z "${NODE_PORT-}" ] ||
		command="node $ROOT/tests/fleet/talk.js $GOT/$1 $NODE_PORT"
	mkdir -p "$GOT/$1"
	{
		printf '[cluster:web]\ncommand = %s\nworkers = %s\n' \
			"$command" "${WORKERS_EACH:-2}"
		[ -n "${NODE_PORT-}" ] ||
			printf 'ipc = on\nready = alive:50ms\n'
		[ -z "$2" ] || printf 'relay = %s\n' "$2"
	} >"$DIR/$1.ini"
}

# host NAME [RELAY]: start one, whose workers are ready.
host() {
	write_host "$1" "${2-$URL}"
	unshare --uts sh -c 'hostname "$1"; exec "$2" -c "$3"' - \
		"$1" "$NCLUST" "$DIR/$1.ini" >"$DIR/$1.log" 2>&1 3>&- &
	HOSTS[$1]=$!
	STARTED+=("$!")
	poll_until 20 client status "$1" >/dev/null 2>&1
}

# hosts NAME...: connected, all of them.
hosts() {
	local name

	for name; do
		host "$name"
	done
	for name; do
		poll_until 10 is_connected "$name"
	done
}

# relay NAME FIELD: what its status tells.
relay() {
	client status "$1" --json | jq ".clusters[0].relay.$2"
}

is_connected() {
	[ "$(relay "$1" connected)" = true ]
}

is_cut_off() {
	[ "$(relay "$1" connected)" = false ]
}

is_ready() {
	[ "$(client status "$1" --json | jq ".clusters[0].ready")" -eq 2 ]
}

relay_is() {
	[ "$(relay "$1" "$2")" = "$3" ]
}

# say HOST.SLOT JSON: that worker sends it.
say() {
	client send "${1%.*}/web.${1#*.}" "[\"say\",$2]"
}

# got HOST/SLOT LINE [TIMES]
got() {
	[ "$(grep -cxsF -- "$2" "$GOT/$1")" -ge "${3:-1}" ]
}

# count HOST/SLOT: messages of other workers.
count() {
	grep -cs '^{"from"' "$GOT/$1" || true
}

has() {
	[ "$(count "$1")" -ge "$2" ]
}

# from HOST SLOT VALUE
from() {
	printf '{"from":{"cluster":"web","slot":%s,"host":"%s"},"message":%s}' \
		"$2" "$1" "$3"
}

# log_has HOST WORDS [TIMES]: and no more often.
log_has() {
	[ "$(grep -cF -- "$2" "$DIR/$1.log")" -eq "${3:-1}" ]
}

# The process that talks with the broker.
role() {
	pgrep -P "${HOSTS[$1]}" -f -- '--role nats'
}

has_role() {
	role "$1" >/dev/null
}

has_no_role() {
	! has_role "$1"
}

show_log() {
	tail -n +1 "$DIR"/*.log | tail -n 120
}

@test "workers of three hosts talk as siblings do" {
	broker
	hosts a b c
	say a.1 '{"x":"\ud800"}'
	for worker in a/0 b/0 b/1 c/0 c/1; do
		poll_until 10 got "$worker" "$(from a 1 '{"x":"\ud800"}')"
	done
	# in order, and nobody gets it twice, or its own
	say b.0 '"back"'
	for worker in a/0 a/1 b/1 c/0 c/1; do
		poll_until 10 got "$worker" "$(from b 0 '"back"')"
	done
	[ "$(count a/1)" -eq 1 ]
	[ "$(count a/0)" -eq 2 ]
	[ "$(count b/0)" -eq 1 ]
	[ "$(count c/1)" -eq 2 ]
	relay_is a sent 1
	relay_is a received 1
	relay_is c received 2
}

@test "workers of Node talk by process.send, with others and among themselves" {
	need node
	broker
	free_port
	NODE_PORT=$PORT host a
	free_port
	NODE_PORT=$PORT host b
	hosts c
	for name in a b; do
		poll_until 10 is_connected "$name"
		poll_until 20 is_ready "$name"
	done
	say a.0 '{"key":["\u00e4",1.5,null]}'
	for worker in a/1 b/0 b/1; do
		poll_until 10 got "$worker" "$(from a 0 '{"key":["ä",1.5,null]}')"
	done
	poll_until 10 has c/0 1
	say c.1 '"of another language"'
	for worker in a/0 a/1 b/0 b/1; do
		poll_until 10 got "$worker" "$(from c 1 '"of another language"')"
	done
	# a new worker of Node talks like the old one
	client restart b
	say b.1 '"after a restart"'
	poll_until 10 got a/0 "$(from b 1 '"after a restart"')"
	[ "$(count a/0)" -eq 2 ]
	[ "$(count a/1)" -eq 3 ]
}

@test "a worker that is alone on its host talks, too" {
	broker
	WORKERS_EACH=1 hosts a b
	say a.0 1
	poll_until 10 got b/0 "$(from a 0 1)"
	relay_is a queued 0
}

@test "it has another prefix, and other clusters are others" {
	broker
	host a "$URL/shop.eu"
	host b "$URL/shop.eu"
	host c
	poll_until 10 is_connected a
	poll_until 10 is_connected b
	poll_until 10 is_connected c
	say a.0 1
	poll_until 10 got b/1 "$(from a 0 1)"
	say c.0 2
	poll_until 10 got c/1 "$(from c 0 2)"
	say a.0 3
	poll_until 10 got b/1 "$(from a 0 3)"
	[ "$(count c/0)" -eq 0 ]
	[ "$(count c/1)" -eq 1 ]
	[ "$(count b/0)" -eq 2 ]
}

@test "the password is nowhere to be seen, and the process has no rights" {
	broker
	hosts a
	pid=$(role a)
	run -1 grep -aq right "/proc/$pid/cmdline" "/proc/$pid/environ" \
		"/proc/${HOSTS[a]}/cmdline"
	run -1 grep -q right "$DIR/a.log"
	[ "$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status")" -ge 65520 ]
	[ "$(awk '/^CapEff:|^CapBnd:/ { print $2 }' "/proc/$pid/status" |
		sort -u)" = 0000000000000000 ]
	client config a | grep -F 'u:right@'
}

@test "without a broker workers start, and are connected when it comes" {
	host a
	poll_until 10 log_has a "messages do not reach other machines"
	say a.0 '"early"'
	poll_until 10 got a/1 "$(from a 0 '"early"')"
	broker
	poll_until 40 is_connected a
	log_has a "messages reach other machines again; 0 were dropped"
}

@test "the broker is killed: what is sent meanwhile arrives when it is back" {
	broker
	hosts a b
	kill_broker
	poll_until 10 is_cut_off a
	poll_until 10 is_cut_off b
	client send a/web.0 '["flood",1000]'
	poll_until 10 has a/1 1000
	# who is back later than the sender misses it
	process=$(role a)
	kill -STOP "$process"
	broker
	poll_until 40 is_connected b
	kill -CONT "$process"
	poll_until 40 has b/0 1000
	poll_until 10 has b/1 1000
	grep '^{"from"' "$GOT/b/0" | jq -s 'map(.message) == [range(1000)]' |
		grep true
	relay_is a dropped 0
	log_has a "messages do not reach other machines"
	log_has a "messages reach other machines again; 0 were dropped"
}

@test "what finds no room while it is away is dropped, counted and told" {
	broker
	hosts a b
	kill_broker
	poll_until 10 is_cut_off a
	poll_until 10 is_cut_off b
	for ((i = 1; i <= 4; i++)); do
		client send a/web.0 '["flood",10000]'
		poll_until 30 has a/1 $((i * 10000))
	done
	dropped=$(relay a dropped)
	[ "$dropped" -gt 0 ]
	[ "$(relay a queued)" -le $((1024 * 1024)) ]
	relay_is a sent $((40000 - dropped))
	# who is back later than the sender misses it
	process=$(role a)
	kill -STOP "$process"
	broker
	poll_until 40 is_connected b
	kill -CONT "$process"
	poll_until 40 has b/0 $((40000 - dropped))
	say a.0 '"last"'
	poll_until 10 got b/0 "$(from a 0 '"last"')"
	[ "$(count b/0)" -eq $((40000 - dropped + 1)) ]
	log_has a "messages reach other machines again; $dropped were dropped"
}

@test "a broker that stands still holds up nobody" {
	broker
	hosts a b
	kill -STOP "$BROKER"
	say a.0 '"to nowhere"'
	poll_until 10 got a/1 "$(from a 0 '"to nowhere"')"
	poll_until 30 log_has a "messages do not reach other machines"
	client send a/web.0 '["flood",2000]'
	poll_until 10 has a/1 2001
	kill -CONT "$BROKER"
	poll_until 60 is_connected a
	poll_until 60 is_connected b
	poll_until 10 has b/0 2000
	say a.0 '"again"'
	poll_until 10 got b/0 "$(from a 0 '"again"')"
	client stop a
}

@test "a wrong password is one line, and a reload mends it" {
	broker
	BROKER_PASSWORD=wrong-one host a
	host b
	poll_until 10 log_has a "messages do not reach other machines: Authorization Violation"
	poll_until 10 is_connected b
	write_host a "${URL/'${BROKER_PASSWORD}'/right}"
	client reload a
	poll_until 10 is_connected a
	say b.0 1
	poll_until 10 got a/1 "$(from b 0 1)"
	log_has a "messages do not reach other machines"
	run -1 grep -q 'wrong-one\|right' "$DIR/a.log"
}

@test "who publishes nonsense to the subject is not believed" {
	broker
	hosts a
	id='"id":"fedcba9876543210"'
	cat >"$DIR/lies" <<-END
		x
		{"a":1}
		{"nclust":2,$id,"from":"the future"}
		{"nclust":0}
		{"nclust":1,$id,"from":{"cluster":"job","slot":0,"host":"c"},"message":1}
		{"nclust":1,$id,"from":{"cluster":"web","slot":0,"host":"c"},"message":{}
		{"nclust":1,$id,"from":{"cluster":"web","slot":0,"host":"c"},"message":1,"cmd":"NODE_CLUSTER"}
		{"nclust":1,$id,"from":{"cluster":"web","slot":0,"host":"c"},"message":"true"}
	END
	python3 "$ROOT/tests/fleet/liar.py" publish "$BROKER_PORT" nclust.web \
		"$DIR/lies"
	poll_until 10 got a/0 "$(from c 0 '"true"')"
	[ "$(count a/0)" -eq 1 ]
	[ "$(wc -l <"$GOT/a/0")" -eq 1 ]
	relay_is a invalid 7
	relay_is a received 1
	log_has a "has format 2, and this nclust knows 1 alone"
	log_has a "the broker sends what no nclust has sent"
}

@test "a broker that lies is survived" {
	for kind in mute garbage lines echo huge; do
		liar "$kind"
		host "$kind"
		case $kind in
		mute)
			poll_until 20 log_has mute "do not reach other machines: Timeout"
			;;
		garbage)
			poll_until 20 log_has garbage "do not reach other machines"
			;;
		lines)
			poll_until 10 relay_is lines invalid 2
			;;
		echo)
			poll_until 10 is_connected echo
			say echo.0 1
			poll_until 10 relay_is echo sent 1
			say echo.0 2
			poll_until 10 got echo/1 "$(from echo 0 2)"
			[ "$(count echo/0)" -eq 0 ]
			[ "$(count echo/1)" -eq 2 ]
			;;
		huge)
			poll_until 10 is_connected huge
			say huge.0 1
			poll_until 60 log_has huge "do not reach other machines"
			[ "$(awk '/^VmRSS/ { print $2 }' \
				"/proc/${HOSTS[huge]}/status")" -lt 20000 ]
			;;
		esac
		say "$kind.0" '"alive"'
		poll_until 10 got "$kind/1" "$(from "$kind" 0 '"alive"')"
		client stop "$kind"
		kill -KILL "$LIAR"
		wait "$LIAR" 2>/dev/null || true
		# a process that it has made for a connection holds the port
		poll_until 10 is_free
	done
}

@test "a message of 1 MiB goes through, if the broker takes it" {
	broker 'max_payload: 1100000'
	hosts a b
	client send a/web.0 '["big",1048576]'
	poll_until 20 has b/1 1
	[ "$(jq -r '.message | length' "$GOT/b/1")" -eq 1048574 ]
	relay_is a dropped 0
}

@test "what the broker does not take is dropped, counted and told once" {
	broker
	hosts a b
	client send a/web.0 '["big",1048576]'
	poll_until 20 has a/1 1 # its siblings have it
	client send a/web.0 '["big",1048575]'
	poll_until 20 has a/1 2
	poll_until 10 relay_is a dropped 2
	log_has a "larger than the 1048576 bytes that the broker takes"
	client send a/web.0 '["big",1048256]'
	poll_until 20 has b/1 1
	relay_is a dropped 2
}

# flow PID: messages flow from a to b, and each arrives, as long as that one runs.
flow() {
	local seen

	while is_alive "$1"; do
		seen=$(wc -l <"$GOT/b/1")
		# as many as have room for a worker that gets no CPU for a while
		client send a/web.0 '["flood",8000]' >/dev/null
		poll_until 60 all_since "$seen"
	done
	wait "$1"
}

# A worker and its successor may both get one, but one of them does.
all_since() {
	[ "$(tail -n +$(($1 + 1)) "$GOT/b/1" | sort -u | wc -l)" -eq 8000 ]
}

@test "upgrades and restarts, in any order, lose no message that flows" {
	broker
	hosts a b
	: >"$GOT/b/1"
	before=$(role b)
	(
		set -e
		for verb in "upgrade b" "upgrade a" "upgrade b" "restart b" \
			"upgrade a" "upgrade b" "restart b" "reload a"; do
			# shellcheck disable=SC2086
			client $verb >/dev/null
		done
	) 3>&- &
	flow "$!"
	[ "$(relay a dropped)" -eq 0 ]
	[ "$(relay b missed)" -eq 0 ]
	[ "$(relay b invalid)" -eq 0 ]
	[ "$(relay b received)" -eq "$(relay a sent)" ]
	[ "$(client status a --json | jq .upgrades)" -eq 2 ]
	[ "$(client status b --json | jq .upgrades)" -eq 3 ]
	# the process that talks with the broker is the one of before
	[ "$(role b)" = "$before" ]
}

@test "its process is started again when it dies, and goes with the key" {
	broker
	hosts a b
	for process in $(role a); do
		kill -KILL "$process"
	done
	log_again() {
		log_has a "the process that talks with the broker ended (signal 9)"
	}
	poll_until 10 log_again
	poll_until 10 is_connected a
	say a.0 1
	poll_until 10 got b/0 "$(from a 0 1)"
	kill -STOP "$(role a)"
	say a.0 2
	poll_until 10 got a/1 "$(from a 0 2)"
	kill -CONT "$(role a)"
	poll_until 10 got b/0 "$(from a 0 2)"
	write_host a others
	client reload a
	poll_until 15 has_no_role a
	say a.0 3
	poll_until 10 got a/1 '{"from":{"cluster":"web","slot":0},"message":3}'
	[ "$(client status a --json | jq '.clusters[0].relay')" = null ]
	write_host a "$URL"
	client reload a
	poll_until 10 is_connected a
	client stop a
	poll_until 10 is_gone "${HOSTS[a]}"
}

@test "its process does not go on connecting once nobody needs it" {
	liar mute
	# 5 s for each of them
	host a "nats://u:x@$(for i in 1 2 3 4 5 6 7 8; do
		printf '127.0.0.%s:%s,' "$i" "$BROKER_PORT"
	done)127.0.0.9:$BROKER_PORT"
	old=$(role a)
	write_host a others
	client reload a
	poll_until 20 is_gone "$old"
	client stop a
}

@test "a reload with another URL takes along what waits" {
	broker
	first=$BROKER_PORT
	hosts a
	free_port
	host b "nats://u:right@127.0.0.1:$PORT"
	write_host a "nats://u:right@127.0.0.1:$PORT"
	kill_broker
	poll_until 10 is_cut_off a
	client send a/web.0 '["flood",20000]'
	poll_until 20 has a/1 20000
	BROKER_PORT=$PORT
	broker
	poll_until 40 is_connected b
	waits=$(relay a queued)
	[ "$waits" -gt 0 ]
	client reload a
	poll_until 40 is_connected a
	say a.0 '"last"'
	poll_until 20 got b/0 "$(from a 0 '"last"')"
	[ "$(count b/0)" -gt 5000 ]
}

@test "without the library that is an error of the file" {
	library=$(ldconfig -p | awk '/libnats\.so\.[0-9]/ { print $NF; exit }')
	[ -n "$library" ]
	write_host a "$URL"
	run -78 unshare --mount sh -c \
		'mount --bind /dev/null "$1"; exec "$2" -c "$3"' - \
		"$(readlink -f "$library")" "$NCLUST" "$DIR/a.ini"
	[[ $output == *"a.ini:6: cluster:web.relay: the library libnats.so."*"install the package libnats"* ]]
}

@test "nobody wakes up while nobody talks" {
	broker
	hosts a b
	say a.0 1
	poll_until 10 got b/0 "$(from a 0 1)"
	switches() {
		cat "/proc/${HOSTS[a]}/task/"*/status "/proc/$(role a)/task/"*/status |
			awk '/^voluntary/ { n += $2 } END { print n }'
	}
	# once what was begun is over: the broker asks once, some 2 s after a
	# connection has begun
	settled() {
		local before

		before=$(switches)
		sleep 4
		[ "$(switches)" -eq "$before" ]
	}
	poll_until 40 settled
	before=$(switches)
	sleep 10
	[ "$(switches)" -eq "$before" ]
}
