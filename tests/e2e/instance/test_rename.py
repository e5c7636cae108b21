# SPDX-License-Identifier: MIT
"""A cluster that gets another name in the file: the old one is stopped and a new one is started, and
nothing is lost at an address of `listen`."""
import re

from harness import *

SERVES = f"{SERVE} --notify"
GRACEFUL = f"{RUDE} 8000 --graceful"


def one(name, *more, command=SERVES, ready="notify"):
    return section(name, command, *more, ready=ready)


def rename(old, new):
    edit("it.ini", f"[cluster:{old}]", f"[cluster:{new}]")


def reload(it, *files):
    """With that file, if it is another one: what it says."""
    if files:
        write("it.ini", "".join(files))
    return it.call("reload").text


def knows(it, name):
    return all(environment(pid)["NCLUST_CLUSTER"] == name for pid in it.pids(name))


def names(it):
    return [c.name for c in it.status().clusters]


def redis(words):
    with dial() as connection:
        connection.sendall(f"{words}\r\n".encode())
        return connection.recv(100)


def addresses(it, name=None):
    return [listener.address for listener in it.cluster(name).listeners]


class Load(Steady):
    """Requests at these addresses; `over` when none is lost."""

    def __init__(self, *at):
        for address in at:
            wait_listened(address)
        super().__init__(at[0], *at[1:], "--rate", 60)

    def over(self):
        self.loses_nothing()


@pytest.mark.parametrize("at, listen", ((8000, "listen = 8000"),
                                        ("/run/socket", "listen = unix:/run/socket")),
                         ids=("port", "path"))
def test_the_address_of_listen_passes_to_the_new_name_when_its_workers_are_ready(at, listen):
    gate = Gate()
    gate.open()
    it = cluster(ini=one("web", listen, command=f"{SERVES} --delay {gate}"))
    inode = it.cluster().listeners[0].inode
    load = Load(at)
    for old, new in (("web", "site"), ("site", "web")):
        os.remove(gate.path)
        before = it.pids(old)
        rename(old, new)
        reloaded = it.begin("reload")
        it.wait(lambda: new in names(it) and len(it.pids(new)) == 2)
        assert it.pids(old) == before
        assert f"waits for {new} (starting)" in it.verb("status").out
        gate.open()
        assert reloaded().text == f"{new}: new; {old}: removed"
        it.wait(lambda: names(it) == [new])
    load.over()
    assert it.cluster().listeners[0].inode == inode
    assert knows(it, "web") and not it.happened("exited", why="crash")


def test_the_old_workers_leave_when_a_new_one_has_failed():
    it = cluster(ini=one("web", "listen = 8000"))
    write("it.ini", one("site", "listen = 8000", command="false"))
    it.verb("reload").fails(1, "site")
    it.wait(lambda: names(it) == ["site"])


def test_a_single_store_ends_before_the_new_one_reads_its_data():
    it = cluster(ini=section("web", "redis-server --save '3600 1' --port 8000", "listen = 8000",
                             workers=1, ready=None))
    assert redis("SET a b") == b"+OK\r\n"
    rename("web", "site")
    since = it.mark()
    it.call("reload")
    it.mark()
    assert [e.event for e in it.events[since:] if e.event in ("started", "exited")] == [
        "exited", "started"]
    assert names(it) == ["site"] and redis("GET a") == b"$1\r\nb\r\n"


def test_a_port_that_workers_have_bound_is_said_to_be_refused_meanwhile():
    it = cluster(ini=one("web", command=GRACEFUL))
    rename("web", "site")
    assert "'listen' would keep them" in it.call("reload", no_wait=True).text
    it.wait(lambda: names(it) == ["site"])
    it.wait(lambda: it.cluster("site").ready == 2)
    assert knows(it, "site") and get().pid in it.pids("site")
    reload(it, one("site", "listen = 0.0.0.0:8000", command=GRACEFUL))
    rename("site", "web")
    assert reload(it) == "web: new; site: removed"


TWO = one("one", "listen = 8000") + one("two", "listen = 8001")


def test_the_addresses_of_one_pass_to_two():
    it = cluster(ini=one("web", "listen = 8000", "listen = 8001"))
    load = Load(8000, 8001)
    assert "one: new; two: new; web: removed" in reload(it, TWO)
    load.over()
    it.wait(lambda: names(it) == ["one", "two"])


@pytest.mark.parametrize("after", (
    # no name is gone, so none is renamed: each gets the other's settings
    {"two": 8000, "one": 8001},
    # the name in the middle stays, with other settings: one leaves, and one is new
    {"two": 8000, "three": 8001}), ids=("swap", "chain"))
def test_names_that_change_hands_lose_nothing(after):
    it = cluster(ini=TWO)
    for _ in range(2):
        it.call("restart")
    load = Load(8000, 8001)
    said = reload(it, *(one(name, f"listen = {port}") for name, port in after.items()))
    load.over()
    assert "two: listen: rolling" in said
    it.wait(lambda: sorted(names(it)) == sorted(after))
    assert {name: int(addresses(it, name)[0][-4:]) for name in after} == after


def test_two_that_swap_ports_that_they_bind_are_told_whose_these_are_and_stay():
    both = one("one", command=GRACEFUL) + one("two", command=f"{RUDE} 8001 --graceful")
    it = cluster(ini=both)
    before = it.pids("one"), it.pids("two")
    write("it.ini", both.replace(":one", ":").replace(":two", ":one").replace(":]", ":two]"))
    refused = it.verb("reload")
    assert refused.status == 1
    assert re.search("in use by cluster '(one|two)' of this nclust", refused.err)
    it.wait(lambda: (it.pids("one"), it.pids("two")) == before)
    assert get().pid in before[0] and get(port=8001).pid in before[1]


def test_a_name_that_another_is_leaving_under_is_refused():
    web = one("web", "listen = 8000")
    it = cluster(ini=web + one("old", "stop-timeout = 1h", command=f"{fixture('deaf')} --notify"))
    write("it.ini", web)
    it.call("reload", no_wait=True)
    rename("web", "old")
    it.verb("reload").fails(1, "cluster 'old' is still stopping")
    assert len(it.pids("web")) == 2 and knows(it, "web")
