# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For tests/e2e/whole/test_guide.py: docker and systemd, as far as nclust notices them.
set -eu

sudo() {
	"$@"
}

make() {
	[ "$*" = static ]
	mkdir -p build/static
	cp -L "$(command -v nclust)" build/static/nclust
}

docker() {
	local verb=$1 words

	shift
	case $verb in
	build)
		grep '^COPY' Dockerfile | while read -r _ words; do
			# shellcheck disable=SC2086
			cp $words
		done
		;;
	run)
		readarray -t words < <(sed -n 's/^CMD //p' Dockerfile | jq -r '.[]')
		unshare -pf --kill-child --mount-proc "${words[@]}" >>container.log 2>&1 &
		echo $! >container
		until nclust status server >/dev/null 2>&1; do sleep 0.02; done
		tr -d ' ' <"/proc/$!/task/$!/children" >init
		;;
	exec) nsenter -t "$(cat init)" -p -m "${@:2}" ;;
	stop)
		kill -TERM "$(cat init)"
		tail --pid "$(cat container)" -s 0.02 -f /dev/null
		;;
	esac
}

# of_unit KEY: from the unit that is installed.
of_unit() {
	sed -n "s/^$1=//p" "$SRC/etc/nclust@.service" | sed -e 's/%i/shop/g' -e 's,@bindir@/,,'
}

systemctl() {
	local words

	case $1 in
	enable)
		# shellcheck disable=SC2046
		setsid $(of_unit ExecStart) >>journal 2>&1 &
		until nclust status shop >/dev/null 2>&1; do sleep 0.02; done
		;;
	reload) eval "$(of_unit ExecReload)" ;;
	disable)
		words=$(nclust status shop --json | jq .pid)
		kill -TERM "$words"
		tail --pid "$words" -s 0.02 -f /dev/null
		;;
	esac
}

journalctl() {
	cat journal
}
