#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2154
#
# etc/examples/ansible: a fleet of three hosts is rolled by the real ansible, over the
# real ssh, while clients come through HAProxy.

bats_require_minimum_version 1.5.0
load ../lib
load hosts

setup() {
	nclust_setup
	need_root
	for program in ansible-playbook haproxy sshd; do
		PATH=$PATH:/usr/sbin command -v "$program" >/dev/null ||
			skip "needs $program"
	done
	NCLUST=$(realpath "$NCLUST")
	RATE=200
	mkdir "$DIR/play" "$DIR/home"
	cp "$ROOT"/etc/examples/ansible/* "$DIR/play/"
	release 1
	release 2
	# it comes up, and then fails
	release 3
	printf '#!/bin/sh\n%s 8000 &\nsleep 1\nkill $!\nexit 1\n' \
		"$FIXTURES/plain" >"$DIR/play/releases/3/server"
	make_fleet
}

teardown() {
	nclust_teardown
}

# release N: a server of its own.
release() {
	mkdir -p "$DIR/play/releases/$1"
	cp "$FIXTURES/plain" "$DIR/play/releases/$1/plain"
	printf '#!/bin/sh\nexec "${0%%/*}/plain" 8000\n' \
		>"$DIR/play/releases/$1/server"
	chmod 755 "$DIR/play/releases/$1/server"
}

make_fleet() {
	local n

	make_lan
	cat >"$DIR/hosts.ini" <<-END
		[web]
		10.99.0.1
		10.99.0.2
		10.99.0.3
		[web:vars]
		ansible_user=root
		ansible_ssh_private_key_file=$DIR/key
		ansible_ssh_common_args=-F /dev/null -o UserKnownHostsFile=$DIR/known -o IdentitiesOnly=yes -o ControlMaster=auto -o ControlPersist=30s
		ansible_ssh_pipelining=true
		ansible_control_path=$DIR/%%C
		ansible_remote_tmp=/srv/tmp
		ansible_python_interpreter=/usr/bin/python3
	END
	for n in 1 2 3; do
		make_host "$n"
		on_host "$n" cp -R "$DIR/play/releases/1" /srv/shop/releases/1
		on_host "$n" cp "$DIR/play/shop.ini" /srv/shop/
		on_host "$n" ln -s releases/1 /srv/shop/current
		on_host "$n" ln -s releases/1 /srv/shop/live
		on_host "$n" "$NCLUST" -d -c /srv/shop/shop.ini -n 2
	done
	cat >"$DIR/haproxy.cfg" <<-END
		defaults
		    mode http
		    timeout connect 5s
		    timeout client 30s
		    timeout server 30s
		    option redispatch
		    retries 2
		frontend in
		    bind 10.99.0.254:80
		    default_backend fleet
		backend fleet
		    option httpchk GET /readyz
		    default-server check port 9100 inter 200ms fall 2 rise 1
		    server h1 10.99.0.1:8000
		    server h2 10.99.0.2:8000
		    server h3 10.99.0.3:8000
	END
	start_in_lan haproxy -db -f "$DIR/haproxy.cfg" >"$DIR/haproxy.log" 2>&1 3>&- &
	STARTED+=("$!")
	poll_until 10 in_lan curl -sf -o "$DIR/first" http://10.99.0.254/
	start_in_lan "$FIXTURES/openload" 10.99.0.254:80 --rate "$RATE" \
		>"$DIR/load" 3>&- &
	LOAD=$!
	LOAD_SINCE=$SECONDS
	STARTED+=("$LOAD")
	poll_until 10 grep -q ready "$DIR/load"
}

# sent COUNT: by now?
sent() {
	[ $(((SECONDS - LOAD_SINCE - 2) * RATE)) -ge "$1" ]
}

# end_load COUNT: after that many requests or more.
end_load() {
	poll_until 120 sent "$1"
	kill -TERM "$LOAD"
	wait "$LOAD"
	tail -n 1 "$DIR/load"
	tail -n 1 "$DIR/load" | jq -e --argjson least "$1" \
		'.answered >= $least and .lost == 0 and .late == 0'
}

# roll RELEASE: the output is in $DIR/out.
roll() {
	(cd "$DIR/play" && in_lan env -i PATH="$PATH" HOME="$DIR/home" \
		LC_ALL=C.UTF-8 ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=0 \
		timeout 300 ansible-playbook -i "$DIR/hosts.ini" roll.yml \
		-e "release=$1" -e bake=3s) >"$DIR/out" 2>&1 3>&-
}

# Which releases run on a host.
runs() {
	local pid

	for pid in $(on_host "$1" "$NCLUST" status shop --json |
		jq '.clusters[].workers[].pid'); do
		on_host "$1" readlink "/proc/$pid/exe"
	done | sed 's,.*/releases/\([0-9]*\)/.*,\1,' | sort -u | paste -sd ' '
}

# recap HOST WORD: the number that ansible gives it at the end.
recap() {
	sed -n '/PLAY RECAP/,$p' "$DIR/out" |
		sed -n "s/^10\.99\.0\.$1 .*$2=\([0-9]*\).*/\1/p"
}

drained() {
	on_host "$1" "$NCLUST" status shop --json | jq -c .drained
}

@test "a good release reaches every host, none lost; again, it changes nothing" {
	local n

	roll 2
	for n in 1 2 3; do
		[ "$(runs "$n")" = 2 ]
		[ "$(drained "$n")" = null ]
		[ "$(recap "$n" changed)" -ge 4 ]
		on_host "$n" "$NCLUST" events shop --json |
			jq -se 'map(.event) | index("host-drained") <
				index("host-undrained")'
	done
	roll 2
	for n in 1 2 3; do
		[ "$(recap "$n" changed)" -eq 0 ]
		[ "$(recap "$n" ok)" -ge 4 ]
	done
	# what an earlier run has left drained is brought back, and that is a change
	on_host 2 "$NCLUST" drain shop
	roll 2
	[ "$(recap 1 changed),$(recap 2 changed)" = 0,1 ]
	[ "$(drained 2)" = null ]
	end_load 10000
}

@test "a bad release stops at the first host, which serves the old one" {
	local n

	run ! roll 3
	[ "$(recap 1 failed)" -eq 1 ]
	grep -q 'Replace the workers: .*restart failed' "$DIR/out"
	for n in 1 2 3; do
		[ "$(runs "$n")" = 1 ]
		[ "$(drained "$n")" = null ]
		[ "$(on_host "$n" readlink /srv/shop/current)" = releases/1 ]
	done
	for n in 2 3; do
		[ -z "$(recap "$n" ok)" ]
		run ! on_host "$n" test -e /srv/shop/releases/3
	done
	# the way forward is open
	roll 2
	[ "$(runs 1) $(runs 2) $(runs 3)" = "2 2 2" ]
	end_load 1000
}
