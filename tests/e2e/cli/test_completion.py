# SPDX-License-Identifier: MIT
"""What the shells offer when a user presses Tab, by the shells themselves."""
import re
import socket

from harness import *
from harness.terminal import Terminal

COMPLETION = f"{SRC}/etc/completion"


def bash(line):
    return run("bash", "--norc", "-c", f"""source {COMPLETION}/nclust.bash
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _nclust; printf "%s\n" "${{COMPREPLY[@]}}\"""",
               "-", *line.split(" ")).out.split()


def zsh(line):
    """A real interactive zsh gets the line and a Tab, prints what it would add, and ends."""
    write(".zshrc", f"""
        PROMPT="ready> " fpath=({COMPLETION} $fpath)
        autoload -U compinit
        compinit -u -d {path("dump")}
        compadd() {{
            local -a hits
            [[ "$*" == *-[OAD]* ]] || builtin compadd -A hits "$@"
            (($#hits)) && print -r -- "<${{(j:> <:)hits}}>"
            builtin compadd "$@"
        }}
        last() {{ print "\nTHE END"; exit }}
        comppostfuncs=(last)
        bindkey "^I" complete-word
        """)
    shell = Terminal("zsh", "-d", "-i", columns=2000, env={"ZDOTDIR": path()})
    shell.sees("ready>")
    shell.type(f"{line}\t")
    shell.exit()
    assert "THE END" in shell.said
    return re.findall("<([^<> ]+)>", shell.said)


@pytest.mark.parametrize("shell", (bash, zsh), ids=("bash", "zsh"))
def test_verbs_their_options_instances_signals_and_commands(shell):
    need(shell.__name__)
    cluster("-n 1 --ready alive:1ms", *NAP)
    # what an instance leaves that was killed: its socket, and its process id
    os.mkdir("run/dead")
    socket.socket(socket.AF_UNIX).bind(path("run/dead/control"))
    write("run/dead/lock", "4194305")  # above all that there can be
    value = "nclust --balance sh" if shell is bash else "nclust --balance=sh"
    for line, offered in (("nclust stat", ["status"]), ("nclust stop ", ["it"]),
                          ("nclust signal US", ["USR1", "USR2"]),
                          ("nclust help ver", ["version"]),
                          ("nclust help stop-t", ["stop-timeout"]), (value, ["share"])):
        assert sorted({*shell(line)}) == offered, line  # readline leaves out what is there twice
    options = shell("nclust events --")
    assert {"--follow", "--lines"} <= set(options) and "--listen" not in options
    assert "--max-unavailable" in " ".join(shell("nclust --max-un"))
    assert "mkfifo" in shell("nclust -n 2 -- mkfif")
    if shell is zsh:
        write("1-file", "")
        assert shell("nclust restart --canary=1") == []
        assert "mkfifo" in shell("nclust exec mkfif")


@pytest.mark.parametrize("typed, run_with", (
    ("nclust -c con\tsh\t", ["-c", "conf.d/shop.ini"]),
    ("nclust config --check -c my\t", ["config", "--check", "-c", "my shop.ini"]),
    ("nclust -- ./sr\tser\t", ["--", "./src/server"]),
    ("nclust -- cat con\tsh\t", ["--", "cat", "conf.d/shop.ini"]),
    ("nclust exec ./sr\tser\t", ["exec", "./src/server"])))
def test_bash_goes_on_behind_a_directory_and_quotes_a_blank(typed, run_with):
    for name in ("conf.d", "src"):
        os.mkdir(name)
    for name in ("conf.d/shop.ini", "src/server", "my shop.ini"):
        write(name, "")
    write("bashrc", f"source {COMPLETION}/nclust.bash\nPS1='ready> '\n"
          """nclust() { printf '\\n<%s>' "$@"; exit; }""")
    shell = Terminal("bash", "--rcfile", "bashrc", "-i", columns=2000)
    shell.sees("ready>")
    shell.type(f"{typed}\r")
    shell.exit()
    assert re.findall("<(.+)>", shell.said) == run_with
