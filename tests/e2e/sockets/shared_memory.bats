# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2119,SC2120,SC2154
#
# `shared-memory`: one segment for all workers of a cluster, and what it outlives.

load ../../lib
load ../../upgrade
bats_require_minimum_version 1.5.0

EXAMPLE=$ROOT/etc/examples/shared-memory

setup() {
	nclust_setup
}

teardown() {
	end_keepers
	nclust_teardown
}

# A worker that does nothing but have the memory.
IDLE=(sh -c 'exec sleep 1000')

# start_idle OPTION...: workers that only have it.
start_idle() {
	start_cluster --ready alive:0 "$@" -- "${IDLE[@]}"
}

# kept_at SLOT: is it there?  One that has only just been started may not have it yet.
kept_at() {
	wait_until 10 '[ "$(read_at "$1" 0 4)" = kept ]' "$1"
}

# variable SLOT NAME: of its environment.
variable() {
	tr '\0' '\n' <"/proc/$(worker_pid "$1")/environ" |
		sed -n "s/^$2=//p"
}

# memory_of SLOT: the file of it in /proc.
memory_of() {
	echo "/proc/$(worker_pid "$1")/fd/$(variable "$1" NCLUST_SHM_FD)"
}

# write_at SLOT OFFSET TEXT; read_at SLOT OFFSET COUNT
write_at() {
	printf '%s' "$3" | dd of="$(memory_of "$1")" bs=1 seek="$2" \
		conv=notrunc status=none
}

read_at() {
	dd if="$(memory_of "$1")" bs=1 skip="$2" count="$3" status=none |
		tr -d '\0'
}

inode_of() {
	stat -L -c %i "$(memory_of "$1")"
}

shared_memory() {
	cluster ".shared_memory$1"
}

# --- What a worker gets --------------------------------------------------------

@test "without shared-memory there is none" {
	start_idle -n 1
	[ "$(variable 0 NCLUST_SHM_FD)" = "" ]
	[ "$(shared_memory '')" = null ]
}

@test "all workers have one segment, in whole pages, which keeps its size" {
	local page

	page=$(getconf PAGESIZE)
	start_idle -n 2 --shared-memory 5000
	[ "$(variable 0 NCLUST_SHM_FD)" -eq 3 ]
	[ "$(variable 1 NCLUST_SHM_SIZE)" -eq $(((5000 + page - 1) / page * page)) ]
	[ "$(shared_memory .size)" -eq "$(variable 1 NCLUST_SHM_SIZE)" ]
	[ "$(shared_memory .used)" -eq 0 ]
	[ "$(inode_of 0)" = "$(inode_of 1)" ]
	[ "$(inode_of 0)" = "$(shared_memory .inode)" ]
	write_at 0 100 'from slot 0'
	[ "$(read_at 1 100 11)" = 'from slot 0' ]
	[ "$(shared_memory .used)" -eq "$page" ]

	run truncate -s 0 "$(memory_of 0)"
	[ "$status" -ne 0 ]
	run truncate -s 1M "$(memory_of 0)"
	[ "$status" -ne 0 ]
}

@test "its descriptor comes behind the sockets and the message channel" {
	free_port
	start_idle -n 1 -l "127.0.0.1:$PORT" -l "unix:$DIR/x.sock" --ipc on \
		--shared-memory 64k
	[ "$(variable 0 LISTEN_FDS)" -eq 2 ]
	[ "$(variable 0 NCLUST_CHANNEL_FD)" -eq 5 ]
	[ "$(variable 0 NCLUST_SHM_FD)" -eq 6 ]
	nclust stop "$INSTANCE"

	start_idle -n 1 -l "unix:$DIR/x.sock" --pass stdin --shared-memory 64k
	[ "$(variable 0 NCLUST_SHM_FD)" -eq 3 ]
	[[ $(readlink "$(memory_of 0)") == /memfd:nclust-* ]]
}

@test "another user maps it and writes, by descriptor and by name" {
	need_root
	cat >"$DIR/map.py" <<-'END'
		import mmap, os, sys, time
		n = int(os.environ['NCLUST_SHM_FD'])
		size = int(os.environ['NCLUST_SHM_SIZE'])
		mmap.mmap(n, size)[0:2] = b'by'
		again = os.open('/proc/self/fd/%d' % n, os.O_RDWR)
		mmap.mmap(again, size)[2:10] = b' another'
		time.sleep(1000)
	END
	chmod 644 "$DIR/map.py"
	start_cluster -n 1 --user nobody --shared-memory 64k --ready alive:0 \
		-- python3 "$DIR/map.py"
	wait_until 10 '[ "$(read_at 0 0 10)" = "by another" ]'
}

# --- What cannot be had ----------------------------------------------------------

@test "more than there is, is refused at the start" {
	run -1 "$NCLUST" -n 1 --shared-memory 60T -- true
	[[ $output == *"more than the machine has"* ]]
	[ "${#lines[@]}" -eq 1 ]

	# growing a file beyond it would be a signal
	run -1 bash -c 'ulimit -f 16; exec "$@"' bash \
		"$NCLUST" -n 1 --shared-memory 1M -- true
	[[ $output == *RLIMIT_FSIZE* ]]
}

@test "huge pages: there are enough, or it says how many are missing" {
	local page pages

	page=$(awk '/^Hugepagesize:/ { print $2 }' /proc/meminfo)
	[ -n "$page" ] || skip "a kernel without huge pages"
	# as many as will never be free
	pages=$(awk -v page="$page" '/^MemTotal:/ {
		print int($2 / page) - 1 }' /proc/meminfo)
	run -1 "$NCLUST" -n 1 --shared-memory "$((pages * page))k, huge" -- true
	[[ $output == *"$pages huge pages of $page kB"* ]]
	[[ $output == *vm.nr_hugepages* ]]

	start_idle -n 1 --shared-memory "$((pages * page))k, huge=try"
	logged "ordinary pages are used: $pages huge pages"
	[ "$(shared_memory .page_size)" -eq "$(getconf PAGESIZE)" ]
	nclust stop "$INSTANCE"

	[ "$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo)" -gt 0 ] ||
		return 0
	start_idle -n 1 --shared-memory "1M, huge"
	[ "$(shared_memory .page_size)" -eq $((page * 1024)) ]
	[ "$(variable 0 NCLUST_SHM_SIZE)" -eq $((page * 1024)) ]
}

# --- What it outlives --------------------------------------------------------------

@test "what is in it outlives the workers, a rolling restart and scale 0" {
	start_idle -n 2 --shared-memory 64k
	write_at 0 0 kept
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	kept_at 0
	nclust restart "$INSTANCE"
	kept_at 1
	nclust scale "$INSTANCE" 0
	nclust scale "$INSTANCE" 1
	kept_at 0
}

write_config() {
	printf '%s\n' '[nclust]' "name = $INSTANCE" '[cluster:web]' \
		"command = ${COMMAND:-sleep 1000}" 'workers = 2' \
		"ready = ${READY:-alive:0}" 'stop-timeout = 1s' "$@" >"$DIR/it.ini"
}

start_config() {
	write_config "$@"
	start_cluster -c "$DIR/it.ini"
}

@test "a reload keeps it, but for another size: that is new, and told" {
	local before

	start_config 'shared-memory = 64k'
	write_at 0 0 kept
	before=$(inode_of 0)

	write_config 'shared-memory = 65536' 'nice = 1'
	nclust reload "$INSTANCE"
	[ "$(inode_of 0)" = "$before" ]
	kept_at 1

	write_config 'shared-memory = 128k' 'nice = 1'
	nclust reload "$INSTANCE"
	[ "$(variable 1 NCLUST_SHM_SIZE)" -eq 131072 ]
	[ "$(inode_of 0)" != "$before" ]
	[ "$(inode_of 0)" = "$(inode_of 1)" ]
	[ "$(read_at 0 0 4)" = "" ]
	logged "web: new workers share 128k of memory"

	write_config 'nice = 1'
	nclust reload "$INSTANCE"
	[ "$(variable 0 NCLUST_SHM_FD)" = "" ]
	logged "web: no more shared memory"
	[ "$(shared_memory '')" = null ]
}

@test "a reload that cannot have it changes nothing" {
	start_config 'shared-memory = 64k'
	write_at 0 0 kept
	write_config 'shared-memory = 60T'
	run -1 nclust reload "$INSTANCE"
	[[ $output == *"more than the machine has"* ]]
	kept_at 0
	[ "$(worker 0 .generation)" -eq 1 ]
}

@test "a failed rolling restart goes back to the one of before" {
	local before

	start_config 'shared-memory = 64k'
	write_at 0 0 kept
	before=$(inode_of 0)
	# ready a while later: it has ended by then
	COMMAND=false READY=alive:1s write_config 'shared-memory = 128k'
	run -1 nclust reload "$INSTANCE"
	[ "$(shared_memory .inode)" = "$before" ]
	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(worker 1 .restarts)" -ge 1 ] &&
		[ "$(worker 1 .pid)" != null ]'
	[ "$(inode_of 1)" = "$before" ]
	kept_at 1
}

@test "an upgrade carries it" {
	local before

	cp "$NCLUST" "$DIR/nclust"
	NCLUST=$DIR/nclust
	start_idle -n 2 --shared-memory 64k
	write_at 0 0 kept
	before=$(inode_of 0)
	put "$VARIANTS/nclust-next"
	upgrade
	[ "$(upgrades)" -eq 1 ]
	[ "$(shared_memory .inode)" = "$before" ]
	nclust restart "$INSTANCE"
	[ "$(inode_of 1)" = "$before" ]
	kept_at 1
}

@test "nclust killed: the next one has it from the keeper" {
	local before

	start_idle -n 2 --shared-memory 64k --orphans keep
	write_at 0 0 kept
	before=$(inode_of 0)
	kill_nclust
	start_idle -n 2 --shared-memory 64k --orphans keep
	logged 'took over 2 workers'
	[ "$(shared_memory .inode)" = "$before" ]
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	[ "$(inode_of 0)" = "$before" ]
	kept_at 0
}

@test "the keeper killed too: it comes back from a worker" {
	local before

	start_idle -n 2 --shared-memory 64k --orphans keep
	write_at 0 0 kept
	before=$(inode_of 0)
	end_keepers
	kill_nclust
	end_keepers
	start_idle -n 2 --shared-memory 64k --orphans keep
	[ "$(shared_memory .inode)" = "$before" ]
	nclust restart "$INSTANCE"
	[ "$(inode_of 1)" = "$before" ]
	kept_at 1
}

# Workers that have mapped it, as it were, and closed the descriptor.
start_closed() {
	start_cluster -n 2 --shared-memory 64k --orphans keep --ready alive:0 \
		-- sh -c 'eval "exec $NCLUST_SHM_FD<&-"; exec sleep 1000'
}

@test "the keeper alone has it: it comes back from there" {
	local before

	start_closed
	before=$(shared_memory .inode)
	kill_nclust
	start_closed
	logged 'took over 2 workers'
	[ "$(shared_memory .inode)" = "$before" ]
}

@test "nobody gives it back: nothing is started, and it is told" {
	local pids

	start_closed
	pids=$(cluster '[.workers[].pid] | join(" ")')
	end_keepers
	kill_nclust
	end_keepers
	run "$NCLUST" --name "$INSTANCE" -n 2 --shared-memory 64k \
		--orphans keep --ready alive:0 -- sleep 1000
	echo "$output"
	# shellcheck disable=SC2086 # a list
	kill -KILL $pids
	[ "$status" -ne 0 ]
	[[ $output == *"shared memory cannot be taken back from worker"* ]]
}

@test "after a death of nclust another size is a new segment" {
	local before

	start_idle -n 2 --shared-memory 64k --orphans keep
	write_at 0 0 kept
	before=$(inode_of 0)
	kill_nclust
	start_idle -n 2 --shared-memory 128k --orphans keep
	wait_until 15 '[ "$(cluster .rollout)" = null ] &&
		[ "$(variable 0 NCLUST_SHM_SIZE)" = 131072 ] &&
		[ "$(variable 1 NCLUST_SHM_SIZE)" = 131072 ]'
	[ "$(inode_of 0)" != "$before" ]
	[ "$(inode_of 0)" = "$(inode_of 1)" ]
}

# --- Counting together -----------------------------------------------------------------

rounds() {
	grep -cx "$1" "$DIR/rounds" || true
}

# A round more of each language than there were.
all_have_counted() {
	local word

	for word in c python java; do
		[ "$(rounds "$word")" -gt "${seen[$word]:-0}" ] || return 1
	done
}

# counter OFFSET: it is native, eight bytes.
counter() {
	dd if="$(memory_of 0)" bs=8 skip="$(($1 / 8))" count=1 status=none |
		od -A n -t u8 | tr -d ' '
}

@test "C, Python and Java count together, and SIGKILL loses nothing" {
	local word slot slack atomic=0 locked=0 kills=0
	declare -A seen

	cp "$EXAMPLE"/* "$DIR"
	gcc -O2 -Wall -Wextra -Werror -o "$DIR/count-c" "$DIR/count.c"
	javac -d "$DIR" "$DIR/Count.java"
	: >"$DIR/rounds"
	start_cluster -n 6 --shared-memory 64k --ready alive:0 \
		--backoff-min 1ms --backoff-max 10ms -- \
		"$DIR/count" "$DIR/rounds"
	for _ in 1 2 3; do
		wait_until 30 all_have_counted
		# in the middle of it, all at once, one of each language
		kill -KILL "$(worker_pid 0)" "$(worker_pid 1)" "$(worker_pid 2)"
		kills=$((kills + 3))
		for word in c python java; do
			seen[$word]=$(rounds "$word")
		done
	done
	wait_until 30 all_have_counted
	wait_ready
	nclust signal "$INSTANCE" --all STOP
	wait_until 10 '[ "$(cluster "[.workers[] | select(.stopped)] | length")" -eq 6 ]'

	# who was killed or stopped has counted, and not yet put down its tally
	slack=$((kills + 6))
	for ((slot = 0; slot < 6; slot++)); do
		atomic=$((atomic + $(counter $((128 + 64 * slot)))))
		locked=$((locked + $(counter $((136 + 64 * slot)))))
	done
	echo "tallies: $atomic $locked; counted: $(counter 0) $(counter 64)"
	[ "$atomic" -gt 100000 ]
	[ "$locked" -gt 1000 ]
	[ "$(counter 0)" -ge "$atomic" ]
	[ "$(counter 0)" -le $((atomic + slack)) ]
	[ "$(counter 64)" -ge "$locked" ]
	[ "$(counter 64)" -le $((locked + slack)) ]
	nclust signal "$INSTANCE" --all CONT
}
