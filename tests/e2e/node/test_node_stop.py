# SPDX-License-Identifier: MIT
"""A Node worker ends as it was written to: its stop signal reaches it while all that it has is open,
and nclust asks it to disconnect only when that signal has not ended it."""
import re

from nodes import *

EACH = pytest.mark.parametrize("program", ("node", *OTHERS))
VERBS = pytest.mark.parametrize("verb, params", (("restart", {}), ("scale", {"count": 1}),
                                                 ("stop", {})), ids=("restart", "scale", "stop"))


def two(text, *, program="node", options=""):
    """Workers that listen and do this at their stop signal."""
    script = write("two.js", f"""
const server = require('http').createServer((q, r) => r.end('well')).listen({PORT});
process.on('exit', (code) => console.log(`exits with ${{code}}`));
process.on('SIGTERM', () => {{ console.log('got SIGTERM,', process.pid); {text} }});
""")
    return cluster(f"-n 2 --ready listen --stop-timeout 1h --bake 0 {options}", program, script,
                   clock=True)


def comes(it, text, step):
    """It is in the log in the end, as time passes."""
    wait(lambda: it.says(text) or it.advance(step), text)


def gets_its_signal(it, verb, **params):
    it.call(verb, no_wait=True, **params)
    comes(it, "got SIG", 0.001)


@EACH
@VERBS
@pytest.mark.parametrize("options", ("", "--balance rr", "--stop-signal INT"),
                         ids=("shared", "by-turns", "int"))
def test_it_serves_on_closes_its_server_and_flushes(program, verb, params, options):
    it = node("finish.js", PORT, program=program, options=f"--stop-timeout 1h --bake 0 {options}",
              clock=True)
    gets_its_signal(it, verb, **params)
    it.advance(5)
    write("close", "")
    it.logged("closed: well")
    assert not it.says("disconnected")
    comes(it, "disconnected", 0.5)
    assert not it.says("flushed")
    write("flush", "")
    it.logged("exits with 0")
    assert it.says("flushed")


@EACH
@VERBS
def test_who_exits_when_it_is_disconnected_has_its_handler_run_first(program, verb, params):
    it = two("""
  process.on('disconnect', () => process.exit(1));
  process.on('SIGUSR2', () => server.close(() => process.exit(0)));
""", program=program)
    gets_its_signal(it, verb, **params)
    it.advance(1700)
    assert not it.says("exits")
    kill(int(re.search(r"got SIGTERM, (\d+)", it.log()).group(1)), SIGUSR2)
    it.logged("exits with 0")


def test_who_keeps_its_server_is_asked_when_half_of_its_time_is_over():
    it = two("process.on('disconnect', () => console.log('disconnected'));")
    gets_its_signal(it, "stop")
    it.advance(1795)
    assert not it.says("disconnected")
    comes(it, "disconnected", 1)
    comes(it, "exits with 0", 1)


def test_without_a_server_it_ends_when_it_has_finished_after_its_signal():
    it = cluster("-n 1 --ready alive:1ms --stop-timeout 1h", "node", write("poll.js", """
const timer = setInterval(() => {}, 1000);
process.on('SIGTERM', () => setTimeout(() => clearInterval(timer), 10));
console.log('begun');
"""))
    it.logged("begun")
    it.call("restart")
    assert it.worker().last_exit.text == "exit 0"
