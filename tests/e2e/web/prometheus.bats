# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# etc/prometheus-rules.yml and etc/grafana-dashboard.json, with a real Prometheus
# that reads a real nclust.
#
# takes long

bats_require_minimum_version 1.5.0
load ../../lib

RULES=$ROOT/etc/prometheus-rules.yml
BOARD=$ROOT/etc/grafana-dashboard.json

# What the panels ask, with values in place of Grafana's variables.
board_queries() {
	jq -r '.panels[].targets[].expr' "$BOARD" |
		sed 's/\$__rate_interval/5s/g; s/\$[a-z]*/.*/g'
}

# names: of the metrics in what is read.
names() {
	grep -o 'nclust_[a-z_]*' | sort -u
}

start_web() {
	free_port
	WEB=$PORT
	free_port
	SERVER=$PORT
	start_cluster --http "$WEB" -n 2 --backoff-min 50ms --backoff-max 50ms \
		--drain off -l "$AT,backlog=10" "$@" -- "$FIXTURES/serve" --notify
}

# start_prometheus: reads nclust once a second, and does not wait to alert.
start_prometheus() {
	free_port
	sed 's/for: [0-9]*[a-z]/for: 0s/' "$RULES" >"$DIR/rules.yml"
	cat >"$DIR/prometheus.yml" <<-END
		global: {scrape_interval: 1s, evaluation_interval: 1s}
		rule_files: [rules.yml]
		scrape_configs:
		  - job_name: nclust
		    static_configs: [{targets: ['127.0.0.1:$WEB']}]
	END
	promtool check config "$DIR/prometheus.yml"
	prometheus --config.file="$DIR/prometheus.yml" \
		--storage.tsdb.path="$DIR/tsdb" \
		--web.listen-address="127.0.0.1:$PORT" \
		>"$DIR/prometheus.log" 2>&1 3>&- &
	STARTED+=($!)
	wait_until 30 'curl -sSf "http://127.0.0.1:$1/-/ready"' "$PORT"
}

# query EXPR: the values, one a line.
query() {
	curl -sS --max-time $((5 * PATIENCE)) "http://127.0.0.1:$PORT/api/v1/query" \
		--data-urlencode "query=$1" >"$DIR/answer" || return 1
	[ "$(jq -r .status "$DIR/answer")" = success ] || {
		cat "$DIR/answer"
		return 1
	}
	jq -r '.data.result[].value[1]' "$DIR/answer"
}

# firing: names of the alerts that fire.
firing() {
	query 'ALERTS{alertstate="firing"}' >/dev/null || return 1
	jq -r '.data.result[].metric.alertname' "$DIR/answer" | sort -u | xargs
}

@test "the rules are right, and each metric in them and in the dashboard exists" {
	need promtool
	promtool check rules "$RULES"
	start_web
	curl -sS --max-time 10 "http://127.0.0.1:$WEB/metrics" |
		awk '/^# TYPE/ { print $3; if ($4 == "summary")
			print $3 "_sum\n" $3 "_count" }' >"$DIR/known"
	# of a rollout under way
	printf '%s\n' nclust_rollout_workers nclust_rollout_workers_done \
		>>"$DIR/known"
	sort -u -o "$DIR/known" "$DIR/known"
	{
		grep -v '^ *description\|^ *summary' "$RULES"
		jq -r '.panels[].targets[].expr, .templating.list[].query.query?' \
			"$BOARD"
	} | names >"$DIR/used"
	[ "$(wc -l <"$DIR/used")" -gt 15 ]
	run comm -13 "$DIR/known" "$DIR/used"
	[ -z "$output" ]
}

@test "the dashboard is one that Grafana takes" {
	# ids once, panels that do not overlap within 24 columns, a query in each
	jq -e '.uid and .title and .schemaVersion >= 30 and
		([.panels[].id] | length == (unique | length)) and
		all(.panels[]; .gridPos.x + .gridPos.w <= 24 and
			(.targets | length > 0) and .datasource.uid == "${datasource}")' \
		"$BOARD"
	[ "$(jq '[.panels[].gridPos | . as $p | range(.w) as $x |
		range(.h) as $y | [$p.x + $x, $p.y + $y]] |
		length == (unique | length)' "$BOARD")" = true ]
}

@test "each alert fires when it should, and not before" {
	need promtool
	cp "$RULES" "$DIR/rules.yml"
	cat >"$DIR/test.yml" <<-'END'
		rule_files: [rules.yml]
		evaluation_interval: 1m
		tests:
		  - interval: 1m
		    input_series:
		      - {series: 'up{job="nclust",instance="a"}', values: '1x10 0x10'}
		      - {series: 'up{job="mine",instance="b"}', values: '1x10 0x10'}
		      - {series: 'nclust_uptime_seconds{job="mine",instance="b"}', values: '1000+60x10 _x10'}
		      - {series: 'up{job="other",instance="b"}', values: '0x20'}
		      - {series: 'nclust_uptime_seconds{instance="a"}', values: '0+60x10 0+60x30'}
		      - {series: 'nclust_workers_wanted{cluster="none"}', values: '2x60'}
		      - {series: 'nclust_workers_ready{cluster="none"}', values: '2x10 0x50'}
		      - {series: 'nclust_workers_wanted{cluster="few"}', values: '2x60'}
		      - {series: 'nclust_workers_ready{cluster="few"}', values: '2x10 1x50'}
		      - {series: 'nclust_workers_wanted{cluster="idle"}', values: '0x60'}
		      - {series: 'nclust_workers_ready{cluster="idle"}', values: '0x60'}
		      - {series: 'nclust_exits_total{cluster="c",reason="signal",instance="a",dc="x"}', values: '0x10 1+1x20'}
		      - {series: 'nclust_exits_total{cluster="c",reason="failure",instance="a",dc="x"}', values: '0x10 1+1x20'}
		      - {series: 'nclust_exits_total{cluster="c",reason="signal",instance="b",dc="x"}', values: '0x14 1x40'}
		      - {series: 'nclust_log_lines_dropped_total{cluster="c"}', values: '5x10 9x50'}
		      - {series: 'nclust_process_open_fds{instance="a"}', values: '10x10 90x50'}
		      - {series: 'nclust_process_max_fds{instance="a"}', values: '100x60'}
		      - {series: 'nclust_exits_total{cluster="c",reason="replaced"}', values: '0+50x60'}
		      - {series: 'nclust_hangs_total{cluster="c"}', values: '0x10 1x50'}
		      - {series: 'nclust_rollouts_total{cluster="c",outcome="failed"}', values: '0x10 1x50'}
		      - {series: 'nclust_rollouts_total{cluster="c",outcome="done"}', values: '0+1x60'}
		      - {series: 'nclust_listener_queue{cluster="c"}', values: '10x10 90x50'}
		      - {series: 'nclust_listener_queue_limit{cluster="c"}', values: '100x60'}
		      - {series: 'nclust_listener_drops_total{cluster="c"}', values: '7x10 8x50'}
		      - {series: 'nclust_loop_busy_seconds_total{instance="a"}', values: '0+1x10 0+40x50'}
		    alert_rule_test:
	END
	# NAME LABELS: quiet at 10 min, and with its labels at 17 (or 22) min
	while read -r name at labels; do
		cat >>"$DIR/test.yml" <<-END
			      - {alertname: $name, eval_time: 10m, exp_alerts: []}
			      - alertname: $name
			        eval_time: $at
			        exp_alerts: [{exp_labels: {$labels}}]
		END
	done <<-'END'
		NclustRestarted 17m severity: warning, instance: a
		NclustClusterNotReady 17m severity: critical, cluster: none
		NclustWorkersCrash 17m severity: warning, cluster: c, instance: a, dc: x
		NclustWorkersHang 17m severity: warning, cluster: c
		NclustRolloutFailed 17m severity: warning, cluster: c, outcome: failed
		NclustQueueNearLimit 17m severity: warning, cluster: c
		NclustConnectionsDropped 13m severity: warning, cluster: c
		NclustLogLinesDropped 17m severity: warning, cluster: c
		NclustDescriptorsNearLimit 17m severity: warning, instance: a
		NclustSlow 22m severity: warning, instance: a
	END
	cat >>"$DIR/test.yml" <<-'END'
		      - {alertname: NclustAway, eval_time: 10m, exp_alerts: []}
		      - alertname: NclustAway
		        eval_time: 17m
		        exp_alerts:
		          - {exp_labels: {severity: critical, job: nclust, instance: a}}
		          - {exp_labels: {severity: critical, job: mine, instance: b}}
		      - {alertname: NclustWorkersMissing, eval_time: 15m, exp_alerts: []}
		      - alertname: NclustWorkersMissing
		        eval_time: 22m
		        exp_alerts:
		          - {exp_labels: {severity: warning, cluster: few}}
		  - interval: 5m
		    input_series:
		      - {series: 'nclust_worker_memory_bytes{cluster="c",slot="0"}', values: '1000000+20000x200'}
		      - {series: 'nclust_worker_memory_bytes{cluster="c",slot="1"}', values: '1000000+200x200'}
		      - {series: 'nclust_worker_uptime_seconds{cluster="c",slot="0"}', values: '0+300x200'}
		      - {series: 'nclust_worker_uptime_seconds{cluster="c",slot="1"}', values: '0+300x200'}
		    alert_rule_test:
		      - {alertname: NclustMemoryGrows, eval_time: 6h, exp_alerts: []}
		      - alertname: NclustMemoryGrows
		        eval_time: 8h
		        exp_alerts: [{exp_labels: {severity: warning, cluster: c, slot: "0"}}]
	END
	# what they say is not compared, but that each says something
	python3 - "$DIR/rules.yml" <<-'END'
		import re, sys
		text = open(sys.argv[1]).read()
		assert len(re.findall(r"^ +summary: .{20}", text, re.M)) == text.count("- alert:")
		assert len(re.findall(r"severity: (critical|warning)", text)) == text.count("- alert:")
		text = re.sub(r" +annotations:\n +summary:.*\n +description:.*\n", "", text)
		open(sys.argv[1], "w").write(text)
	END
	promtool test rules "$DIR/test.yml"
}

@test "a real Prometheus reads it, and alerts" {
	need prometheus
	start_web
	start_prometheus
	wait_until 20 '[ -n "$(query "nclust_uptime_seconds > 3")" ]'
	[ -z "$(firing)" ]
	while read -r expr; do
		query "$expr" >/dev/null
	done < <(board_queries)
	[ "$(query 'sum(nclust_workers{state="ready"})')" -eq 2 ]
	[ "$(query 'count(nclust_worker_memory_bytes)')" -eq 2 ]
	[ "$(query 'nclust_listener_queue_limit > 0' | wc -l)" -eq 1 ]

	for _ in {1..8}; do
		old=$(worker_pid 0)
		kill -SEGV "$old"
		wait_until 10 'new=$(worker_pid 0)
			[ "${new:-null}" != null ] && [ "$new" != "$1" ]' "$old"
	done
	wait_until 20 '[[ " $(firing) " == *" NclustWorkersCrash "* ]]'
	[[ " $(firing) " != *" NclustAway "* ]]

	# the workers take nothing, and the queue fills
	[[ " $(firing) " != *" NclustQueueNearLimit "* ]]
	freeze "$(worker_pid 0)" "$(worker_pid 1)"
	python3 - "$SERVER" 3>&- <<-'END' &
		import socket, sys, time
		held = []
		for _ in range(10):
		    s = socket.socket()
		    s.setblocking(False)
		    s.connect_ex(("127.0.0.1", int(sys.argv[1])))
		    held.append(s)
		time.sleep(1000)
	END
	STARTED+=($!)
	wait_until 20 '[[ " $(firing) " == *" NclustQueueNearLimit "* ]]'
	[[ " $(firing) " != *" NclustAway "* ]]
	thaw "$(worker_pid 0)" "$(worker_pid 1)"
	nclust stop "$INSTANCE"
	wait_until 20 '[[ " $(firing) " == *" NclustAway "* ]]'
}
