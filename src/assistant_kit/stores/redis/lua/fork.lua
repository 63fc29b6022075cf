-- ARGV[2] and KEYS[3] are the new conversation, ARGV[6] is the number of records to share, ARGV[7] the source.
local function main()
  local found = conversation()
  if not found then return {'NONE'} end
  local at = tonumber(ARGV[6])
  if at < 0 or at > found.seq then return {'RANGE', text(found.seq)} end
  local there = redis.call('HMGET', KEYS[3], 'created', 'updated', 'forked')
  if there[1] then
    -- The very same fork, and not written to since: two writes are never of one time.
    if there[1] ~= there[2] or there[3] ~= ARGV[6] .. ':' .. ARGV[7] then return {'EXISTS'} end
    tick() -- a write, so that waiting for the disk also waits for what is repeated
    return {'OK'}
  end
  local refusal = refused()
  if refusal then return refusal end
  local new = tick()
  local total = share(found, at, new)
  redis.call('ZADD', LIST, new, CONVERSATION)
  redis.call(
    'HSET', KEYS[3], 'seq', text(at), 'total', total, 'state', 'idle', 'open', '', 'segment', new, 'base', text(at),
    'created', new, 'updated', new, 'title', '', 'forked', ARGV[6] .. ':' .. ARGV[7]
  )
  list_state(nil, 'idle', new)
  chain()
  return {'OK'}
end
