-- SPDX-License-Identifier: MIT
-- As asks.py, for wrk(1), which says nothing of the time of one request and has no cookies: its 99th
-- percentile is that of all.  METHOD is in the environment; one thread.
local method = os.getenv("METHOD") or "GET"
local body = method == "POST" and string.rep("x", 500) or nil
local number = 0
local threads = {}
local waits = {}
asked = 0
answered = 0
strange = 0
ended = 0
handed = 0
wrong = 0

function setup(thread)
	table.insert(threads, thread)
end

function request()
	number = number + 1
	waits[tostring(number)] = true
	asked = number
	return wrk.format(method, nil, { ["X-Id"] = tostring(number) }, body)
end

function response(status, headers, text)
	local said = headers["X-Asked"] or headers["x-asked"] or ""
	local id, size, _, connection = said:match("^(%S+) (%d+) (%S+) (%S+)")
	if status ~= 200 then
		wrong = wrong + 1
	elseif not waits[id] or tonumber(size) ~= #(body or "") then
		strange = strange + 1
	else
		waits[id] = nil
		answered = answered + 1
	end
	local ends = headers["Connection"] or headers["connection"]
	if ends == "close" then ended = ended + 1 end
	if connection == "close" then handed = handed + 1 end
end

function done(summary, latency)
	local t = threads[1]
	local e = summary.errors
	io.write(string.format('\n{"answered": %d, "errors": {"socket": %d, "timeout": %d, '
		.. '"status": %d, "strange": %d}, "strange": %d, "ended": %d, "handed": [%d], '
		.. '"others": [%d, %.1f, %.1f]}\n', t:get("answered"), e.connect + e.read + e.write,
		e.timeout, t:get("wrong"), t:get("strange"), t:get("strange"), t:get("ended"),
		t:get("handed"), t:get("answered") - t:get("handed"), latency:percentile(50) / 1000,
		latency:percentile(99) / 1000))
end
