# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# What it costs that nclust replaces itself, for scripts/bench.

UPGRADE_ROUNDS=15

# The longest time without an answer of the control socket, in one upgrade each:
# sets SILENCES (in microseconds) and TOOK (in milliseconds, of the verb).
silences() {
	local round began

	SILENCES=() TOOK=()
	for ((round = 0; round < UPGRADE_ROUNDS; round++)); do
		begin_asking ask "$1" || return
		began=${EPOCHREALTIME/[.,]/}
		./nclust upgrade "$1" >/dev/null || return
		TOOK+=($((${EPOCHREALTIME/[.,]/} - began)))
		end_asking || return
		SILENCES+=("$LONGEST")
	done
}

upgrade_of_many() {
	begin ./nclust -n 1000 --name many --listen "127.0.0.1:$(free_port)" \
		--ready alive:1ms --log inherit -- "$SERVE" --quick-start
	wait_ready many && silences many
	stop_last
	[ ${#SILENCES[@]} -eq "$UPGRADE_ROUNDS" ] || return
	most "upgrade, 1,000 workers: longest silence" \
		"$(milliseconds "$(best "${SILENCES[@]}")")" 20 ms
	note "of $UPGRADE_ROUNDS upgrades the best; the worst" \
		"$(milliseconds "$(highest "${SILENCES[@]}")") ms; the verb" \
		"took $(milliseconds "$(best "${TOOK[@]}")") ms at best"
}

milliseconds() {
	awk -v us="$1" 'BEGIN { printf "%.1f", us / 1000 }'
}

# upgrade_step KIND: what is done each 0.1 s.
upgrade_step() {
	case $1 in
	with) ./nclust upgrade load ;;
	starts) ./nclust version && ./nclust version && ./nclust version ;;
	esac >/dev/null
}

# Under load: nothing lost, and nobody waits longer for it than for any programs
# that start beside.
upgrade_under_load() {
	local port kind round
	local -A p99
	local lost=0 sent=0

	port=$(free_port)
	begin ./nclust -n 4 --name load --listen "127.0.0.1:$port" \
		--ready notify --log inherit -- "$SERVE" --notify
	wait_ready load || return
	for kind in without starts with without starts with without starts with; do
		open_load "$kind" "$port" --rate 400 || return
		for ((round = 0; round < 20; round++)); do
			upgrade_step "$kind" || return
			sleep 0.1
		done
		end_load "$kind"
		p99[$kind]+=" $(told .p99)"
		[ "$kind" = with ] || continue
		lost=$((lost + $(told .lost))) sent=$((sent + $(told .sent)))
	done
	stop_last
	most "20 upgrades under load, three times: requests lost" "$lost" 0 \
		"of $sent"
	beside "20 upgrades under load: p99 in µs" "$(best "${p99[with]}")" \
		"$(best "${p99[starts]}")"
	note "the baseline starts nclust three times, as an upgrade does" \
		"(the verb, the check, the new image)"
	note "with:${p99[with]}; starts:${p99[starts]}; neither:${p99[without]}"
}

figure_upgrade() {
	upgrade_of_many && upgrade_under_load
}
