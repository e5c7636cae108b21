# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# The real systemd, as process 1 of namespaces of its own: it has its own mounts
# (what it writes is in memory), processes, network and cgroups, and ends when the
# file's tests do.  For setup_file() and teardown_file().

# A /dev of its own: it writes there, and the machine's is the same in all namespaces.
systemd_devices() {
	local name

	mount -t tmpfs -o mode=755 tmpfs "$1" &&
		mkdir "$1/pts" "$1/shm" &&
		mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts \
			"$1/pts" &&
		mount -t tmpfs tmpfs "$1/shm" &&
		ln -s pts/ptmx "$1/ptmx" &&
		ln -s /proc/self/fd "$1/fd" || return
	for name in null zero full random urandom tty; do
		: >"$1/$name" && mount --bind "/dev/$name" "$1/$name" || return
	done
}

# In the namespaces: what systemd finds, then systemd.
systemd_enter() {
	local place=$1 root=$1/root kind

	mount --make-rprivate / &&
		mount -t tmpfs tmpfs "$place" &&
		mkdir "$place/upper" "$place/work" "$root" &&
		mount -t overlay overlay -o \
			"lowerdir=/,upperdir=$place/upper,workdir=$place/work" \
			"$root" &&
		mount -t proc proc "$root/proc" &&
		mount --rbind /sys "$root/sys" &&
		systemd_devices "$root/dev" &&
		mount -t tmpfs tmpfs "$root/run" &&
		mount -t tmpfs tmpfs "$root/tmp" &&
		mount -t tmpfs tmpfs "$root/sys/fs/cgroup" || return
	for kind in cpu cpuacct cpuset memory devices freezer blkio pids; do
		mkdir "$root/sys/fs/cgroup/$kind"
		mount -t cgroup -o "$kind" cgroup "$root/sys/fs/cgroup/$kind" ||
			return
	done
	mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified" &&
		mount -t cgroup -o none,name=systemd cgroup \
			"$root/sys/fs/cgroup/systemd" &&
		mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified" || return
	rm -f "$root"/etc/systemd/system/*.wants/*
	cd "$root" || return
	exec env -i "PATH=$PATH" container=lxc chroot "$root" \
		/lib/systemd/systemd --unit=basic.target --show-status=no
}

# Moves this process to cgroups of that name, so that none of systemd's are left
# among those of the machine.
systemd_groups() {
	local group

	for group in /sys/fs/cgroup/*/; do
		[ -e "$group/cgroup.procs" ] || continue
		mkdir -p "$group/$1"
		cat "$group/cpuset.cpus" >"$group/$1/cpuset.cpus" 2>/dev/null
		cat "$group/cpuset.mems" >"$group/$1/cpuset.mems" 2>/dev/null
		echo $BASHPID >"$group/$1/cgroup.procs" 2>/dev/null ||
			rmdir "$group/$1"
	done
}

# 1: it cannot be done here; $SYSTEMD_PLACE/why says why.
systemd_boot() {
	local place=$1 tries

	mkdir -p "$place/mnt"
	SYSTEMD_PLACE=$place
	SYSTEMD_GROUPS=nt-systemd.$$
	[ "$(id -u)" -eq 0 ] || {
		echo "needs root" >"$place/why"
		return 1
	}
	(
		systemd_groups "$SYSTEMD_GROUPS"
		exec setsid unshare --mount --pid --fork --kill-child=KILL \
			--cgroup --uts --net --ipc \
			bash -c '. "$0"; systemd_enter "$1"' \
			"${BASH_SOURCE[0]}" "$place/mnt"
	) </dev/null >"$place/said" 2>&1 3>&- &
	SYSTEMD_OUTER=$!
	for ((tries = 0; tries < 300; tries++)); do
		is_alive "$SYSTEMD_OUTER" || break
		SYSTEMD_PID=$(cat "/proc/$SYSTEMD_OUTER/task/"*/children \
			2>/dev/null)
		SYSTEMD_PID=${SYSTEMD_PID%% *}
		export SYSTEMD_PLACE SYSTEMD_GROUPS SYSTEMD_OUTER SYSTEMD_PID
		case $(in_systemd systemctl is-system-running 2>/dev/null) in
		running | degraded) return 0 ;;
		esac
		sleep 0.1
	done
	{
		echo "no systemd could be started here:"
		tail -n 3 "$place/said"
	} | tr '\n' ' ' >"$place/why"
	systemd_end
	return 1
}

systemd_end() {
	local tries

	[ -n "${SYSTEMD_OUTER:-}" ] || return 0
	kill -KILL "$SYSTEMD_OUTER" 2>/dev/null
	wait "$SYSTEMD_OUTER" 2>/dev/null
	for ((tries = 0; tries < 100; tries++)); do
		find /sys/fs/cgroup/*/"$SYSTEMD_GROUPS" -depth -type d \
			-exec rmdir {} + 2>/dev/null
		compgen -G "/sys/fs/cgroup/*/$SYSTEMD_GROUPS" >/dev/null || break
		sleep 0.05
	done
	return 0
}

# bring_to_systemd FILE PLACE: its /tmp is empty.
bring_to_systemd() {
	cp -rL "$1" "/proc/$SYSTEMD_PID/root/$2"
}

# in_systemd COMMAND...: among its processes, in its root.
in_systemd() {
	timeout 60 nsenter -t "$SYSTEMD_PID" -a -r -w -- \
		env -i "PATH=$PATH" LC_ALL=C.UTF-8 COLUMNS=500 "$@"
}
