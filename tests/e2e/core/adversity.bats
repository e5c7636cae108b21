# SPDX-License-Identifier: MIT
#
# Requests and faults in unhappy orders.

bats_require_minimum_version 1.5.0
load ../../lib

two_clusters() {
	cat >"$DIR/$INSTANCE.ini" <<-END
		[cluster:a]
		command = $FIXTURES/serve --notify
		workers = 2
		ready = notify
		listen = unix:$DIR/a
		[cluster:b]
		command = $FIXTURES/serve --notify
		workers = 1
		ready = notify
		listen = unix:$DIR/b
	END
	start_cluster -c "$DIR/$INSTANCE.ini"
}

@test "a cluster that was stopped and then parked does not hold up the stop" {
	two_clusters
	nclust stop "$INSTANCE/a"
	nclust scale "$INSTANCE/a" 0

	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "a stopped cluster begins anew when it is scaled, and stops again" {
	two_clusters
	nclust stop "$INSTANCE/a"
	nclust scale "$INSTANCE/a" 1
	[ "$(CLUSTER=a cluster .ready)" -eq 1 ]

	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "a stopped cluster that is scaled to fewer is waited for" {
	cat >"$DIR/$INSTANCE.ini" <<-END
		[cluster:a]
		command = sh -c "sleep 1; exec $FIXTURES/serve --notify"
		workers = 2
		ready = notify
		listen = unix:$DIR/a
		[cluster:b]
		command = sleep 1000
	END
	start_cluster -c "$DIR/$INSTANCE.ini"
	nclust stop "$INSTANCE/a"
	nclust scale "$INSTANCE/a" 1
	[ "$(CLUSTER=a cluster .ready)" -eq 1 ]
	nclust stop "$INSTANCE/a"
	nclust scale "$INSTANCE/a" 0
	[ "$(CLUSTER=a cluster .ready)" -eq 0 ]
}

@test "a restart that fails at its first step is told so" {
	cp "$FIXTURES/serve" "$DIR/server"
	start_cluster -n 2 -l "unix:$DIR/s" --ready notify -- \
		"$DIR/server" --notify
	rm "$DIR/server"

	run -1 nclust restart "$INSTANCE"
	[[ "$output" == *"cannot execute"* ]]
	[ "$(cluster .ready)" -eq 2 ]
}

@test "a file put back in the midst of its rollout goes back to what was" {
	cat >"$DIR/$INSTANCE.ini" <<-END
		[cluster:web]
		command = $FIXTURES/serve --notify
		workers = 2
		ready = notify
		listen = unix:$DIR/old
	END
	start_cluster -c "$DIR/$INSTANCE.ini"
	sed -e "s,/old,/new," -e "s,serve.*,slow-ready never," \
		"$DIR/$INSTANCE.ini" >"$DIR/bad"
	cp "$DIR/$INSTANCE.ini" "$DIR/good"

	cp "$DIR/bad" "$DIR/$INSTANCE.ini"
	nclust reload "$INSTANCE" --no-wait
	[ "$(cluster .state)" = rolling ]
	cp "$DIR/good" "$DIR/$INSTANCE.ini"
	nclust reload "$INSTANCE"

	[ "$(cluster .state)" = running ]
	[ "$(cluster '.listeners[0].address')" = "unix:$DIR/old" ]
	[[ $(curl -sS --unix-socket "$DIR/old" http://x/) == pid=* ]]
	[ ! -e "$DIR/new" ]
}
