# SPDX-License-Identifier: MIT
#
# `threads`: what each worker is told to compute with, and `cpu = spread` with it.

load ../../lib
bats_require_minimum_version 1.5.0

setup() {
	nclust_setup
	unset UV_THREADPOOL_SIZE GOMAXPROCS OMP_NUM_THREADS \
		OPENBLAS_NUM_THREADS MKL_NUM_THREADS RAYON_NUM_THREADS \
		JAVA_TOOL_OPTIONS NCLUST_THREADS
}

# run_leak OPTION...: workers that tell what they were given in $DIR/dump.SLOT.
run_leak() {
	start_cluster --ready notify "$@" -- \
		"$FIXTURES/leak" --notify --to "$DIR/dump.{slot}"
}

dump() {
	jq -r "$1" "$DIR/dump.${2:-0}"
}

# budget [SLOT]: every variable of it that is set.
budget() {
	dump '.env | to_entries[] | select(.key | test("THREAD|GOMAXPROCS|JAVA"))
		| "\(.key)=\(.value)"' "${1:-0}" | sort
}

all_of() {
	cat <<-END
		GOMAXPROCS=$1
		JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=$1
		MKL_NUM_THREADS=$1
		NCLUST_THREADS=$1
		OMP_NUM_THREADS=$1
		OPENBLAS_NUM_THREADS=$1
		RAYON_NUM_THREADS=$1
		UV_THREADPOOL_SIZE=$1
	END
}

@test "no thread is counted unless it is asked for" {
	run_leak -n 1
	[ "$(budget)" = "" ]
}

@test "threads = auto: the CPUs divided by the workers, for each runtime" {
	local cpus

	cpus=$(nproc)
	run_leak -n 1 --threads auto
	[ "$(budget)" = "$(all_of "$cpus")" ]
	nclust stop "$INSTANCE"

	# as many as there are CPUs, and more than there are
	run_leak -n "$((cpus * 2))" --threads auto
	[ "$(budget 1)" = "$(all_of 1)" ]
	nclust stop "$INSTANCE"

	run_leak -n 2 --threads 7
	[ "$(budget 1)" = "$(all_of 7)" ]
}

@test "what the user has set is left alone, and Java's options are kept" {
	export GOMAXPROCS=11 JAVA_TOOL_OPTIONS=-Dfrom=outside
	run_leak -n 1 --threads 3 --env OMP_NUM_THREADS=5,2 \
		--env UV_THREADPOOL_SIZE=
	[ "$(dump .env.GOMAXPROCS)" = 11 ]
	[ "$(dump .env.OMP_NUM_THREADS)" = 5,2 ]
	[ "$(dump .env.UV_THREADPOOL_SIZE)" = "" ]
	[ "$(dump .env.RAYON_NUM_THREADS)" = 3 ]
	[ "$(dump .env.JAVA_TOOL_OPTIONS)" = \
		"-Dfrom=outside -XX:ActiveProcessorCount=3" ]
	# once, and not in two versions
	[ "$(tr '\0' '\n' <"/proc/$(worker_pid 0)/environ" |
		grep -c ^JAVA_TOOL_OPTIONS=)" -eq 1 ]
	nclust stop "$INSTANCE"

	run_leak -n 1 --threads 3 \
		--env 'JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=9 -Xmx1g'
	[ "$(dump .env.JAVA_TOOL_OPTIONS)" = \
		"-XX:ActiveProcessorCount=9 -Xmx1g" ]
}

@test "after a scale the next ones get the new number, the others keep theirs" {
	local cpus

	cpus=$(nproc)
	[ "$cpus" -ge 2 ] || skip "needs two CPUs"
	run_leak -n 1 --threads auto
	[ "$(dump .env.NCLUST_THREADS)" = "$cpus" ]
	nclust scale "$INSTANCE" 2
	[ "$(dump .env.NCLUST_THREADS 1)" = "$((cpus / 2))" ]
	[ "$(worker 0 .restarts)" -eq 0 ]
	nclust restart "$INSTANCE"
	[ "$(dump .env.NCLUST_THREADS 0)" = "$((cpus / 2))" ]
}

@test "cpu = spread pins a worker to as many CPUs as it has threads" {
	local cpus

	cpus=$(nproc)
	[ "$cpus" -ge 2 ] || skip "needs two CPUs"
	run_leak -n 1 --threads auto --cpu spread
	[ "$(dump '.cpus | length')" -eq "$cpus" ]
	nclust stop "$INSTANCE"

	run_leak -n 2 --threads auto --cpu spread
	# all of them, each once
	[ "$(jq -s '[.[].cpus[]] | length' "$DIR"/dump.[01])" -eq "$cpus" ]
	[ "$(jq -s '[.[].cpus[]] | unique | length' "$DIR"/dump.[01])" -eq \
		"$cpus" ]
	nclust stop "$INSTANCE"

	run_leak -n 2 --threads 2 --cpu spread
	[ "$(dump '.cpus | length' 1)" -eq 2 ]
}

@test "with cpu = spread alone a Node counts one CPU, without a variable" {
	cat >"$DIR/count.js" <<-'END'
		require('fs').writeFileSync(process.argv[2],
			require('os').availableParallelism() + ' ' +
				process.env.UV_THREADPOOL_SIZE + '\n');
		setInterval(() => {}, 60000);
	END
	start_cluster -n 1 --cpu spread --ready "exec:test -s $DIR/node" -- \
		node "$DIR/count.js" "$DIR/node"
	[ "$(cat "$DIR/node")" = "1 undefined" ]
}

@test "a JVM, a Node and an OpenMP program go by it" {
	cat >"$DIR/Count.java" <<-'END'
		public class Count {
			public static void main(String[] args) throws Exception {
				try (var out = new java.io.PrintWriter(args[0])) {
					out.println(Runtime.getRuntime()
						.availableProcessors());
				}
				Thread.sleep(600000);
			}
		}
	END
	# the pool is started as a whole when it is first used
	cat >"$DIR/count.js" <<-'END'
		const fs = require('fs'), crypto = require('crypto');
		const threads = () => fs.readdirSync('/proc/self/task').length;
		const before = threads();
		crypto.pbkdf2('a', 'b', 1, 8, 'sha1', () =>
			fs.writeFileSync(process.argv[2],
				String(threads() - before) + '\n'));
		setInterval(() => {}, 60000);
	END
	printf '%s\n' '#include <omp.h>' '#include <stdio.h>' \
		'#include <unistd.h>' 'int main(int n, char **a) {' \
		'FILE *f = fopen(a[n - 1], "w");' \
		'fprintf(f, "%d\n", omp_get_max_threads()); fclose(f);' \
		'pause(); }' >"$DIR/count.c"
	gcc -fopenmp -o "$DIR/count" "$DIR/count.c"

	start_cluster -n 1 --threads 5 --ready "exec:test -s $DIR/java" -- \
		java "$DIR/Count.java" "$DIR/java"
	[ "$(cat "$DIR/java")" -eq 5 ]
	nclust stop "$INSTANCE"
	start_cluster -n 1 --threads 5 --ready "exec:test -s $DIR/openmp" -- \
		"$DIR/count" "$DIR/openmp"
	[ "$(cat "$DIR/openmp")" -eq 5 ]
	nclust stop "$INSTANCE"
	start_cluster -n 1 --threads 5 --ready "exec:test -s $DIR/node" -- \
		node "$DIR/count.js" "$DIR/node"
	[ "$(cat "$DIR/node")" -eq 5 ]
}

@test "doctor warns of threads that compute, and what to set" {
	cat >"$DIR/spin.c" <<-'END'
		#include <pthread.h>
		#include <unistd.h>
		static volatile unsigned long counts[4];
		static void *spin(void *n)
		{
			for (;;)
				counts[(long)n]++;
		}
		int main(int n, char **a)
		{
			pthread_t t;
			for (long i = 1; i < 4; i++)
				pthread_create(&t, 0, n > 1 ? spin :
					(void *(*)(void *))pause, (void *)i);
			pause();
		}
	END
	gcc -w -O1 -o "$DIR/spin" "$DIR/spin.c" -lpthread
	run nclust doctor -- "$DIR/spin" now
	echo "$output"
	[[ $output == *"threads "*"4 threads, "*" busy at once"*"'threads = auto'"* ]]

	run nclust doctor --json -- "$DIR/spin"
	[ "$(jq .threads.count <<<"$output")" -eq 4 ]
	[ "$(jq .threads.computing <<<"$output")" -le 1 ]
}
