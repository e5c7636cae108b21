# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# Three hosts behind the real HAProxy, at 300 requests a second: rolled host by host,
# one killed, one cut off.

bats_require_minimum_version 1.5.0
load fleet

# start_haproxy [LINE...]: before all hosts, with lines of its backend in addition.
start_haproxy() {
	local host

	need haproxy
	{
		cat <<-E
			global
			    stats socket $DIR/haproxy.sock mode 600 level admin
			defaults
			    mode ${MODE:-http}
			    retries 3
			    option redispatch 1
			    timeout connect 1s
			    timeout client 30s
			    timeout server 5s
			frontend web
			    bind $(address lb):8000
			    default_backend hosts
			backend hosts
		E
		printf '    %s\n' "$@"
		for host in "${HOSTS[@]}"; do
			echo "    server $host $(address "$host"):8000" \
				"check inter 500 fall 2" \
				"agent-check agent-port 9101 agent-inter 500 ${SEND:-}"
		done
	} >"$DIR/haproxy.cfg"
	run_on lb "$DIR/haproxy.log" haproxy -db -f "$DIR/haproxy.cfg"
	poll_until 20 is_up "${HOSTS[@]}"
}

haproxy_says() {
	socat -t 5 - "UNIX:$DIR/haproxy.sock" <<<"$1" 2>/dev/null
}

# stat_of HOST FIELD: of its line in `show stat`, by the field's name.
stat_of() {
	haproxy_says "show stat" | awk -F, -v host="$1" -v field="$2" '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
		$2 == host { print $at[field] }'
}

# is_up HOST...: does each get the full weight?
is_up() {
	local host

	for host in "$@"; do
		[ "$(stat_of "$host" status)" = UP ] &&
			[ "$(stat_of "$host" agent_status)" = L7OK ] || return 1
	done
}

is_in_state() {
	[[ $(stat_of "$1" status) == "$2"* ]]
}

# start_hosts [COMMAND...]
start_hosts() {
	local host

	[ $# -gt 0 ] || set -- "$FIXTURES/serve" --notify
	for host in "${HOSTS[@]}"; do
		start_host "$host" -n 2 -l 0.0.0.0:8000 --agent 9101 -- "$@"
	done
}

# roll_all COUNT: host by host, under a load that has COUNT answers at least.
roll_all() {
	local total=0 host

	start_haproxy
	run_load short "$(address lb):8000" --rate 200
	run_load keep "$(address lb):8000" --rate 200 --mode keep
	for host in "${HOSTS[@]}"; do
		at "$host" drain --timeout 30s
		is_in_state "$host" DRAIN
		at "$host" restart
		at "$host" undrain --timeout 30s
		is_up "$host"
	done
	# as long as it takes for as many as are wanted
	poll_until 60 enough "$1"
	for load in short keep; do
		end_load_of "$load"
		[ "$FAILED" -eq 0 ]
		total=$((total + ANSWERED))
	done
	told "rolled: $total answered, 0 failed"
	[ "$total" -ge "$1" ]
	for host in "${HOSTS[@]}"; do
		[ "$(stat_of "$host" eresp)" -eq 0 ]
		[ "$(stat_of "$host" econ)" -eq 0 ]
	done
}

@test "the hosts are rolled one after the other, and nobody notices" {
	start_hosts
	roll_all 10000
}

@test "so too where HAProxy keeps its connections to servers that die rudely" {
	start_hosts "$FIXTURES/rude"
	roll_all 5000
	[ "$(stat_of a reuse)" -gt 100 ]
}

# enough COUNT: has HAProxy answered so many?
enough() {
	local sum=0 host

	for host in "${HOSTS[@]}"; do
		sum=$((sum + $(stat_of "$host" hrsp_2xx)))
	done
	[ "$sum" -ge "$1" ]
}

@test "a drained host gets nothing new after one interval of the check" {
	local before after

	start_hosts
	start_haproxy
	run_load short "$(address lb):8000" --rate 300
	for _ in 1 2 3; do
		before=$(microseconds)
		at a drain --no-wait
		poll_until 10 is_in_state a DRAIN
		after=$(microseconds)
		told "drained: HAProxy sees it after" \
			"$(((after - before) / 1000)) ms, of an interval of 500"
		# an interval, and what two looks at it take
		[ $((after - before)) -lt $((1000000 * PATIENCE)) ]
		before=$(stat_of a stot)
		[ "$(stat_of b status)" = UP ]
		poll_until 10 enough 300
		[ "$(stat_of a stot)" -le "$before" ]
		at a undrain
		is_up a
	done
	end_load_of short
	[ "$FAILED" -eq 0 ]
}

@test "a host that is killed costs what it had accepted, and no more" {
	start_hosts
	start_haproxy
	run_load short "$(address lb):8000" --rate 300 --path /sleep/5
	poll_until 30 enough 500
	kill_host b
	poll_until 20 is_in_state b DOWN
	poll_until 30 enough 2000
	end_load_of short
	told "killed: $FAILED failed, $(stat_of b eresp) were accepted there"
	[ "$FAILED" -le "$(stat_of b eresp)" ]
	for host in a c; do
		[ "$(stat_of "$host" eresp)" -eq 0 ]
	done
	# it comes back by itself
	start_host b -n 2 -l 0.0.0.0:8000 --agent 9101 -- "$FIXTURES/serve"
	poll_until 20 is_up b
}

@test "a host that is cut off costs what was on its way to it" {
	start_hosts
	start_haproxy 'retry-on conn-failure empty-response response-timeout'
	run_load short "$(address lb):8000" --rate 300 --path /sleep/5 \
		--patience 20000
	poll_until 30 enough 500
	cut_off b
	poll_until 20 is_in_state b DOWN
	poll_until 30 enough 2000
	join_again b
	poll_until 20 is_up b
	end_load_of short
	told "cut off: $FAILED failed"
	[ "$FAILED" -eq 0 ]
}

@test "what a host tells HAProxy: maint, drain, and back" {
	start_hosts
	start_haproxy
	at a scale 0
	poll_until 10 is_in_state a MAINT
	at a scale 2
	poll_until 10 is_up a
	# an nclust that is started anew ends the drain of the one before
	at a drain
	at a stop
	poll_until 10 is_gone "${HOST_PID[a]}"
	start_host a -n 2 -l 0.0.0.0:8000 --agent 9101 -- "$FIXTURES/serve"
	poll_until 10 is_up a
}

@test "the PROXY protocol reaches a worker as it was sent" {
	cat >"$DIR/proxied.py" <<-'E'
		import socket
		s = socket.socket(fileno=3)
		while True:
		    c, _ = s.accept()
		    try:
		        got = c.recv(200)
		        while got.startswith(b"PROXY") and b"hello" not in got:
		            more = c.recv(200)
		            if not more:
		                break
		            got += more
		        c.sendall(got.split(b"\r\n")[0] + b"\n")
		    except OSError:  # the end of a health check
		        pass
		    c.close()
	E
	for host in "${HOSTS[@]}"; do
		start_host "$host" -n 2 -l 0.0.0.0:8000 --agent 9101 \
			--intercept off -- python3 "$DIR/proxied.py"
	done
	MODE=tcp SEND=send-proxy start_haproxy
	run on c socat -t 5 - "TCP:$(address lb):8000,sourceport=31999" <<<hello
	[[ $output == "PROXY TCP4 $(address c) $(address lb) 31999 8000" ]]
}
