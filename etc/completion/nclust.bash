# bash completion for nclust; generated from its option table
_nclust()
{
	local word=${COMP_WORDS[COMP_CWORD]}
	local before=${COMP_WORDS[COMP_CWORD - 1]}
	local verbs='status restart reload scale stop signal events config doctor exec help version'
	local options='--config
		--daemon
		--help
		--version
		--name
		--runtime-directory
		--control-group
		--log-level
		--pidfile
		--command
		--workers
		--listen
		--pass
		--listen-pid
		--balance
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
		--ready
		--start-timeout
		--stop-signal
		--stop-timeout
		--backoff-min
		--backoff-max
		--backoff-jitter
		--stable-after
		--restart
		--success-exit
		--give-up
		--surge
		--max-unavailable
		--old-generations
		--signal-USR1
		--log
		--orphans'
	local i

	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			COMP_WORDS=("${COMP_WORDS[@]:i+1}")
			COMP_CWORD=$((COMP_CWORD - i - 1))
			if ((COMP_CWORD == 0)); then
				mapfile -t COMPREPLY < <(compgen -c -- "$word")
			else
				mapfile -t COMPREPLY < <(compgen -f -- "$word")
			fi
			return
		fi
	done
	case $before in
	--config | -c)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--runtime-directory)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--log-level)
		mapfile -t COMPREPLY < <(compgen -W 'error warn note info debug' -- "$word")
		return
		;;
	--pidfile)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--balance)
		mapfile -t COMPREPLY < <(compgen -W 'auto share' -- "$word")
		return
		;;
	--directory)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--env-file)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--chroot)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--cpu)
		mapfile -t COMPREPLY < <(compgen -W 'none spread' -- "$word")
		return
		;;
	--restart)
		mapfile -t COMPREPLY < <(compgen -W 'always on-failure never' -- "$word")
		return
		;;
	--log)
		mapfile -t COMPREPLY < <(compgen -W 'auto inherit prefix off' -- "$word")
		return
		;;
	--orphans)
		mapfile -t COMPREPLY < <(compgen -W 'stop' -- "$word")
		return
		;;
	esac
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
	elif ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word")
	fi
}
complete -o default -F _nclust nclust
