-- ARGV[6] is the fence, ARGV[7] the length of the lease in microseconds.
local function main()
  if redis.call('HGET', HERE, 'fence') ~= ARGV[6] then return {'LOST'} end
  redis.call('HSET', HERE, 'until', text(now() + ARGV[7]))
  return {'OK'}
end
