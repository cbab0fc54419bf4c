-- wrk: the guarded write, by a thousand users in turn, each with its token
local tokens, requests, step = {}, {}, 0

init = function()
	for token in io.lines(os.getenv('BENCH_TOKENS')) do
		tokens[#tokens + 1] = token
	end
	local text = string.rep('lorem ipsum ', 20)
	for i, token in ipairs(tokens) do
		requests[i] = wrk.format('POST', '/api/v1/notes', {
			Authorization = 'Bearer ' .. token,
			Host = '127.0.0.1',
			['Content-Type'] = 'application/json',
		}, string.format('{"title":"note %d","body_text":"%s"}', i, text))
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
