# bash completion for nclust; generated from its option table
_nclust_instances()
{
	local path pid

	for path in "${NCLUST_RUNTIME_DIR:-/run/nclust}"/*/control \
		"${XDG_RUNTIME_DIR:-/run}"/nclust/*/control \
		/tmp/nclust-"$UID"/*/control; do
		[[ -S $path ]] || continue
		path=${path%/control} pid=
		[[ ! -r $path/lock ]] || read -r pid <"$path/lock"
		[[ -d /proc/$pid ]] || continue # it was killed
		echo "${path##*/}"
	done
}

_nclust()
{
	local word=${COMP_WORDS[COMP_CWORD]}
	local before=${COMP_WORDS[COMP_CWORD - 1]}
	local verbs='status top logs events config start restart reload scale upgrade signal send stop drain undrain doctor exec help version'
	local options='--config
		--daemon
		--help
		--version
		--name
		--runtime-directory
		--control-group
		--log-level
		--pidfile
		--http
		--agent
		--http-token
		--http-open
		--command
		--workers
		--idle-after
		--spare
		--listen
		--pass
		--listen-pid
		--intercept
		--share-ports
		--balance
		--sticky
		--accept
		--accept-per-address
		--accept-timeout
		--directory
		--user
		--group
		--umask
		--nice
		--env
		--env-file
		--clear-env
		--chroot
		--no-new-privs
		--capabilities
		--limit-as
		--limit-core
		--limit-cpu
		--limit-data
		--limit-fsize
		--limit-locks
		--limit-memlock
		--limit-msgqueue
		--limit-nice
		--limit-nofile
		--limit-nproc
		--limit-rss
		--limit-rtprio
		--limit-rttime
		--limit-sigpending
		--limit-stack
		--cpu
		--memory-max
		--memory-high
		--cpu-max
		--cpu-weight
		--pids-max
		--io-weight
		--threads
		--shared-memory
		--ready
		--start-timeout
		--check
		--check-header
		--check-interval
		--check-timeout
		--check-failures
		--fallback
		--fallback-after
		--watchdog
		--stall
		--request-timeout
		--hang-signal
		--max-memory
		--max-age
		--max-requests
		--stop-signal
		--stop-timeout
		--backoff-min
		--backoff-max
		--backoff-jitter
		--stable-after
		--restart-pause
		--restart
		--success-exit
		--give-up
		--drain
		--drain-timeout
		--hand-on
		--surge
		--max-unavailable
		--canary
		--bake
		--old-generations
		--watch
		--start-at-once
		--signal-USR1
		--on-ready
		--on-exit
		--on-crash
		--on-rollout
		--on-scale
		--on-stop
		--on-hang
		--log
		--log-size
		--log-keep
		--log-age
		--log-compress
		--pty
		--after
		--before
		--before-stop
		--essential
		--leader
		--orphans
		--leftovers
		--ipc
		--relay'
	local words= i

	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			((COMP_CWORD > i + 1)) || [[ $word == */* ]] ||
				mapfile -t COMPREPLY < <(compgen -c -- "$word")
			return
		fi
	done
	case $before in
	--config | -c)
		return
		;;
	--runtime-directory)
		return
		;;
	--log-level)
		mapfile -t COMPREPLY < <(compgen -W 'error warn note info debug' -- "$word")
		return
		;;
	--pidfile)
		return
		;;
	--http-token)
		return
		;;
	--intercept)
		mapfile -t COMPREPLY < <(compgen -W 'auto on off' -- "$word")
		return
		;;
	--balance)
		mapfile -t COMPREPLY < <(compgen -W 'auto share rr least random' -- "$word")
		return
		;;
	--sticky)
		mapfile -t COMPREPLY < <(compgen -W 'off client-address' -- "$word")
		return
		;;
	--directory)
		return
		;;
	--env-file)
		return
		;;
	--chroot)
		return
		;;
	--cpu)
		mapfile -t COMPREPLY < <(compgen -W 'none spread' -- "$word")
		return
		;;
	--fallback)
		return
		;;
	--hang-signal)
		mapfile -t COMPREPLY < <(compgen -W 'off QUIT ABRT USR1 USR2' -- "$word")
		return
		;;
	--restart)
		mapfile -t COMPREPLY < <(compgen -W 'always on-failure never' -- "$word")
		return
		;;
	--drain)
		mapfile -t COMPREPLY < <(compgen -W 'auto quiet signal off' -- "$word")
		return
		;;
	--watch)
		return
		;;
	--log)
		mapfile -t COMPREPLY < <(compgen -W 'auto prefix json journal syslog inherit off' -- "$word")
		return
		;;
	--pty)
		mapfile -t COMPREPLY < <(compgen -W 'auto yes no' -- "$word")
		return
		;;
	--orphans)
		mapfile -t COMPREPLY < <(compgen -W 'stop keep' -- "$word")
		return
		;;
	--leftovers)
		mapfile -t COMPREPLY < <(compgen -W 'end keep' -- "$word")
		return
		;;
	--ipc)
		mapfile -t COMPREPLY < <(compgen -W 'auto on off' -- "$word")
		return
		;;
	--kind)
		mapfile -t COMPREPLY < <(compgen -W 'started ready exited stopping draining drained stop-timeout unkillable start-timeout unwell outgrown hang stalled check-failed memory daemonised not-listening worker-errno worker-reloading left-out ended-meanwhile slot-ended spare takes-over no-spares leader message messages-stuck messages-dropped messages-missed state all-ready scaled gave-up not-ready not-started rollout-started rollout-step baking baked rollout-done rollout-failed rollout-superseded listening closed stranger-listens listener-harmed relay-down relay-up file-changed shared-memory balance check-denied check-untaken check-doubted stall-refused stop-waits hook-failed surprise drop fallback fallback-over essential-ended waits before-failed directory-moved hand-on alone done too-few-files reloaded reload-failed upgraded upgrade-failed upgrade-waits adopted hooks-dropped control-renewed host-drained host-empty host-waits host-undrained' -- "$word")
		return
		;;
	esac
	((COMP_CWORD > 1)) || words=$verbs
	((COMP_CWORD == 1)) || case ${COMP_WORDS[1]} in
	status)
		options='--json --watch --all --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	top)
		options='--runtime-directory --help'
		words=$(_nclust_instances)
		;;
	logs)
		options='--json --follow --lines --since --stderr --grep --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	events)
		options='--json --follow --lines --since --cluster --kind --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	config)
		options='--json --all --check --config --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	start)
		options='--json --no-wait --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	restart)
		options='--json --no-wait --canary --drop-ports --bake --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	reload)
		options='--json --no-wait --drop-ports --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	scale)
		options='--json --no-wait --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	upgrade)
		options='--json --no-wait --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	signal)
		options='--json --all --runtime-directory --help'
		words=$(_nclust_instances)
		words+=' HUP INT QUIT USR1 USR2 TERM STOP CONT KILL WINCH'
		;;
	send)
		options='--json --all --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	stop)
		options='--json --no-wait --now --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	drain)
		options='--json --no-wait --timeout --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	undrain)
		options='--json --no-wait --timeout --runtime-directory --help'
		words=$(_nclust_instances)
		;;
	doctor)
		options='--json --runtime-directory --help'
		;;
	exec)
		options='--help'
		[[ $word == */* ]] || words=$(compgen -c -- "$word")
		;;
	help)
		words="$verbs ${options//--/}"
		options='--help'
		;;
	version)
		options='--json --help'
		;;
	esac
	[[ $word != -* ]] || words=$options
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _nclust nclust
