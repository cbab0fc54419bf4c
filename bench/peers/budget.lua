-- A budget in Redis: ARGV[1] more for KEYS[1] unless that is above ARGV[2];
-- returns allowed, and what is spent.
local spent, amount = tonumber(redis.call('GET', KEYS[1]) or 0), tonumber(ARGV[1])
if spent + amount > tonumber(ARGV[2]) then
	return { 0, spent }
end
return { 1, redis.call('INCRBY', KEYS[1], amount) }
