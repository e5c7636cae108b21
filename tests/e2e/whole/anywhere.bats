# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# Where nclust is started from and by whom: users without a session, read-only
# roots, images without /tmp; hooks and workers that ask it.

bats_require_minimum_version 1.5.0
load ../../lib

teardown() {
	nclust_teardown
	[ -z "${SHARED:-}" ] || rm -rf "$SHARED"
}

# --- An ordinary user ----------------------------------------------------------

# A user that nobody is, without a session: $AS runs commands as that one, and
# $SHARED is the directory that is its own.
a_user() {
	need_root
	need setpriv
	USER_ID=$((1200000000 + BASHPID))
	SHARED=/tmp/nclust-$USER_ID
	AS=(setpriv "--reuid=$USER_ID" "--regid=$USER_ID" --clear-groups
		env -u NCLUST_RUNTIME_DIR -u XDG_RUNTIME_DIR)
	[ -x "$DIR/nclust" ] || cp "$NCLUST" "$DIR/nclust"
}

# as_user ARG...: that user's nclust
as_user() {
	"${AS[@]}" "$DIR/nclust" "$@"
}

launch_as_user() {
	"${AS[@]}" "$DIR/nclust" "$@" >>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
}

users_runs() {
	as_user status mine >/dev/null 2>&1
}

start_as_user() {
	launch_as_user --name mine -n 1 --ready alive:10ms --stop-signal KILL \
		-- sleep 1000
	poll_until 10 users_runs
}

@test "a user without a session has /tmp/nclust-UID, and the verbs find it" {
	a_user
	umask 077
	start_as_user
	[ "$(stat -c '%a %u %F' "$SHARED")" = "700 $USER_ID directory" ]
	[ -S "$SHARED/mine/control" ]
	run -0 as_user status
	[[ $output == *mine* ]]
	# a second one of that name is told of the first
	run -75 as_user --name mine -n 1 -- sleep 1000
	[[ $output == *"already running (pid $NCLUST_PID)"* ]]
	# what is left of a session that ended is another user's, or nothing
	mkdir -m 755 "$DIR/session"
	run -0 "${AS[@]}" "XDG_RUNTIME_DIR=$DIR/session" "$DIR/nclust" status
	[[ $output == *mine* ]]
	run -0 as_user stop mine
	[ ! -e "$SHARED/mine" ]
}

@test "one that began without a session is found within one, and the same" {
	a_user
	mkdir -m 700 "$DIR/session"
	chown "$USER_ID" "$DIR/session"
	start_as_user
	AS+=("XDG_RUNTIME_DIR=$DIR/session")
	run -0 as_user status mine
	run -75 as_user --name mine -n 1 -- sleep 1000
	[[ $output == *"already running"* ]]
	# another one has its place in the session, and both are seen
	launch_as_user --name other -n 1 --ready alive:10ms \
		--stop-signal KILL -- sleep 1000
	poll_until 10 test -S "$DIR/session/nclust/other/control"
	poll_until 10 as_user status >/dev/null # until both are ready
	run -0 as_user status
	[[ $output == *mine*other* ]]
	run -0 as_user stop other
	run -0 as_user stop mine
}

@test "somebody else's /tmp/nclust-UID is refused, and says so" {
	a_user
	local refused=(--name mine -n 1 -- touch "$DIR/out/ran")

	mkdir -m 777 "$DIR/out"
	# another user's, or root's
	mkdir -m 755 "$SHARED"
	for owner in 0 65534; do
		chown "$owner" "$SHARED"
		run -1 as_user "${refused[@]}"
		[[ $output == *"'$SHARED' is not safe: it belongs to uid $owner"* ]]
		[[ $output == *NCLUST_RUNTIME_DIR* ]]
		run -1 as_user status
		[[ $output == *"uid $owner"* ]]
	done
	# the user's own, which others may read
	chown "$USER_ID" "$SHARED"
	run -1 as_user "${refused[@]}"
	[[ $output == *"'$SHARED' is not safe: its mode is 0755, not 0700"* ]]
	rmdir "$SHARED"
	# a link, whoever made it, and what is no directory
	mkdir -m 700 "$DIR/elsewhere"
	chown "$USER_ID" "$DIR/elsewhere"
	ln -s "$DIR/elsewhere" "$SHARED"
	run -1 as_user "${refused[@]}"
	[[ $output == *"'$SHARED' is not safe: it is a symbolic link"* ]]
	chown -h "$USER_ID" "$SHARED"
	run -1 as_user "${refused[@]}"
	[[ $output == *"symbolic link"* ]]
	rm "$SHARED"
	touch "$SHARED"
	run -1 as_user "${refused[@]}"
	[[ $output == *"'$SHARED': Not a directory"* ]]
	[ -z "$(ls -A "$DIR/elsewhere")" ]
	[ ! -e "$DIR/out/ran" ]
	# it is nobody's business where another place is used
	AS+=("NCLUST_RUNTIME_DIR=$DIR/elsewhere")
	start_as_user
	run -0 as_user stop mine
}

# --- An image ------------------------------------------------------------------

# put_program FILE PLACE: into the image, with the libraries that it needs.
put_program() {
	local library

	cp "$1" "$IMAGE/$2"
	for library in $(ldd "$1" | grep -o '/[^ ]*'); do
		mkdir -p "$IMAGE/${library%/*}"
		cp -n "$library" "$IMAGE/$library"
	done
}

# A root with nothing but nclust and a server: no /tmp, no /run.  `in_image
# COMMAND...` runs a command in it, in a mount namespace of its own; $MOUNTS,
# shell words, are run before, in the image.
an_image() {
	need_root
	unshare -m true 2>/dev/null || skip "needs mount namespaces"
	IMAGE=$DIR/image
	MOUNTS=:
	mkdir -p "$IMAGE/proc" "$IMAGE/dev"
	touch "$IMAGE/dev/null"
	put_program "$NCLUST" nclust
	put_program "$FIXTURES/serve" serve
}

in_image() {
	exec unshare -m --propagation private bash -c '
		cd "$1" && shift &&
		mount --bind . . && cd "$PWD" &&
		mount --bind /proc proc && mount --bind /dev/null dev/null &&
		eval "$MOUNTS" &&
		exec chroot . "$@"' - "$IMAGE" "$@"
}

launch_in_image() {
	(
		export MOUNTS
		unset NCLUST_RUNTIME_DIR
		in_image /nclust --name "$INSTANCE" "$@"
	) >>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
}

# All that a service needs works there: readiness, a restart, an upgrade, a stop.
serves_without_a_socket() {
	launch_in_image -n 2 -l "127.0.0.1:$PORT" --ready notify \
		--intercept off --signal-USR2 upgrade -- /serve --notify
	wait_logged "it: 2 of 2 workers ready"
	[[ $(http_get "$PORT") == pid=* ]]
	[ "$(grep -c 'control socket' "$LOG")" -eq 1 ]
	logged "NCLUST_RUNTIME_DIR"
	kill -HUP "$NCLUST_PID"
	poll_until 10 holds '[ "$(generation_served)" = 2 ]'
	kill -USR2 "$NCLUST_PID"
	wait_logged "upgraded from"
	kill -HUP "$NCLUST_PID"
	poll_until 10 holds '[ "$(generation_served)" = 3 ]'
	kill -TERM "$NCLUST_PID"
	wait_exit
	[ "$status" -eq 0 ]
}

generation_served() {
	http_get "$PORT" | sed -n 's/.*gen=\([0-9]*\).*/\1/p'
}

@test "in an image without /tmp and /run it serves, and says what is missing" {
	an_image
	free_port
	MOUNTS='mount -o remount,bind,ro .'
	serves_without_a_socket
}

@test "where nothing but /tmp can be written, root's instances are there" {
	an_image
	free_port
	mkdir -p "$IMAGE/tmp" "$IMAGE/run/nclust"
	MOUNTS='mount -o remount,bind,ro . && mount -t tmpfs none tmp'
	launch_in_image -n 1 -l "127.0.0.1:$PORT" --ready notify \
		--intercept off --user '#1234' --group '#1234' -- /serve --notify
	wait_logged "it: 1 of 1 workers ready"
	root=/proc/$NCLUST_PID/root
	[ "$(stat -c '%a %u' "$root/tmp/nclust-0")" = "711 0" ]
	[ "$(grep -c 'control socket' "$LOG")" -eq 0 ]
	run -0 nsenter --target "$NCLUST_PID" --mount \
		env -u NCLUST_RUNTIME_DIR chroot "$root" /nclust status --json
	[ "$(jq .clusters[0].ready <<<"$output")" -eq 1 ]
}

@test "what needs a directory is refused where there is none, by name" {
	an_image
	MOUNTS='mount -o remount,bind,ro .'
	launch_in_image -n 1 --orphans keep -- /serve
	wait_exit
	[ "$status" -ne 0 ]
	logged "'orphans = keep' needs a runtime directory"
	# one that is asked for must be there
	: >"$LOG"
	(
		MOUNTS="$MOUNTS; export NCLUST_RUNTIME_DIR=/place"
		launch_in_image -n 1 -- /serve
		wait_exit
		[ "$status" -ne 0 ]
	)
	logged "cannot make '/place': Read-only file system"
	# a verb says where it has looked
	run -69 env -u NCLUST_RUNTIME_DIR bash -c "$(declare -f in_image)
		IMAGE=$IMAGE MOUNTS=:
		in_image /nclust stop"
	[[ $output == *"/run/nclust"*"/tmp/nclust-0"* ]]
}

# --- Below nclust -----------------------------------------------------------------

@test "the verbs find the nclust whose hook or worker calls them" {
	local place=$DIR/place

	mkdir -m 755 "$place"
	cat >"$DIR/ask" <<-END
		#!/bin/sh
		"$NCLUST" status --json >"$DIR/.\$1" 2>&1
		echo \$? >>"$DIR/.\$1"
		mv "$DIR/.\$1" "$DIR/\$1"
	END
	chmod 755 "$DIR/ask"
	unset NCLUST_RUNTIME_DIR
	launch_nclust -n 1 --runtime-directory "$place" --ready alive:10ms \
		--stop-signal KILL --on-ready "$DIR/ask hook" \
		-- sh -c '"$0" worker; exec sleep 1000' "$DIR/ask"
	for who in hook worker; do
		poll_until 10 test -e "$DIR/$who"
		cat "$DIR/$who"
		[ "$(head -n 1 "$DIR/$who" | jq -r .name)" = "$INSTANCE" ]
	done
	# one that is named goes before it
	NCLUST_SOCKET=$place/it/control
	export NCLUST_SOCKET
	run -0 "$NCLUST" status it
	run -3 "$NCLUST" status it --runtime-directory "$DIR/run"
	run -3 env "NCLUST_RUNTIME_DIR=$DIR/run" "$NCLUST" status it
	# and one that it is not names none
	for word in control /control it/control ""; do
		NCLUST_SOCKET=$word run -3 "$NCLUST" status it
	done
	run -0 "$NCLUST" stop it
}
