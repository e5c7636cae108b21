# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# Hosts of a fleet on this machine: each has a network, processes, /srv and /run of its
# own, and a sshd that knows one key, made for the test.  Nothing of it is seen
# outside, and all is gone with the first process.

HOSTS=()
LAN=

# The network between them, in which the test's clients are: 10.99.0.254.
make_lan() {
	unshare --net sleep infinity 3>&- &
	LAN=$!
	STARTED+=("$LAN")
	poll_until 10 other_net "$LAN"
	in_lan sh -ec '
		ip link set lo up
		ip link add br0 type bridge
		ip link set br0 up
		ip address add 10.99.0.254/24 dev br0'
	ssh-keygen -q -t ed25519 -N "" -f "$DIR/key"
	ssh-keygen -q -t ed25519 -N "" -f "$DIR/hostkey"
	echo "10.99.0.* $(cat "$DIR/hostkey.pub")" >"$DIR/known"
}

other_net() {
	local net

	net=$(readlink "/proc/$1/ns/net") &&
		[ "$net" != "$(readlink /proc/self/ns/net)" ]
}

# The second is for programs in the background, so that $! is theirs.
in_lan() {
	nsenter --net="/proc/$LAN/ns/net" -- "$@"
}
start_in_lan() {
	exec nsenter --net="/proc/$LAN/ns/net" -- "$@"
}

# make_host N: 10.99.0.N, with sshd.
make_host() {
	local n=$1 pid here=$DIR/host$1

	mkdir "$here"
	cat >"$here/sshd_config" <<-END
		ListenAddress 10.99.0.$n
		HostKey $DIR/hostkey
		AuthorizedKeysFile $DIR/key.pub
		StrictModes no
		PidFile none
		UsePAM no
		PasswordAuthentication no
		Subsystem sftp internal-sftp
		SetEnv PATH=${NCLUST%/*}:/usr/sbin:/usr/bin:/sbin:/bin NCLUST_RUNTIME_DIR=/run/nclust
	END
	unshare --net --mount --pid --fork --kill-child --mount-proc sh -ec '
		mount -t tmpfs none /run
		mount -t tmpfs none /srv
		mkdir -p /run/sshd /srv/shop/releases
		ip link set lo up
		touch "$1/up"
		until ip -4 address show dev eth0 2>/dev/null | grep -q inet; do
			sleep 0.05
		done
		exec /usr/sbin/sshd -D -e -f "$1/sshd_config"' - "$here" \
		>"$here/log" 2>&1 3>&- &
	STARTED+=("$!")
	poll_until 10 test -e "$here/up"
	pid=$(pgrep -P "$!")
	HOSTS[n]=$pid
	in_lan ip link add "h$n" type veth peer name eth0 netns "$pid"
	in_lan ip link set "h$n" master br0 up
	nsenter --net="/proc/$pid/ns/net" -- sh -ec '
		ip link set eth0 up
		ip address add "10.99.0.$1/24" dev eth0' - "$n"
	poll_until 10 grep -q 'Server listening' "$here/log"
}

# on_host N COMMAND...
on_host() {
	nsenter --target "${HOSTS[$1]}" --net --mount --pid -- \
		env NCLUST_RUNTIME_DIR=/run/nclust "${@:2}" 3>&-
}
