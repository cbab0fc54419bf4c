-- wrk: the guarded read, by a thousand users in turn, each with its token
local tokens, requests, step = {}, {}, 0

init = function()
	for token in io.lines(os.getenv('BENCH_TOKENS')) do
		tokens[#tokens + 1] = token
	end
	for i, token in ipairs(tokens) do
		requests[i] = wrk.format('GET', '/api/v1/knowledge/files?limit=50',
			{ Authorization = 'Bearer ' .. token, Host = '127.0.0.1' })
	end
end

request = function()
	step = step + 1
	return requests[(step * 617) % #requests + 1]
end

done = function(summary, latency)
	local errors = summary.errors
	io.write(string.format('RESULT %d %d %d %d %d\n', summary.requests, summary.duration,
		latency:percentile(50), latency:percentile(99),
		errors.status + errors.timeout + errors.connect + errors.read + errors.write))
end
