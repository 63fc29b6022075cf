-- ARGV[6] is the fence.
local function main()
  if redis.call('HGET', HERE, 'fence') == ARGV[6] then give_up() end
  return {'OK'}
end
