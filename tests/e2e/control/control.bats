# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# The control socket, as programs see it that are no nclust: what it answers,
# what it refuses, and that nobody who misbehaves is noticed by the others.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	export PEER_SOCKET=$NCLUST_RUNTIME_DIR/$INSTANCE/control
	export PYTHONPATH=$BATS_TEST_DIRNAME PYTHONDONTWRITEBYTECODE=1 PATIENCE
}

# py: a program on stdin that talks to the socket.
py() {
	python3 <(
		echo 'from peer import *'
		cat
	) "$@"
}

# Ready at once, and quiet.
start_quick() {
	start_cluster --ready notify --stop-signal KILL "$@" \
		-- "$FIXTURES/deaf" --notify
}

# --- What it says ------------------------------------------------------------

@test "it greets, and answers every method under the id of the question" {
	start_quick -n 2

	py "$NCLUST_PID" <<-'E'
	import sys
	peer = Peer()
	hello = peer.hello
	assert hello["jsonrpc"] == "2.0" and hello["method"] == "hello", hello
	params = hello["params"]
	assert params["name"] == "it", params
	assert params["pid"] == int(sys.argv[1]), params
	assert params["protocol"] == 1 and params["version"], params

	for id in (1, 0, -7, 2**53, "a", "", "with \" and \\ and \u00e9\n"):
	    answer = peer.ask("status", id=id)
	    assert answer["id"] == id and answer["jsonrpc"] == "2.0", answer
	    assert answer["result"]["name"] == "it", answer

	status = peer.result("status")
	assert status["pid"] == params["pid"] and status["upgrades"] == 0
	web = status["clusters"][0]
	for key in ("name", "command", "wanted", "ready", "generation",
	            "balance", "state", "listeners", "workers", "rollout"):
	    assert key in web, key
	assert web["wanted"] == web["ready"] == 2 and web["state"] == "running"
	for key in ("slot", "id", "pid", "state", "generation", "uptime",
	            "restarts", "cpu_percent", "rss_bytes", "next_try",
	            "last_exit"):
	    assert key in web["workers"][0], key

	assert "ini" in peer.result("config")
	assert peer.result("signal", signal="WINCH")["reached"] == 1
	assert peer.result("signal", signal="WINCH", all=True)["reached"] == 2
	assert peer.result("signal", signal="CONT", target="it.1")["reached"] == 1
	assert peer.result("scale", count=3)["ok"]
	assert peer.result("scale", by=-1)["ok"]
	assert peer.result("restart")["ok"]
	assert peer.result("restart", target="it.0")["ok"]
	assert peer.result("events", last=3)["ok"]
	assert peer.result("stop")["ok"]
	peer.wait_closed()
	E
	wait_exit 10
	[ "$status" -eq 0 ]
}

@test "a long operation tells its steps under its id, then its one outcome" {
	start_quick -n 2

	py <<-'E'
	peer = Peer()
	peer.send(request("restart", id="roll"))
	events = []
	while True:
	    message = peer.receive()
	    if "method" not in message:
	        break
	    assert message["method"] == "event" and "id" not in message, message
	    assert message["params"]["request"] == "roll", message
	    events.append(message["params"]["event"])
	assert message["id"] == "roll" and message["result"]["ok"], message
	assert events.count("ready") == 2 and "rollout-done" in events, events
	assert peer.result("status")["clusters"][0]["generation"] == 2
	E
}

@test "what is no request gets its error code, and the next one its answer" {
	start_quick -n 1

	py <<-'E'
	PARSE, INVALID, METHOD, PARAMS, NOT_FOUND = \
	    -32700, -32600, -32601, -32602, -32000
	cases = [
	    ("hello\n", PARSE),
	    ("{\n", PARSE),
	    ('{"jsonrpc":"2.0","id":1,"method":"status"\n', PARSE),
	    ('{"jsonrpc":"2.0","id":1,"id":2,"method":"status"}\n', PARSE),
	    (b'{"jsonrpc":"2.0","id":1,"method":"sta\xff\xfetus"}\n', PARSE),
	    (b'{"jsonrpc":"2.0","id":1,"method":"status\x00"}\n', PARSE),
	    ('{"jsonrpc":"2.0","id":1,"method":"sta\\u0000tus"}\n', PARSE),
	    ("[" + request("status").decode().strip() + "]\n", INVALID),
	    ("[]\n", INVALID),
	    ("1\n", None),
	    ('"status"\n', None),
	    ('{"jsonrpc":"2.0","method":"status"}\n', INVALID),
	    ('{"jsonrpc":"2.0","id":null,"method":"status"}\n', INVALID),
	    ('{"jsonrpc":"2.0","id":1.5,"method":"status"}\n', INVALID),
	    ('{"jsonrpc":"2.0","id":{},"method":"status"}\n', INVALID),
	    ('{"id":1,"method":"status"}\n', INVALID),
	    ('{"jsonrpc":"1.0","id":1,"method":"status"}\n', INVALID),
	    ('{"jsonrpc":"2.0","id":1}\n', INVALID),
	    ('{"jsonrpc":"2.0","id":1,"method":7}\n', INVALID),
	    ('{"jsonrpc":"2.0","id":1,"method":"status","more":1}\n', INVALID),
	    (request("statsu"), METHOD),
	    (request("supervisor.twiddler.log"), METHOD),
	    (request("status.__class__"), METHOD),
	    (request("../status"), METHOD),
	    (request("status", more=1), PARAMS),
	    (request("stop", command="/bin/sh"), PARAMS),
	    (request("reload", file="/etc/passwd"), PARAMS),
	    (request("status", target=7), PARAMS),
	    ('{"jsonrpc":"2.0","id":1,"method":"status","params":[]}\n', PARAMS),
	    (request("scale"), PARAMS),
	    (request("scale", count=1, by=1), PARAMS),
	    (request("scale", count="2"), PARAMS),
	    (request("scale", count=1.5), PARAMS),
	    (request("scale", count=-1), PARAMS),
	    (request("scale", count=2**31), PARAMS),
	    (request("scale", count=10001), PARAMS),
	    ('{"jsonrpc":"2.0","id":1,"method":"scale","params":{"count":'
	     + "9" * 400 + "}}\n", PARSE),
	    (request("signal"), PARAMS),
	    (request("signal", signal="NONE"), PARAMS),
	    (request("signal", signal=0), PARAMS),
	    (request("signal", signal=-9), PARAMS),
	    (request("signal", signal="USR1", pid=1), PARAMS),
	    (request("stop", now="yes"), PARAMS),
	    (request("stop", target="it.0"), PARAMS),
	    (request("restart", no_wait=1), PARAMS),
	    (request("status", target="nobody"), NOT_FOUND),
	    (request("status", target="it.1"), NOT_FOUND),
	    (request("restart", target="it.99999"), NOT_FOUND),
	    (request("status", target="it.99999999999999999999"), None),
	    (request("status", target="../../etc"), None),
	    (request("status", target="x" * 4000), None),
	    ("[" * 30000 + "\n", INVALID),
	    ('{"jsonrpc":"2.0","id":1,"method":"status","params":'
	     + '{"a":' * 20 + "1" + "}" * 20 + "}\n", INVALID),
	]
	peer = Peer()
	for data, wanted in cases:
	    code = peer.code(data)
	    assert wanted in (None, code), (data[:80], code, wanted)
	    assert peer.result("status")["name"] == "it"
	# nothing of it had an effect
	web = peer.result("status")["clusters"][0]
	assert web["wanted"] == web["ready"] == 1 and web["generation"] == 1
	# no line is none, and CRLF is a line end, too
	peer.send("\n\r\n")
	peer.send(request("status", id=5).strip() + b"\r\n")
	assert peer.answer()["id"] == 5
	E
}

@test "the errors of a refused id-less request say null, of others the id" {
	start_quick -n 1

	py <<-'E'
	peer = Peer()
	for data, id in (
	        ("nonsense\n", None),
	        ('{"jsonrpc":"2.0","method":"status"}\n', None),
	        (request("nothing", id="mine"), "mine"),
	        (request("scale", id=4), 4)):
	    peer.send(data)
	    answer = peer.answer()
	    assert answer["id"] == id, answer
	    assert "result" not in answer
	E
}

@test "random bytes never stop it" {
	start_quick -n 1

	py "$NCLUST_PID" <<-'E'
	import random, sys
	random.seed(20)
	seeds = [request("status"), request("signal", signal="CONT"),
	         request("events", last=2)]
	before = fd_count(int(sys.argv[1]))
	for i in range(300):
	    peer = Peer()
	    data = bytearray(random.choice(seeds))
	    if i % 3 == 0:
	        data = bytearray(random.randbytes(random.randrange(1, 3000)))
	    else:
	        for _ in range(random.randrange(1, 6)):
	            data[random.randrange(len(data))] = random.randrange(256)
	    peer.send(bytes(data) + b"\n" + request("status", id="last"))
	    while peer.answer()["id"] != "last":
	        pass
	    peer.close()
	wait_until(lambda: fd_count(int(sys.argv[1])) <= before)
	E
	is_alive "$NCLUST_PID"
}

@test "a line of 10 MB is refused at 64 KiB, and costs no memory" {
	start_quick -n 1

	py "$NCLUST_PID" <<-'E'
	import sys
	other = Peer()
	memory = rss(int(sys.argv[1]))
	peer = Peer()
	try:
	    peer.send(b"x" * 10_000_000)
	except (BrokenPipeError, ConnectionResetError):
	    pass
	try:
	    message = peer.answer()
	    assert message["error"]["code"] == -32600, message
	    assert "64 KiB" in message["error"]["message"]
	except Closed:
	    pass # the error was lost in the reset
	peer.wait_closed()
	assert rss(int(sys.argv[1])) < memory + 300_000
	assert other.result("status")["name"] == "it"

	# the longest line that is one, and one byte more
	peer = Peer()
	line = request("status", id=1).strip()
	peer.send(line + b" " * (65535 - len(line)) + b"\n")
	assert peer.answer()["result"]["name"] == "it"
	peer.send(line + b" " * (65536 - len(line)) + b"\n")
	assert peer.answer()["error"]["code"] == -32600
	E
}

# --- How it is asked -----------------------------------------------------------

@test "who shuts down its side still gets the answer" {
	start_quick -n 1

	run -0 socat -t 10 - "UNIX-CONNECT:$PEER_SOCKET" \
		<<<'{"jsonrpc":"2.0","id":1,"method":"status"}'
	[ "$(tail -n 1 <<<"$output" | jq -r .result.name)" = it ]

	# also if that takes a while, and for several questions
	printf '%s\n' '{"jsonrpc":"2.0","id":1,"method":"restart"}' \
		'{"jsonrpc":"2.0","id":2,"method":"status"}' |
		socat -t 10 - "UNIX-CONNECT:$PEER_SOCKET" >"$DIR/out"
	[ "$(jq -c 'select(.id == 1) | .result.ok' "$DIR/out")" = true ]
	[ "$(jq -c 'select(.id == 2) | .result.clusters[0].generation' \
		"$DIR/out")" = 2 ]
}

@test "many requests at once are answered one after the other" {
	start_quick -n 2

	py <<-'E'
	peer = Peer()
	peer.send(b"".join(request("status", id=i) for i in range(200)))
	for i in range(200):
	    assert peer.answer()["id"] == i
	# the change is done before the next question is looked at
	peer.send(request("scale", id="s", count=4) + request("status", id="t"))
	assert peer.answer()["id"] == "s"
	assert peer.answer()["result"]["clusters"][0]["ready"] == 4
	# byte by byte is a line, too
	for byte in request("status", id=9):
	    peer.send(bytes([byte]))
	assert peer.answer()["id"] == 9
	E
}

@test "who sends no end of a line is told so and closed after 10 s" {
	start_quick -n 1

	py "$NCLUST_PID" <<-'E'
	import sys, time
	idle = Peer()
	follower = Peer()
	follower.send(request("events", follow=True))
	slow = Peer()
	slow.send(b'{"jsonrpc":')
	# the rest of a line behind a request that took a while counts, too
	late = Peer()
	late.send(request("restart") + b'{"json')
	assert late.answer()["result"]["ok"]
	for peer in (slow, late):
	    began = time.monotonic()
	    message = peer.receive(14 * PATIENCE)
	    assert message["error"]["code"] == -32004, message
	    peer.wait_closed(1)
	# the others did not notice
	assert idle.result("status")["name"] == "it"
	while follower.receive()["params"]["event"] != "rollout-done":
	    pass
	assert follower.is_open()
	E
}

@test "who does not take his answers is closed after 10 s, and nobody waits" {
	start_nclust -n 300 --ready alive:10ms --stop-signal KILL \
		-- sleep 1000
	wait_ready 60

	py "$NCLUST_PID" <<-'E'
	import sys, time
	pid = int(sys.argv[1])
	watcher = Peer()
	fds = fd_count(pid)
	memory = rss(pid)
	deaf = []
	for _ in range(5):
	    peer = Peer()
	    peer.send(b"".join(request("status", id=i) for i in range(100)))
	    deaf.append(peer)
	# one that reads, if slowly, gets all of a hundred
	slow = Peer()
	slow.send(b"".join(request("status", id=i) for i in range(100)))
	for i in range(100):
	    assert slow.answer()["id"] == i
	slow.close()
	end = time.monotonic() + 15 * PATIENCE
	while fd_count(pid) > fds:
	    assert time.monotonic() < end, "still connected"
	    asked = time.monotonic()
	    assert watcher.result("status", target="it.0")["name"] == "it"
	    assert time.monotonic() - asked < 1 * PATIENCE
	    assert rss(pid) < memory + 5 * 300_000, (memory, rss(pid))
	    time.sleep(0.05)
	E
}

# --- How many ask ------------------------------------------------------------------

@test "the 65th client takes the place of the one idle for longest" {
	start_quick -n 1

	py <<-'E'
	import time
	peers = []
	for i in range(64):
	    peers.append(Peer())
	assert all(peer.is_open() for peer in peers)
	# not the first who came, but the first of those who asked nothing since
	peers[0].result("status")
	late = Peer()
	peers[1].wait_closed()
	assert peers[0].is_open()
	assert all(peer.is_open() for peer in peers[2:])
	assert late.result("status")["name"] == "it"
	E
}

@test "with 64 requests under way the 65th client is refused, and told" {
	start_quick -n 1

	py "$NCLUST_PID" <<-'E'
	import sys
	peers = [Peer() for _ in range(64)]
	for peer in peers:
	    peer.send(request("events", follow=True, last=1))
	    peer.receive()
	late = Peer()
	assert late.hello["error"]["code"] == -32001, late.hello
	late.wait_closed()
	assert all(peer.is_open() for peer in peers)
	peers[10].close()
	wait_until(lambda: "method" in Peer().hello, what="a free place")
	E
	# the verb says the same, and exits with 75
	py "$NCLUST" <<-'E'
	import subprocess, sys
	peers = [Peer() for _ in range(64)]
	for peer in peers:
	    peer.send(request("events", follow=True, last=1))
	    peer.receive()
	done = subprocess.run([sys.argv[1], "status", "it"],
	                      capture_output=True, timeout=20)
	assert done.returncode == 75, done
	assert b"64 clients" in done.stderr, done
	E
}

@test "a thousand connections leave it answering, with no descriptor more" {
	start_quick -n 1

	py "$NCLUST_PID" <<-'E'
	import sys, time
	pid = int(sys.argv[1])
	fds = fd_count(pid)
	for i in range(0, 1000, 125):
	    peers = [Peer(hello=False) for _ in range(125)]
	    asked = time.monotonic()
	    assert Peer().result("status")["name"] == "it"
	    assert time.monotonic() - asked < 1 * PATIENCE
	    for peer in peers:
	        peer.close()
	wait_until(lambda: fd_count(pid) <= fds, what="all closed")
	E
}

@test "who is gone before the answer does no harm" {
	start_quick -n 2

	py "$NCLUST_PID" <<-'E'
	import sys
	pid = int(sys.argv[1])
	fds = fd_count(pid)
	for i in range(200):
	    peer = Peer(hello=i % 2 == 0)
	    try:
	        peer.send(request("status") * 20)
	    except BrokenPipeError:
	        pass # 64 are there already: it had to go
	    peer.close()
	for i in range(10):
	    peer = Peer()
	    peer.send(request("restart"))
	    if i % 2 == 0:
	        peer.receive()
	    peer.close()
	wait_until(lambda: fd_count(pid) <= fds + 6, what="all closed")
	peer = Peer()
	assert peer.result("restart")["ok"]
	wait_until(lambda: peer.result("status")["clusters"][0]["ready"] == 2)
	E
	is_alive "$NCLUST_PID"
}

@test "descriptors that come along are closed" {
	start_quick -n 1

	py "$NCLUST_PID" <<-'E'
	import array, os, sys
	pid = int(sys.argv[1])
	peer = Peer()
	fds = fd_count(pid)
	read, write = os.pipe()
	# since Linux 6.16 nclust has the kernel refuse them (SO_PASSRIGHTS): the
	# sender gets EPERM, and nothing is sent
	refused = 0
	for i in range(40):
	    try:
	        peer.socket.sendmsg([request("status", id=i)], [(
	            socket.SOL_SOCKET, socket.SCM_RIGHTS,
	            array.array("i", [write] * 20))])
	    except PermissionError:
	        refused += 1
	        peer.socket.sendall(request("status", id=i))
	    assert peer.answer()["id"] == i
	assert refused in (0, 40), refused
	assert fd_count(pid) <= fds, (fds, fd_count(pid))
	os.close(write)
	assert os.read(read, 1) == b"" # nobody has the other end any more
	E
}

@test "a stopped nclust is given up by the verbs, also when its queue is full" {
	need_root
	need unshare
	# the backlog is the namespace's: 2 fill it
	"$NCLUST" version >/dev/null
	unshare -n sh -c 'echo 1 >/proc/sys/net/core/somaxconn; exec "$@"' - \
		"$NCLUST" --name it -n 1 --ready notify -- \
		"$FIXTURES/deaf" --notify >>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	kill -STOP "$NCLUST_PID"

	py "$NCLUST" <<-'E'
	import subprocess, sys, time
	queued = []
	while len(queued) < 10:
	    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
	    peer.setblocking(False)
	    try:
	        peer.connect(PATH)
	    except BlockingIOError:
	        break
	    queued.append(peer)
	assert 0 < len(queued) < 10, len(queued)
	began = time.monotonic()
	done = subprocess.run([sys.argv[1], "status", "it"], timeout=30,
	                      capture_output=True)
	assert done.returncode == 75, done
	assert time.monotonic() - began < 15 * PATIENCE
	E
	kill -CONT "$NCLUST_PID"
	wait_ready
}

# --- Who may -----------------------------------------------------------------------

# as_other GROUP COMMAND...: as nobody, with this one group more.
as_other() {
	local groups=--clear-groups

	[ -z "$1" ] || groups=--groups=$1
	shift
	setpriv --reuid 65534 --regid 65534 "$groups" "$@"
}

@test "another user is refused by the socket's mode, and by its credentials" {
	need_root
	need setpriv
	start_quick -n 1
	cp "$NCLUST" "$DIR/nclust-copy"

	run as_other "" "$DIR/nclust-copy" status "$INSTANCE"
	[ "$status" -eq 77 ]
	[[ $output == *ermission* ]]

	# even if somebody opens the file to all
	chmod 666 "$PEER_SOCKET"
	run as_other "" "$DIR/nclust-copy" status "$INSTANCE"
	[ "$status" -eq 77 ]
	[[ $output == *"not permitted"* ]]
	run as_other "" socat -u "UNIX-CONNECT:$PEER_SOCKET" -
	[[ $output == *-32002* ]]
	[[ $output != *'"method":"hello"'* ]]
	is_alive "$NCLUST_PID"
}

@test "members of control-group may look, not change" {
	need_root
	need setpriv
	start_quick -n 1 --control-group '#4711'
	[ "$(stat -c '%a %g' "$PEER_SOCKET")" = "660 4711" ]
	cp "$NCLUST" "$DIR/nclust-copy"

	for verb in status config events; do
		run -0 as_other 4711 "$DIR/nclust-copy" "$verb" "$INSTANCE"
	done
	for verb in restart stop reload "signal TERM" "scale 2"; do
		read -r word more <<<"$verb"
		# shellcheck disable=SC2086
		run as_other 4711 "$DIR/nclust-copy" "$word" "$INSTANCE" $more
		[ "$status" -eq 77 ]
		[[ $output == *control-group* ]]
	done
	[ "$(cluster .wanted)" -eq 1 ]
	[ "$(cluster .generation)" -eq 1 ]

	# as the primary group, too; and others not at all
	run -0 setpriv --reuid 65534 --regid 4711 --clear-groups \
		"$DIR/nclust-copy" status "$INSTANCE"
	chmod 666 "$PEER_SOCKET"
	run as_other 4712 "$DIR/nclust-copy" status "$INSTANCE"
	[ "$status" -eq 77 ]
}

@test "readers with very many requests leave each other their turn" {
	need_root
	start_quick -n 1 --control-group '#4711'
	# what nobody has ever heard of is looked for in the whole history
	python3 - "$PEER_SOCKET" 3>&- <<-'E'
		import os, select, socket, sys
		os.setgroups([4711])
		os.setgid(65534)
		os.setuid(65534)
		each = 200
		request = (b'{"jsonrpc":"2.0","id":1,"method":"events",'
		           b'"params":{"target":"nobody.1"}}\n')
		got = {}
		for _ in range(30):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    s.sendall(each * request)
		    got[s] = 0
		least = None
		while min(got.values()) < each:
		    ready = select.select(list(got), [], [], 30)[0]
		    assert ready, got
		    for s in ready:
		        data = s.recv(65536)
		        assert data, "closed"
		        got[s] += data.count(b'"id":1,')
		    if least is None and max(got.values()) == each:
		        least = min(got.values())
		assert least > 0, "some had to wait until others had all"
	E
}

@test "the files have their modes from the start, whatever the umask" {
	local umask
	for umask in 000 077; do
		INSTANCE=it$umask
		(
			umask "$umask"
			exec "$NCLUST" --name "$INSTANCE" -n 1 --ready notify \
				--stop-signal KILL -- "$FIXTURES/deaf" --notify
		) >>"$LOG" 2>&1 </dev/null 3>&- &
		STARTED+=($!)
		wait_ready
		cd "$NCLUST_RUNTIME_DIR/$INSTANCE"
		[ "$(stat -c %a . control lock notify | tr '\n' ' ')" = \
			"711 600 600 711 " ]
		[ "$(stat -c %a notify/* | sort -u)" = 600 ]
	done
}

@test "the notify sockets belong to the user of their worker" {
	need_root
	start_quick -n 1 --user '#4242' --group '#4242'
	[ "$(stat -c '%u %a' "$NCLUST_RUNTIME_DIR/$INSTANCE"/notify/*)" = \
		"4242 600" ]
}

# --- Where it is -------------------------------------------------------------------

# refuses_directory WORDS: a start fails, says so, and starts nothing.
refuses_directory() {
	run "$NCLUST" --name it -n 1 -- touch "$DIR/ran"
	[ "$status" -ne 0 ]
	[[ $output == *"$1"* ]]
	[[ $output == *nclust:* ]]
	[ ! -e "$DIR/ran" ]
}

@test "a runtime directory that others may write to is refused" {
	chmod 777 "$NCLUST_RUNTIME_DIR"
	refuses_directory "others may write"
	# with the sticky bit likewise
	chmod 1777 "$NCLUST_RUNTIME_DIR"
	refuses_directory "others may write"
	chmod 755 "$NCLUST_RUNTIME_DIR"
	mkdir -m 770 "$NCLUST_RUNTIME_DIR/it"
	chmod 770 "$NCLUST_RUNTIME_DIR/it"
	refuses_directory "others may write"
}

@test "a runtime directory that is a symbolic link is refused" {
	mkdir "$DIR/elsewhere"
	ln -s "$DIR/elsewhere" "$NCLUST_RUNTIME_DIR/it"
	refuses_directory "symbolic link"
	[ -z "$(ls -A "$DIR/elsewhere")" ]

	rm -r "$NCLUST_RUNTIME_DIR"
	ln -s "$DIR/elsewhere" "$NCLUST_RUNTIME_DIR"
	refuses_directory "symbolic link"
	[ -z "$(ls -A "$DIR/elsewhere")" ]
}

@test "a runtime directory of somebody else is refused" {
	need_root
	chown 65534 "$NCLUST_RUNTIME_DIR"
	refuses_directory "uid 65534"
	chown 0 "$NCLUST_RUNTIME_DIR"
	mkdir "$NCLUST_RUNTIME_DIR/it"
	chown 65534 "$NCLUST_RUNTIME_DIR/it"
	refuses_directory "uid 65534"
	# the clients do not trust it either
	run "$NCLUST" status it
	[ "$status" -ne 0 ]
}

@test "links and files that were laid out for it are not touched" {
	mkdir -m 711 "$NCLUST_RUNTIME_DIR/it"
	echo precious >"$DIR/target"
	ln -s "$DIR/target" "$NCLUST_RUNTIME_DIR/it/lock"
	refuses_directory lock
	[ "$(cat "$DIR/target")" = precious ]

	rm "$NCLUST_RUNTIME_DIR/it/lock"
	mkdir "$NCLUST_RUNTIME_DIR/it/lock"
	refuses_directory lock
	rmdir "$NCLUST_RUNTIME_DIR/it/lock"

	ln -s "$DIR/elsewhere" "$NCLUST_RUNTIME_DIR/it/notify"
	mkdir "$DIR/elsewhere"
	refuses_directory notify
	[ -z "$(ls -A "$DIR/elsewhere")" ]
	rm "$NCLUST_RUNTIME_DIR/it/notify"

	# a link in the place of the socket is replaced, not followed
	ln -s "$DIR/target" "$NCLUST_RUNTIME_DIR/it/control"
	start_quick -n 1
	[ -S "$PEER_SOCKET" ]
	[ ! -L "$PEER_SOCKET" ]
	[ "$(cat "$DIR/target")" = precious ]
}

@test "names that are none are refused" {
	local name
	for name in "" . .. .hidden -x a/b ../x /tmp/x $'a\nb' "a b" 'a;b' \
		$'\xff' "$(printf 'x%.0s' {1..65})" "$(printf 'x%.0s' {1..300})"; do
		run "$NCLUST" "--name=$name" -n 1 -- touch "$DIR/ran"
		[ "$status" -eq 78 ] || [ "$status" -eq 64 ]
		[ ! -e "$DIR/ran" ]
	done
	[ -z "$(ls -A "$NCLUST_RUNTIME_DIR")" ]

	INSTANCE=$(printf 'x%.0s' {1..64})
	start_cluster -n 1 --ready alive:10ms -- sleep 1000
	[ "$(status_json | jq -r .name)" = "$INSTANCE" ]
}

@test "paths longer than a socket's address work" {
	local deep=$NCLUST_RUNTIME_DIR/$(printf 'd%.0s' {1..150})

	mkdir -p "$deep"
	NCLUST_RUNTIME_DIR=$deep
	INSTANCE=$(printf 'x%.0s' {1..64})
	start_cluster -n 1 --ready alive:10ms -- sleep 1000
	nclust scale "$INSTANCE" 2
	# the workers' own sockets are known to them by path alone
	logged "too long for a socket's address"
	nclust stop "$INSTANCE"
	run timeout 20 "$NCLUST" --name it -n 1 --ready notify \
		--runtime-directory "$deep" -- touch "$DIR/ran"
	[ "$status" -eq 78 ]
	[[ $output == *"shorter 'runtime-directory'"* ]]
	[ ! -e "$DIR/ran" ]
}

# --- One of a name -----------------------------------------------------------------

@test "a second instance of the name is refused, and told who has it" {
	start_quick -n 1

	run "$NCLUST" --name it -n 1 -- touch "$DIR/ran"
	[ "$status" -eq 75 ]
	[[ $output == *"already running"*"pid $NCLUST_PID"* ]]
	[ ! -e "$DIR/ran" ]
	[ "$(cluster .ready)" -eq 1 ]
}

@test "of ten that start at the same time exactly one runs" {
	local pids=() pid running=0
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		"$NCLUST" --name it -n 1 --ready notify \
			--stop-signal KILL -- "$FIXTURES/deaf" --notify \
			>>"$LOG" 2>&1 </dev/null 3>&- &
		pids+=($!)
		STARTED+=($!)
	done
	wait_ready
	nine_ended() {
		running=0
		for pid in "${pids[@]}"; do
			! is_alive "$pid" || running=$((running + 1))
		done
		[ "$running" -eq 1 ]
	}
	poll_until 10 nine_ended
	for pid in "${pids[@]}"; do
		! is_alive "$pid" || continue
		status=0
		wait "$pid" || status=$?
		[ "$status" -eq 75 ]
	done
	[ "$(grep -c 'already running' "$LOG")" -eq 9 ]
	[ "$(status_json | jq '.clusters[0].ready')" -eq 1 ]
}

@test "after kill -9 the next start takes the name over" {
	start_quick -n 1
	kill -KILL "$NCLUST_PID"
	poll_until 5 is_gone "$NCLUST_PID"
	[ -S "$PEER_SOCKET" ]
	run nclust status "$INSTANCE"
	[ "$status" -eq 3 ]

	start_quick -n 2
	[ "$(cluster .ready)" -eq 2 ]
	sockets=("$NCLUST_RUNTIME_DIR"/it/notify/*)
	[ "${#sockets[@]}" -eq 2 ]
}

@test "nothing is left when it has ended" {
	start_quick -n 1
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	[ -z "$(ls -A "$NCLUST_RUNTIME_DIR")" ]
}

# --- Cleaners ----------------------------------------------------------------------

@test "a control socket that was removed is made anew, workers unaffected" {
	start_quick -n 2
	old=$(worker_pid 0)

	rm "$PEER_SOCKET"
	poll_until 5 answers "$old"
	logged "made again"
	rm -r "$NCLUST_RUNTIME_DIR/it"
	poll_until 5 answers "$old"
	rm -r "$NCLUST_RUNTIME_DIR"
	poll_until 5 answers "$old"
	mv "$NCLUST_RUNTIME_DIR/it" "$NCLUST_RUNTIME_DIR/away"
	poll_until 5 answers "$old"

	# the name is still taken, and a roll still hears its workers
	run "$NCLUST" --name it -n 1 -- touch "$DIR/ran"
	[ "$status" -eq 75 ]
	nclust restart "$INSTANCE"
	[ "$(cluster .ready)" -eq 2 ]
	nclust stop "$INSTANCE"
	wait_exit
	[ ! -e "$NCLUST_RUNTIME_DIR/it" ]
}

# answers PID: is the worker of slot 0 still this one?
answers() {
	[ -S "$PEER_SOCKET" ] && [ "$(worker_pid 0 2>/dev/null)" = "$1" ]
}

@test "a worker that dies while the directory is missing is replaced at once" {
	start_quick -n 1
	old=$(worker_pid 0)
	kill -STOP "$NCLUST_PID"
	rm -r "$NCLUST_RUNTIME_DIR/it"
	kill -KILL "$old"
	kill -CONT "$NCLUST_PID"

	wait_until 5 '[ "$(cluster .ready 2>/dev/null)" = 1 ] &&
		[ "$(worker_pid 0)" != "$1" ]' "$old"
	logged "replaced at once"
	run ! logged "could not be started"
}

@test "a name that another instance has taken meanwhile is left to it" {
	start_quick -n 1
	first=$NCLUST_PID
	kill -STOP "$first"
	rm -r "$NCLUST_RUNTIME_DIR/it"
	start_quick -n 3
	kill -CONT "$first"

	wait_logged "the name was taken by another instance (pid $NCLUST_PID)"
	kill -TERM "$first"
	poll_until 5 is_gone "$first"
	[ "$(cluster .ready)" -eq 3 ]
}

# --- What is in it -----------------------------------------------------------------

@test "control bytes in commands and status texts are escaped" {
	start_cluster -n 1 --ready notify --name it \
		-- "$FIXTURES/notify" 'READY=1\nSTATUS=x"y'$'\e[2J\xff'

	py <<-'E'
	peer = Peer()
	peer.send(request("status"))
	line = peer.line()
	for byte in range(32):
	    assert bytes([byte]) not in line
	assert b"\x7f" not in line and b"\xff" not in line
	command = json.loads(line.decode("utf-8"))["result"]["clusters"][0]["command"]
	assert "\x1b[2J\ufffd" in command[1], command
	E
	run -0 nclust status "$INSTANCE"
	[[ $output != *$'\e'* ]]
	run -0 nclust status "$INSTANCE" --json
	[[ $output != *$'\e'* ]]
	[ "$(jq -r '.clusters[0].workers[0].status' <<<"$output")" = \
		'x"y\x1b[2J\xff' ]
}

@test "what turns text around is escaped, but not in a worker's own lines" {
	turn=$'\u202e'
	printf 'Error: user %snimda refused\n' "$turn" >"$DIR/said"
	start_nclust -n 1 --ready alive:10ms --backoff-min 1h --backoff-max 1h \
		-- sh -c "sleep 0.1; cat $DIR/said >&2; exit 3"
	wait_logged 'ended with exit 3'
	nclust events "$INSTANCE" >"$DIR/events"
	for file in "$DIR/log" "$DIR/events"; do
		grep -a 'ended with exit 3' "$file" >"$DIR/end"
		grep -qF 'user \xe2\x80\xaenimda' "$DIR/end"
		run ! grep -q "$turn" "$DIR/end"
	done
	nclust logs "$INSTANCE" | grep -q "user ${turn}nimda"
}

@test "arguments and environment with control bytes show escaped everywhere" {
	# quotes, ESC, bytes that are no UTF-8, C1 controls
	evil=$'a"b\\c\e[31mred\x07\xff\xc2\x9bz'
	start_cluster -n 1 --ready alive:10ms --env "EVIL=$evil" \
		-- sleep 1000
	nclust config "$INSTANCE" >"$DIR/config"
	run ! grep -qaP '[\x00-\x08\x0b-\x1f\x7f]' "$DIR/config"
	nclust config "$INSTANCE" --json >"$DIR/config"
	run ! grep -qaP '[\x00-\x08\x0b-\x1f\x7f]' "$DIR/config"
	jq -e . "$DIR/config" >/dev/null
}
