-- ARGV[6] is the number of links to pass over, ARGV[7] how many to return. Payloads stand for the last links only: an
-- erasure removes them all.
local function main()
  local after, limit = tonumber(ARGV[6]), tonumber(ARGV[7])
  local missing = redis.call('LLEN', LINKS) - redis.call('LLEN', PAYLOADS)
  local links = redis.call('LRANGE', LINKS, after, after + limit - 1)
  local from = math.max(0, after - missing)
  local last = after + #links - 1 - missing
  return {'OK', missing, links, last < from and {} or redis.call('LRANGE', PAYLOADS, from, last)}
end
