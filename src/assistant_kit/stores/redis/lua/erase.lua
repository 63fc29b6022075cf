-- ARGV[6] is the made-up user to whom the audit chain passes. It is of the same shard.
local function main()
  local names = redis.call('ZRANGE', LIST, 0, -1)
  local linked = redis.call('EXISTS', LINKS) == 1
  if #names == 0 and not linked then return {'OK', 0} end
  local refusal = refused()
  if refusal then return refusal end
  redis.call('ZREM', USERS, unescaped(USER))
  for _, name in ipairs(names) do
    local found = redis.call('HMGET', key('conversation', name), 'segment', 'state')
    redis.call('ZREM', ROOT .. ':state:' .. found[2], USER .. ':' .. name)
    redis.call('UNLINK', key('conversation', name))
    drop(found[1])
  end
  redis.call('UNLINK', LIST, PAYLOADS)
  note_drop()
  if root[2] == '1' then
    if linked then redis.call('RENAME', LINKS, ROOT .. ':links:' .. ARGV[6]) end
    redis.call('RPUSH', ROOT .. ':links:' .. ARGV[6], ARGV[4])
    redis.call('RPUSH', ROOT .. ':payloads:' .. ARGV[6], ARGV[5])
    redis.call('ZADD', USERS, 0, ARGV[6])
  end
  return {'OK', #names}
end
