#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2154
#
# etc/examples for orchestrators, with the programs that read them.  There is no
# cluster here: podman starts what a kubelet would, in a network of its own.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	nclust_setup
	PLAY=$DIR/examples
	cp -R "$ROOT/etc/examples" "$PLAY"
}

teardown() {
	if [ -n "${ENGINE:-}" ]; then
		[ -n "${BATS_TEST_COMPLETED:-}" ] || show_containers
		pod pod rm -fa -t 0 >/dev/null 2>&1 || true
		pod rm -fa -t 0 >/dev/null 2>&1 || true
	fi
	nclust_teardown
}

show_containers() {
	local id

	for id in $(pod ps -aq 2>/dev/null); do
		echo "--- $id"
		pod logs "$id" 2>&1 | tail -n 20
	done
}

# An engine of its own: where it keeps things is empty, and not seen outside.
make_engine() {
	local open

	need_root
	need podman
	need runc
	open=$(ulimit -Hn)
	cat >"$DIR/containers.conf" <<-END
		[containers]
		default_ulimits = ["nproc=1000:1000", "nofile=$open:$open"]
		[engine]
		runtime = "runc"
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		[network]
		network_config_dir = "/run/containers/networks"
	END
	export CONTAINERS_CONF=$DIR/containers.conf
	unshare --net --mount --propagation private sh -ec '
		for dir in /dev/shm /run/containers /run/libpod /run/netns \
			/var/lib/cni /var/lib/containers; do
			mkdir -p "$dir"
			mount -t tmpfs none "$dir"
		done
		ip link set lo up
		mkdir /run/containers/networks
		touch "$1"
		exec sleep infinity' - "$DIR/engine" 3>&- &
	ENGINE=$!
	STARTED+=("$ENGINE")
	poll_until 10 test -e "$DIR/engine"
}

# Commands where the engine is, and its network.
in_net() {
	nsenter --target "$ENGINE" --net --mount -- "$@" 3>&-
}

pod() {
	in_net podman "$@"
}

# localhost/shop:1, as etc/examples/kubernetes/Containerfile makes it, but of this
# machine's nclust and libraries: a base image would have to be fetched.
make_shop() {
	local root=$DIR/image/root libs file http

	libs=lib/$(uname -m)-linux-gnu
	http=/usr/$libs/libmicrohttpd.so.12
	[ -e "$http" ] || skip "needs libmicrohttpd"
	mkdir -p "$root/usr/bin" "$root/srv" "$root/run"
	mkdir -m 1777 "$root/tmp"
	ln -s usr/bin "$root/bin"
	cp /bin/sh "$root/usr/bin/"
	strip -o "$root/usr/bin/nclust" "$NCLUST"
	cp "$FIXTURES/plain" "$root/srv/"
	printf '#!/bin/sh\nexec /srv/plain "$1" --work 300\n' >"$root/srv/server"
	chmod 755 "$root/srv/server"
	for file in $(ldd "$NCLUST" /bin/sh "$http" | grep -o '/[^ :]*'); do
		mkdir -p "$root${file%/*}"
		cp -L "$file" "$root$file"
	done
	cp -L "$http" "$root/$libs/"
	tar -C "$root" --owner=0 --group=0 -cf "$DIR/image/root.tar" .
	printf 'FROM scratch\nADD root.tar /\nENTRYPOINT ["nclust"]\n' \
		>"$DIR/image/Containerfile"
	rm -rf "$root"
	pod build -q -t localhost/shop:1 "$DIR/image"
}

# inside NAME ARG...: a verb, as an exec probe runs it.
inside() {
	pod exec "$1" nclust "${@:2}"
}

wanted() {
	inside "$1" status shop --json | jq -r '.clusters[0] |
		"\(.ready) of \(.workers | length)"'
}

has() {
	[ "$(wanted "$1" 2>/dev/null)" = "$2 of $2" ]
}

http() {
	in_net curl -s -m 10 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$1"
}

is_http() {
	[ "$(http "$1")" = "$2" ]
}

# ask NAME: a client whose request is under way.
ask() {
	: >"$DIR/client"
	in_net curl -sv -m 30 http://127.0.0.1:8000/ >"$DIR/$1" 2>"$DIR/client" &
	CLIENT=$!
	poll_until 10 grep -q '^> GET' "$DIR/client"
}

answered() {
	wait "$CLIENT"
	grep -q '^pid=' "$DIR/$1"
}

need_kustomize() {
	need kubectl
	python3 -c 'import yaml' 2>/dev/null || skip "needs python3-yaml"
}

# of KIND FILTER: what jq finds in the objects of that kind in $DIR/all.yaml.
of() {
	python3 -c '
import json, sys, yaml
for one in yaml.safe_load_all(open(sys.argv[1])):
    if one["kind"] == sys.argv[2]:
        print(json.dumps(one))' "$DIR/all.yaml" "$1" | jq -r "$2"
}

render() {
	kubectl kustomize "$PLAY/kubernetes/$1" >"$DIR/all.yaml"
}

@test "Kubernetes: the base and production are rendered" {
	need_kustomize
	render base
	[ "$(of Deployment .spec.replicas)" = 2 ]
	[ "$(of Service '.spec.ports[0].targetPort')" = http ]
	# the pods roll when the file changes: its name is that of its content
	map=$(of ConfigMap .metadata.name)
	[[ $map == shop-?* ]]
	[ "$(of Deployment '.spec.template.spec.volumes[0].configMap.name')" = "$map" ]
	of ConfigMap '.data["shop.ini"]' >"$DIR/shop.ini"
	"$NCLUST" config --check -c "$DIR/shop.ini"
	render production
	[ "$(of Deployment .spec.replicas)" = 4 ]
	[ "$(of Deployment '.spec.template.spec.containers[0] |
		"\(.image) \(.resources.limits.cpu) \(.readinessProbe.httpGet.path)"')" = \
		"localhost/shop:2 4 /readyz" ]
}

@test "Kubernetes: podman plays a pod; its limit, probes, drain and stop" {
	need_kustomize
	make_engine
	make_shop
	# one pod, of one CPU, as somebody's own overlay says it
	mkdir "$PLAY/kubernetes/one"
	cat >"$PLAY/kubernetes/one/kustomization.yaml" <<-END
		bases: [../base]
		patchesStrategicMerge: [one.yaml]
	END
	sed 's/replicas: 4/replicas: 1/; s/cpu: .*/cpu: "1"/' \
		"$PLAY/kubernetes/production/size.yaml" \
		>"$PLAY/kubernetes/one/one.yaml"
	render one
	pod kube play "$DIR/all.yaml"
	shop='shop-pod-0-shop'
	poll_until 20 has "$shop" 1
	poll_until 20 is_http 9100/readyz 200
	[ "$(http 9100/healthz)" = 200 ]
	# resized in place
	pod update --cpus 2 "$shop"
	poll_until 20 has "$shop" 2
	# preStop, as the manifest has it, while a client waits
	mapfile -t stop < <(of Deployment '.spec.template.spec.containers[0].lifecycle.preStop.exec.command[]')
	ask one
	pod exec "$shop" "${stop[@]}"
	answered one
	[ "$(http 9100/readyz)" = 503 ]
	[ "$(http 9100/healthz)" = 200 ]
	ask two
	# and the stop: nothing had to be killed
	grace=$(of Deployment .spec.template.spec.terminationGracePeriodSeconds)
	pod pod stop -t "$grace" shop-pod-0
	answered two
	[ "$(pod inspect -f '{{.State.ExitCode}}' "$shop")" = 0 ]
	[[ $(pod logs "$shop" 2>&1) != *SIGKILL* ]]
}

@test "Compose: docker-compose accepts the file" {
	need docker-compose
	docker-compose -f "$PLAY/compose/compose.yaml" config >"$DIR/config"
	grep -q 'stop_grace_period: 65s' "$DIR/config"
}

@test "Compose: podman-compose runs it; its limit, health and stop" {
	need podman-compose
	make_engine
	make_shop
	sed -i 's/cpus: 2/cpus: 1/' "$PLAY/compose/compose.yaml"
	compose up -d
	shop='compose_shop_1'
	poll_until 20 has "$shop" 1
	poll_until 20 pod healthcheck run "$shop"
	pod update --cpus 2 "$shop"
	poll_until 20 has "$shop" 2
	ask one
	compose stop -t 65
	answered one
	[ "$(pod inspect -f '{{.State.ExitCode}}' "$shop")" = 0 ]
}

compose() {
	in_net podman-compose -f "$PLAY/compose/compose.yaml" "$@"
}

# The syntax alone: what the words mean only Nomad knows, and Debian has none.
@test "Nomad: the job's syntax is right, and nclust starts by its arguments" {
	local modules=${XDG_CACHE_HOME:-$HOME/.cache}/nclust/hcl/node_modules

	need node
	[ -d "$modules/@cdktf/hcl2json" ] || skip "needs hcl2json (scripts/setup fleet)"
	NODE_PATH=$modules node -e '
		require("@cdktf/hcl2json").parse("job.hcl", require("fs")
			.readFileSync(process.argv[1], "utf8")).then((job) =>
			console.log(JSON.stringify(job)))' \
		"$PLAY/nomad/shop.nomad.hcl" >"$DIR/job.json"
	task() {
		jq -r ".job.shop[0].group.web[0] | $1" "$DIR/job.json"
	}
	mapfile -t args < <(task '.task.nclust[0].config[0].args[]')
	[ "$(task '.service[0].check[0] | "\(.port) \(.path)"')" = "nclust /readyz" ]
	[ "$(task '.network[0].port.nclust[0].to')" = 9100 ]
	[[ " ${args[*]} " == *" --http 0.0.0.0:9100 "* ]]
	free_port
	args=("${args[@]/0.0.0.0:9100/127.0.0.1:0}")
	args=("${args[@]/#8000/$PORT}")
	"$NCLUST" -d "${args[@]/\/srv\/server/$FIXTURES/plain}"
	[[ $(http_get "$PORT") == pid=* ]]
	"$NCLUST" stop shop
}
