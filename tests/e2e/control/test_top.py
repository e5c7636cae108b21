# SPDX-License-Identifier: MIT
"""`nclust top`: what is on the screen, what keys do, and that the terminal is given back."""
import signal

from harness import *
from harness import lab
from harness.terminal import *

QUIET = "--ready alive:1ms"


class Top(Terminal):
    def __init__(self, program=None, **options):
        super().__init__(program or inside(PROGRAM), "top", **options)
        self.sees("STATE", "pid [0-9]+")

    def selects(self, name, row=None):
        """The line below the list tells of it, and its row is in reverse video."""
        self.wait(lambda: re.search(f"^─ {name}", self.text, re.M) and any(
            re.search(row or name.partition(":")[0], line) for line in self.lines(7)), name)

    def quit(self):
        self.type("q")
        assert self.exit() == 0
        assert self.is_as_before()


def test_clusters_listeners_with_a_bar_workers_and_what_happens():
    it = cluster(f"-n 3 {QUIET} -l 8000 --intercept off", *NAP)
    top = Top()
    top.sees(r"^3 of 3 ready  CPU \[.*\] .*  MEM \[.*\] ",
             r"^  SLOT▲ +PID  STATE +UP +RESTARTS  CPU% +MEM",
             r"^it  running, 3 of 3 ready, generation 1",
             r"tcp:\[::\]:8000, queue \[ +\] 0 of [0-9]+, 0 dropped",
             rf"^  it.2 +{it.worker(2).pid}  ready .* 0  +0.0 +[0-9]+K █",
             r"it: 3 of 3 workers ready")
    old = it.worker(1).pid
    kill(old)
    top.sees(f"it.1: worker {old} killed by SIGKILL", r"^  it.1 .* ready .* 1 ",
             lacks=[rf"^  it.1 +{old} "])
    # the library that draws is in no other process
    assert "ncursesw" in read(f"/proc/{top.process.pid}/maps")
    assert "ncurses" not in read(f"/proc/{it.pid}/maps")
    top.quit()


def test_a_queue_that_fills_is_a_bar_and_cpu_is_that_of_the_last_second():
    it = cluster(f"-n 1 {QUIET} -l '8000, backlog=4' --intercept off", "sh", "-c",
                 "while :; do :; done")
    top = Top()
    clients = [dial() for _ in range(4)]
    top.sees(r"queue \[████████ .*\] 4 of 5|queue \[██████████\] 4 of 4",
             r"^  it.0 .* [1-9][0-9.]*\.[0-9] [▏▎▍▌▋▊▉█]")
    freeze(it.worker().pid)
    top.sees(r"^  it.0 .* 0\.0  ")
    assert len(clients) == 4


def test_it_goes_with_the_size_of_the_terminal():
    cluster(f"-n 3 {QUIET}", *NAP)
    top = Top(columns=40, rows=10)
    top.sees("^  it.0 .*ready")
    for columns, rows, *seen in ((140, 40, "LAST EXIT", "^  it.2 "), (10, 3, "^3 of 3"),
                                 (1, 1, "^3"), (80, 24, "RESTARTS", "^  it.2 ", r"^\? help")):
        top.resize(columns, rows)
        top.sees(*seen)
    top.quit()


def test_keys_sort_filter_and_select_and_a_worker_stays_selected_as_rows_move():
    cluster(f"-n 3 {QUIET}", "sh", "-c",
            '[ "$NCLUST_SLOT" != 1 ] || while :; do :; done; exec sleep 1000')
    top = Top()

    def shows(*slots):
        top.wait(lambda: tuple(map(int, re.findall(r"^  it\.(\d)", top.text, re.M))) == slots)

    top.type("jjj")
    top.selects("it.1: ready")
    top.type("C")
    top.sees("CPU%▼", r"^  it\.1 .*\n  it.*\n  it")
    top.selects("it.1: ready")
    top.type("S/it.2")
    top.sees("^/it.2_", "SLOT▲")
    shows(2)
    top.type(ENTER)
    top.sees("only 'it.2'")
    top.type(ESCAPE)
    shows(0, 1, 2)
    top.type("?")
    top.sees("sort by slot, up, restarts")
    top.type("q")  # of the help
    top.sees("^  it.0 ")
    top.quit()


def test_a_restart_asks_and_what_is_refused_is_shown():
    write("app", "exec sleep 1000")
    it = cluster(f"-n 2 {QUIET}", "sh", path("app"))
    old = it.pids()
    top = Top()
    top.type("jjjr")
    top.sees(r"^restart it.1\? y/n")
    top.type("n")
    top.sees("nothing was done")
    assert it.pids() == old
    top.type("r")
    top.sees(r"^restart it.1\? y/n")
    assert it.pids() == old
    top.type("y")
    top.sees("^it: .*(done|replaced)")
    assert it.worker(0).pid == old[0] and it.worker(1).pid != old[1]
    write("app", "exit 3")
    top.type("kkry")
    top.sees("^it.* exit 3", "^  last restart failed")


def test_scale_and_stop_of_what_is_selected():
    it = cluster(f"-n 2 {QUIET}", *NAP)
    top = Top()
    top.type("+")
    top.sees("select the cluster")
    top.type("j+++-")
    top.sees(r"^run 2 more of it\? y/n")
    top.type("y")
    top.sees("^4 of 4 ready")
    assert it.cluster().ready == 4
    top.type("-")
    top.sees(r"^run 1 fewer of it\? y/n")
    top.type("y")
    top.sees("^3 of 3 ready")
    top.type(HOME + "s")
    top.sees(r"^stop all workers of it, and nclust itself\? y/n")
    top.type("y")
    it.exit()
    top.sees("connecting again")


@pytest.mark.parametrize("number", ("TERM", "HUP", "INT", "QUIT"))
def test_the_terminal_is_as_before_after_every_signal_that_ends_it(number):
    cluster(f"-n 2 {QUIET}", *NAP)
    top = Top()
    assert top.modes >= {"?1049"} and "?25" not in top.modes
    kill(top.process.pid, getattr(signal, f"SIG{number}"))
    assert top.exit() == 0
    assert top.is_as_before()


def test_control_s_stops_nothing_and_control_c_ends_it():
    it = cluster(f"-n 2 {QUIET}", *NAP)
    top = Top()
    top.type("\x13")
    kill(it.worker(1).pid)
    top.sees("killed by SIGKILL")
    top.type("\x03")
    assert top.exit() == 0
    assert top.is_as_before()


def test_a_terminal_that_is_gone_ends_it_where_nobody_hears_sighup():
    cluster(f"-n 2 {QUIET}", *NAP)
    shell = Terminal("sh", "-c", "trap '' HUP; \"$0\" top; exit 7", inside(PROGRAM))
    shell.sees("^2 of 2 ready")
    shell.hang_up()
    wait(lambda: shell.process.poll() == 7)


def test_control_z_gives_the_terminal_back_until_fg():
    cluster(f"-n 2 {QUIET}", *NAP)
    shell = Terminal("bash", "--norc", "-i", env={"PS1": "ready> "})
    shell.sees("ready>")
    shell.type(f"{inside(PROGRAM)} top\r")
    shell.sees("^2 of 2 ready")
    shell.type("\x1a")
    shell.sees("Stopped")
    assert shell.modes & {"?25", "?1049"} == {"?25"}
    shell.type('echo "as before: $((6 * 7))"\r')
    shell.sees("as before: 42")
    shell.type("fg\r")
    shell.sees("^2 of 2 ready")
    shell.wait(lambda: shell.modes & {"?25", "?1049"} == {"?1049"})
    shell.type("jj")
    shell.sees("^─ it.0: ready")
    shell.type("q")
    shell.wait(lambda: "?1049" not in shell.modes)
    shell.type("exit\r")
    assert shell.exit() == 0


def test_it_goes_on_through_an_upgrade_an_end_and_a_new_start():
    it = cluster(f"-n 2 {QUIET}", *NAP)
    top = Top()
    it.call("upgrade")
    top.sees(f"^it  pid {it.pid}, .*1 upgrade", "^2 of 2 ready")
    top.type("jry")
    top.sees("^it: .*(done|replaced)")
    it.stop()
    top.sees("connecting again")
    it = cluster(f"-n 3 {QUIET}", *NAP)
    top.sees("^3 of 3 ready", f"^it  pid {it.pid},")
    top.selects("it: sleep 1000", "^it  running|it")


def test_l_and_enter_show_what_a_worker_has_written_e_what_happened_to_it():
    os.mkfifo("fifo.0")
    os.mkfifo("fifo.1")
    it = cluster(f"-n 2 {QUIET}", "sh", "-c", r"""
        printf "first of %s \033[31mred\033[0m \033[2J\n" "$NCLUST_SLOT"
        echo "an error" >&2
        while read -r line; do echo "got $line"; done <"$0/fifo.$NCLUST_SLOT"
        exec sleep 1000""", path())
    top = Top()
    top.type(END + ENTER)
    top.sees("^nclust logs -f it/it.1: any key goes back", r"  it\.1 \| first of 1 red \\x1b\[2J",
             r"  it\.1 \| an error", lacks=["first of 0"])
    write("fifo.1", "more\n")  # at once, from the one that lives now
    top.sees("got more")
    top.type("\x1a")  # nothing could continue it
    top.type("\x03")
    top.sees("STATE")
    top.type(HOME + "l")  # of all
    top.sees(r"  it\.0 \| first of 0", r"  it\.1 \| first of 1")
    top.type("q")  # as any key: it ends the logs alone
    top.sees("STATE")
    top.type(END + "e")
    top.sees(r"(?s)^nclust events -f it/it\.1: (?!.*it\.0: worker)"
             rf".*it\.1: worker {it.worker(1).pid} ready")
    top.type("\x03")
    top.sees("STATE")
    top.quit()


def test_where_nothing_is_kept_of_the_output_it_says_what_to_set():
    cluster(f"-n 2 {QUIET} --log inherit", *NAP)
    top = Top()
    top.type(END + "l")
    top.sees("nothing is kept", "^any key goes back")
    top.type("q")
    top.sees("STATE")
    top.quit()


def test_a_signal_ends_it_also_where_output_is_shown():
    cluster(f"-n 2 {QUIET}", *NAP)
    top = Top()
    top.type("l")
    top.sees("^nclust logs -f it: ")
    kill(top.process.pid, SIGTERM)
    assert top.exit() == 0
    assert top.is_as_before()


def test_what_shows_output_goes_back_where_the_end_of_children_was_ignored():
    cluster(f"-n 2 {QUIET} --log prefix", *NAP)
    top = Terminal("bash", "-c", "trap '' CHLD INT; exec \"$0\" top", inside(PROGRAM))
    top.sees("^2 of 2 ready")
    top.type("e")
    top.sees("goes back", "2 of 2 workers ready")
    top.type("\x03")
    top.sees("^2 of 2 ready")
    top.type("q")
    assert top.exit() == 0


def test_while_nclust_answers_nobody_keys_are_heard():
    it = cluster("-n 2 --ready notify", HEAR, "--notify", clock=True)
    lab.clock.flow()
    top = Top(program=variant("clock"))
    kill(it.pid, SIGSTOP)
    lab.clock.advance(4)
    top.sees("no answer for [0-9]+")
    top.type("?")
    top.sees("sort by slot")
    top.type("q")
    kill(it.pid, SIGCONT)
    top.sees("^2 of 2 ready")
    kill(it.pid, SIGSTOP)
    top.quit()


def test_what_workers_say_reaches_the_terminal_as_text():
    cluster("-n 1 --ready notify", NOTIFY, "STATUS=\033]0;evil\007\033[2J ok\\nREADY=1")
    top = Top(columns=120)
    top.type(END)
    top.selects(r"it.0: says .\\x1b\]0;evil\\x07\\x1b\[2J ok", "it.0")
    assert "\033]" not in top.said


@pytest.mark.parametrize("env, coloured", (({}, True), ({"NO_COLOR": "1"}, False)))
def test_colours_are_those_of_status_and_no_color_is_heard(env, coloured):
    cluster(f"-n 2 {QUIET}", *NAP)
    top = Top(env=env)
    top.sees("^  it.1 .*ready")
    assert ("ready" in "".join(top.lines(32))) == coloured
    assert (re.search(r"\033\[3[0-8]m", top.said) is not None) == coloured


@pytest.mark.leaks
@pytest.mark.parametrize("kind, status, says", (
    ("dumb", 64, "TERM=dumb cannot be drawn on; 'watch nclust status'"),
    ("nothing", 64, "the terminal type TERM=nothing is unknown"),
    ("without the library", 69, "install the package {}; 'watch nclust status'")))
def test_where_it_cannot_draw_a_line_says_what_to_do(kind, status, says):
    cluster(f"-n 1 {QUIET}", *NAP)
    env = {"TERM": kind}
    if status == 69:
        env = {}
        library = re.search(r"(/.*/libncursesw\.so\.6)$", run("/sbin/ldconfig", "-p").ok(), re.M)
        run("mount", "--bind", "/dev/null", os.path.realpath(library.group(1))).ok()
    top = Terminal(inside(PROGRAM), "top", columns=200, env=env)
    assert top.exit() == status
    if status == 69:
        says = says.format(package_of("libncursesw.so.6"))
    assert says in top.said and len(top.said.splitlines()) == 1


def test_without_a_terminal_it_says_so_and_of_its_words_it_takes_one():
    cluster(f"-n 1 {QUIET}", *NAP)
    said = nclust("top").fails(64, "nclust: top: needs a terminal", "nclust status")
    assert len(said.err.splitlines()) == 1
    nclust("top it/web").fails(64)
    nclust("top it extra").fails(64)
