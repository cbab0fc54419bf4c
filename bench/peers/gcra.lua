-- GCRA for Redis: one hit on KEYS[1], at most ARGV[1] in ARGV[2] microseconds;
-- returns allowed, remaining and the microseconds to wait.  The key holds when
-- the bucket is full again, as rate limiters on Redis do it.
local quota, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval = window / quota
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + interval
local wait = full - now - window
if wait > 0 then
	return { 0, 0, math.ceil(wait) }
end
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000))
return { 1, math.floor((window - (full - now)) / interval), 0 }
