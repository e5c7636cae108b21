# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# What the shells offer when a user presses Tab, by the shells themselves.

bats_require_minimum_version 1.5.0
load ../../lib

# in_bash WORD...: what bash offers for the last of these words.
in_bash() {
	bash --norc -c 'source "$0"
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_nclust
		printf "%s\n" "${COMPREPLY[@]}"' \
		"$ROOT/etc/completion/nclust.bash" "$@"
}

# in_zsh LINE: what zsh offers at the end of this line.  A real interactive
# zsh on a terminal of its own gets the line and a Tab, prints what it would
# add, and ends.
in_zsh() {
	cat >"$DIR/.zshrc" <<-E
	PROMPT= fpath=($ROOT/etc/completion \$fpath) TERM=dumb
	autoload -U compinit
	compinit -u -D
	compadd() {
		local -a hits
		[[ "\$*" == *-[OAD]* ]] || builtin compadd -A hits "\$@"
		((\$#hits)) && print -r -- "<\${(j:> <:)hits}>"
		builtin compadd "\$@"
	}
	last() {
		print "\nTHE END"
		exit
	}
	comppostfuncs=(last)
	bindkey "^I" complete-word
	E
	ZDOTDIR=$DIR zsh -f -s "$1" <<-'E'
	zmodload zsh/zpty
	zpty z zsh -d -i
	zpty -n -w z "$1"$'\t'
	zpty -r z out '*THE END*'
	print -r -- $out
	E
}

offers() {
	[[ $output == *"$1"* ]] || {
		echo "not offered: $1, but: $output"
		return 1
	}
}

# What an instance leaves that was killed: its socket, and its process id.
dead_instance() {
	local place=$NCLUST_RUNTIME_DIR/dead

	mkdir "$place"
	python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$place/control"
	printf 4194305 >"$place/lock" # above all that there can be
}

@test "bash: verbs, their options, instances, signals and commands" {
	start_cluster -n 1 -- sleep 1000
	run -0 in_bash nclust sta
	[ "$output" = status ]
	run -0 in_bash nclust events --
	offers --follow
	offers --lines
	[[ $output != *--listen* ]]
	run -0 in_bash nclust stop ""
	[ "$output" = "$INSTANCE" ]
	dead_instance
	run -0 in_bash nclust stop ""
	[ "$output" = "$INSTANCE" ]
	run -0 in_bash nclust signal US
	[ "$output" = $'USR1\nUSR2' ]
	run -0 in_bash nclust help ver
	[ "$output" = version ]
	run -0 in_bash nclust --balance sh
	[ "$output" = share ]
	run -0 in_bash nclust -n 2 -- mkfif
	offers mkfifo
	run -0 in_bash nclust --max-un
	[ "$output" = --max-unavailable ]
}

@test "zsh: verbs, their options, instances, signals and commands" {
	need zsh
	start_cluster -n 1 -- sleep 1000
	run -0 in_zsh 'nclust sta'
	offers '<status>'
	run -0 in_zsh 'nclust events --'
	offers '<--follow>'
	[[ $output != *--listen* ]]
	run -0 in_zsh 'nclust stop '
	offers "<$INSTANCE>"
	run -0 in_zsh 'nclust signal US'
	offers '<USR1> <USR2>'
	run -0 in_zsh 'nclust help ver'
	offers '<version>'
	run -0 in_zsh 'nclust --balance=sh'
	offers '<share>'
	run -0 in_zsh 'nclust -n 2 -- mkfif'
	offers '<mkfifo>'
	run -0 in_zsh 'nclust exec mkfif'
	offers '<mkfifo>'
	run -0 in_zsh 'nclust --max-un'
	offers '<--max-unavailable'
}
