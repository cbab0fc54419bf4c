-- wrk: the URL again and again

done = function(summary, latency)
	local errors = summary.errors
	io.write(string.format('RESULT %d %d %d %d %d\n', summary.requests, summary.duration,
		latency:percentile(50), latency:percentile(99),
		errors.status + errors.timeout + errors.connect + errors.read + errors.write))
end
