# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# The configurations of nclust-guide(7) for load balancers, with the programs that
# they are for.  Only addresses differ, and the time of a check.

bats_require_minimum_version 1.5.0
load fleet

setup() {
	fleet_setup a b
}

# block FILE: as the guide has it.
block() {
	awk -v file="$1" '
		/^\.Pa [^ ]* :$/ { name = $2 }
		/^\.Bd -literal/ { reading = name == file; name = ""; next }
		/^\.Ed/ { reading = 0 }
		reading' "$ROOT/man/nclust-guide.7" |
		sed -e 's/\\-/-/g; s/\\e/\\/g' -e "s/10\.0\.0\./$FLEET_NET./g" \
			-e 's/\bbind :80/bind :8000/; s/listen 80;/listen 8000;/' \
			-e 's/inter 2s/inter 200ms/g'
}

start_hosts() {
	for host in a b; do
		start_host "$host" -n 2 -l 0.0.0.0:8000 --agent 9101 \
			--http 9100 -- "$FIXTURES/serve" --notify
	done
}

# roll: one after the other, under load that comes by lb.
roll() {
	for host in a b; do
		at "$host" drain --timeout 30s
		at "$host" restart
		at "$host" undrain --timeout 30s
	done
}

served() {
	curl -sS --max-time 5 -o /dev/null "http://$1:8000/"
}

@test "HAProxy, as the guide has it" {
	need haproxy
	start_hosts
	block haproxy.cfg >"$DIR/haproxy.cfg"
	run_on lb "$DIR/haproxy.log" haproxy -db -f "$DIR/haproxy.cfg"
	poll_until 20 on lb curl -sS -o /dev/null "http://$(address lb):8000/"
	run_load short "$(address lb):8000" --rate 300
	roll
	grep -q 'shop/a enters drain state' "$DIR/haproxy.log"
	grep -q 'shop/b is UP (leaving forced drain)' "$DIR/haproxy.log"
	end_load_of short
	[ "$FAILED" -eq 0 ]
}

has_address() {
	on "$1" ip -o addr show eth0 | grep -q "$FLEET_NET.100/"
}

@test "keepalived, as the guide has it" {
	need keepalived
	start_hosts
	for host in a b; do
		block keepalived.conf | sed 's/interval 2/interval 1/' \
			>"$DIR/$host/keepalived.conf"
		run_on "$host" "$DIR/$host-keepalived.log" keepalived -n -l \
			-f "$DIR/$host/keepalived.conf" -p "$DIR/$host/pid" \
			-r "$DIR/$host/vrrp" -c "$DIR/$host/checkers"
	done
	poll_until 30 either_has_it
	first=a second=b
	has_address a || first=b second=a
	at "$first" drain --no-wait
	poll_until 30 has_address "$second"
	on lb curl -sS --max-time 10 "http://$FLEET_NET.100:8000/" | grep -q pid=
	at "$first" undrain
	at "$second" drain --no-wait
	poll_until 30 has_address "$first"
}

either_has_it() {
	has_address a || has_address b
}

@test "nginx, as the guide has it" {
	need nginx
	start_hosts
	block nginx.conf >"$DIR/nginx.conf"
	printf 'pid %s/nginx.pid;\nerror_log %s/nginx.log;\n' "$DIR" "$DIR" \
		>>"$DIR/nginx.conf"
	sed -i 's/http {/http { access_log off;/' "$DIR/nginx.conf"
	run_on lb "$DIR/nginx.log" nginx -g 'daemon off;' -c "$DIR/nginx.conf"
	poll_until 20 on lb curl -sS -o /dev/null "http://$(address lb):8000/"
	run_load short "$(address lb):8000" --rate 300
	for host in a b; do
		sed -i "s/$(address "$host"):8000/& down/" "$DIR/nginx.conf"
		on lb nginx -s reload -c "$DIR/nginx.conf"
		at "$host" drain --timeout 30s
		at "$host" restart
		at "$host" undrain
		sed -i 's/ down / /' "$DIR/nginx.conf"
		on lb nginx -s reload -c "$DIR/nginx.conf"
	done
	end_load_of short
	[ "$FAILED" -eq 0 ]
}
