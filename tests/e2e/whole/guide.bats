# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2034,SC2317
#
# Each block of nclust-guide(7) is run as it stands there, section by section.
# Only what must differ here does: port 8000, the half minute of a canary, and
# directories of the system.  docker and systemd are played by functions, which
# do what nclust would notice.

bats_require_minimum_version 1.5.0
load ../../lib

GUIDE=$ROOT/man/nclust-guide.7

setup() {
	nclust_setup
	free_port
	INSTANCE=shop
	mkdir -p "$DIR/work/releases/1" "$DIR/work/releases/2" "$DIR/srv/shop"
	cd "$DIR/work" || return
	write_server >server
	write_server one >releases/1/server
	write_server two >releases/2/server
	write_server >"$DIR/srv/shop/server"
	printf '#!/bin/sh\necho "$NCLUST_EVENT" >>%s/told\n' "$DIR" \
		>tell-the-team
	chmod 755 ./*/*/server server tell-the-team "$DIR/srv/shop/server"
}

# What is still there: the instance went to the background.
teardown() {
	timeout 20 "$NCLUST" stop --now "$INSTANCE" >/dev/null 2>&1 || true
	cd /
	nclust_teardown
}

# A server that opens its port by itself, and says which release it is.
write_server() {
	printf '#!/bin/sh\necho "%s started" >&2\nexec %s %s\n' "${1-server}" \
		"$FIXTURES/plain" "$PORT"
}

# play SECTION: all its blocks, in their order.  A function checkpoint(), if there
# is one, is called before each with its number.
play() {
	local kind block n=0 script

	while IFS=$'\t' read -r kind block; do
		n=$((n + 1))
		! declare -F checkpoint >/dev/null || checkpoint "$n"
		script=$(blocks "$1" | sed -n "${n}p" | cut -f2- |
			tr '\a' '\n' | here)
		if [ "$kind" != - ]; then
			printf '%s\n' "$script" >"$kind"
			continue
		fi
		while IFS= read -r block; do
			[[ $block == '$ '* ]] || {
				echo "$1: no command: $block"
				return 1
			}
			echo "$block"
			eval "${block#'$ '}" 3>&- </dev/null || {
				echo "$1: status $?: $block"
				return 1
			}
		done <<<"$script"
	done < <(blocks "$1")
	[ "$n" -gt 0 ]
}

# blocks SECTION: a line for each, "FILE<tab>LINES", with \a between the lines.
blocks() {
	awk -v section="$1" '
		/^\.Sh / { inside = $0 == ".Sh " section; file = "-" }
		!inside { next }
		/^\.Pa [^ ]* :$/ { file = $2 }
		/^\.Bd -literal/ { text = ""; reading = 1; next }
		/^\.Ed/ && reading { print file "\t" text; file = "-"; reading = 0; next }
		reading { text = text (text == "" ? "" : "\a") $0 }' "$GUIDE" |
		sed 's/\\-/-/g; s/\\e/\\/g'
}

# What differs here from the page.
here() {
	sed -e "s,= 9101,= unix:$DIR/agent," -e "s,^http = 9100,http = unix:$DIR/http," \
		-e "s/\b8000\b/$PORT/g" -e 's/\b\(30s\|2m\)/1s/' \
		-e "s, /etc/nclust, $DIR/etc/nclust,g" \
		-e "s,/var/log,$DIR,g" -e "s,/srv/,$DIR/srv/,g" \
		-e "s/= www-data/= $(id -un)/"
}

sudo() {
	"$@"
}

answers() {
	[[ $(http_get "$PORT") == pid=* ]]
}

ready() {
	cluster .ready
}

@test "the guide: try it" {
	play DESCRIPTION
	run ! http_get "$PORT"
}

@test "the guide: deploy without downtime" {
	# clients from the first start on, over two deploys, a reload, an upgrade
	checkpoint() {
		[ "$1" -eq 3 ] || return 0
		"$FIXTURES/load" "$PORT" --clients 2 >"$DIR/load" 3>&- &
		LOAD=$!
		STARTED+=("$!")
	}
	play "DEPLOY WITHOUT DOWNTIME"
	kill -TERM "$LOAD"
	wait "$LOAD"
	[[ $(tail -n 1 "$DIR/load") == *"refused=0 lost=0 "* ]]
	[ "$(ready)" -eq 3 ]
	answers
	# the second release has been there
	[[ $(nclust logs web) == *"two started"*"one started"* ]]

	# one that cannot start changes nothing
	printf '#!/bin/sh\nexit 1\n' >releases/2/server
	ln -sfn releases/2 current
	run -1 nclust restart shop
	[ "$(ready)" -eq 3 ]
	answers
}

@test "the guide: canary" {
	play CANARY
	[ "$(ready)" -eq 3 ]
	[ "$(cluster .generation)" -eq 2 ]
	wait_until 10 '[ -s "$DIR/told" ]'
}

@test "the guide: behind a load balancer" {
	play "BEHIND A LOAD BALANCER"
	[ -s haproxy.cfg ]
}

@test "the guide: roll a fleet" {
	"$NCLUST" -d -n 2 --name shop -- ./server
	play "ROLL A FLEET"
	[ "$(ready)" -eq 2 ]
	[ "$(cluster .generation)" -eq 2 ]
}

@test "the guide: development" {
	mkdir src
	touch src/app.js
	printf '#!/bin/sh\nexec %s\n' "$FIXTURES/hear" >worker
	chmod 755 worker
	# the process that watches waits for changes
	watches() {
		local pid

		for pid in $(pgrep -P "$(status_json | jq .pid)"); do
			[ -z "$(find "/proc/$pid/fd" \
				-lname anon_inode:inotify)" ] ||
				[ "$(process_state "$pid")" != S ] || return 0
		done
		return 1
	}
	touch() {
		poll_until 10 watches
		command touch "$@"
		wait_until 10 '[ "$(cluster .generation)" -eq 2 ]'
		answers
	}
	play DEVELOPMENT
}

# --- Docker, as far as nclust notices it ---------------------------------------

make() {
	[ "$*" = static ]
	mkdir -p build/static
	cp "$NCLUST" build/static/nclust
}

docker() {
	local verb=$1 command word

	shift
	case $verb in
	build)
		grep -E '^COPY' Dockerfile | while read -r _ words; do
			# shellcheck disable=SC2086
			cp $words
		done
		;;
	run)
		command=$(sed -n 's/^CMD //p' Dockerfile | jq -r '.[]')
		readarray -t word <<<"$command"
		unshare -pf --kill-child --mount-proc "${word[@]}" \
			>>"$LOG" 2>&1 3>&- &
		STARTED+=("$!")
		NCLUST_PID=$!
		poll_until 10 "$NCLUST" status server
		AS_INIT=$(tr -d ' ' <"/proc/$!/task/$!/children")
		;;
	exec) nsenter -t "$AS_INIT" -p -m "${@:2}" ;;
	stop)
		kill -TERM "$AS_INIT"
		wait_exit
		return "$status"
		;;
	esac
}

@test "the guide: container" {
	need_root
	unshare -pf --mount-proc true 2>/dev/null ||
		skip "needs pid namespaces"
	[ "$(blocks CONTAINER | sed -n 1p | tr '\a' '\n' | wc -l)" -eq 4 ]
	play CONTAINER
	run ! http_get "$PORT"
}

# --- systemd, as far as nclust notices it --------------------------------------

# of_unit KEY: from the unit that is installed.
of_unit() {
	sed -n "s/^$1=//p" "$ROOT/etc/nclust@.service" | sed -e 's/%i/shop/g' \
		-e "s,@bindir@/,," -e "s,/etc/nclust,$DIR/etc/nclust,"
}

systemctl() {
	case $1 in
	enable)
		eval "$(of_unit ExecStart)" >>"$LOG" 2>&1 3>&- &
		NCLUST_PID=$!
		STARTED+=("$!")
		wait_ready
		;;
	reload) eval "$(of_unit ExecReload)" ;;
	disable)
		kill -TERM "$(status_json | jq .pid)"
		wait_exit
		return "$status"
		;;
	esac
}

journalctl() {
	cat "$LOG"
}

@test "the guide: systemd" {
	play SYSTEMD
	run ! http_get "$PORT"
}

@test "the guide: logs" {
	play LOGS
	nclust restart shop
	wait_until 10 'grep -q "server started" "$DIR/shop/web.1.log"'
}

@test "the guide: autoscale" {
	checkpoint() {
		[ "$1" -ne 4 ] || [ "$(ready)" -eq 5 ]
	}
	play AUTOSCALE
	answers
}

@test "the guide: spares" {
	curl() {
		command curl "$@" | tee "$DIR/seen"
	}
	play SPARES
	grep -q '^pid=' "$DIR/seen"
	wait_until 10 '[ "$(cluster "[.workers[].state] | sort | join(\" \")")" = \
		"ready spare" ]'
	[ "$(worker 1 .state)" = ready ]
}

@test "the guide: start order" {
	nclust() {
		"$NCLUST" "$@" 2>&1 | tee -a "$DIR/seen"
	}
	play "START ORDER"
	grep -q 'migrated for generation 1' "$DIR/seen"
	grep -q 'migrated for generation 2' "$DIR/seen"
	[ "$(ready)" -eq 2 ]
	answers
}

@test "the guide: leader" {
	play LEADER
	wait_until 10 '[ "$(cluster .leader.pid)" != null ]'
	[ "$(cluster '.leader.pid as $p | [.workers[].pid] | index($p)')" != null ]
}

@test "the guide: outages" {
	curl() {
		command curl "$@" | tee "$DIR/seen"
	}
	play OUTAGES
	grep -q '^HTTP/1.1 503 ' "$DIR/seen"
	grep -qx '<p>We are back in a moment\.' "$DIR/seen"
	[ "$(ready)" -eq 2 ]
	answers
}

@test "the guide: limits" {
	play LIMITS
	[ "$(ready)" -eq 2 ]
	[[ $(nclust config shop) == *"memory-max = 512M"* ]]
	grep -qE 'Max open files +4096 ' "/proc/$(worker_pid 0)/limits"
}

@test "the guide: coming from pm2" {
	play "COMING FROM PM2"
	run ! http_get "$PORT"
}

@test "the guide: coming from supervisord" {
	play "COMING FROM SUPERVISORD"
	run ! http_get "$PORT"
}

@test "the guide: coming from gunicorn" {
	cp "$SCRIPTS/servers/app.py" app.py
	play "COMING FROM GUNICORN"
	run ! http_get "$PORT"
}

@test "each section of the guide that has blocks is played here" {
	while read -r section; do
		[ -z "$(blocks "$section")" ] ||
			grep -qxE "	play \"?$section\"?" "$BATS_TEST_FILENAME" || {
			echo "nobody plays: $section"
			return 1
		}
	done < <(sed -n 's/^\.Sh //p' "$GUIDE")
}

# Of README.md, the paths in its links, and each nclust command of its tables.
@test "what README.md points to is there, and the guide has its commands" {
	local path command

	grep -q 'README\.md' "$ROOT/README"
	while read -r path; do
		[ -e "$ROOT/$path" ] || {
			echo "README.md: there is no $path"
			return 1
		}
	done < <(grep -oE '\]\([^)#:]+\)' "$ROOT/README.md" | sed 's/^](//; s/)$//')
	while read -r command; do
		grep -qF "\$ $command" "$GUIDE" || {
			echo "not in the guide: $command"
			return 1
		}
	done < <(sed -n '/^## Coming from/,/^## /p' "$ROOT/README.md" |
		grep -oE '`nclust [^`]*`' | tr -d '`')
	# the Dockerfile is the guide's
	[ "$(sed -n '/^    FROM/,/^    CMD/s/^    //p' "$ROOT/README.md")" = \
		"$(blocks CONTAINER | sed -n 1p | cut -f2- | tr '\a' '\n')" ]
}
