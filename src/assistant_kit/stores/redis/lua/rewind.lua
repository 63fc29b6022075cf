-- ARGV[6] is the fence, ARGV[7] the last record that stays.
local function main()
  local found = conversation()
  if not found or found.fence ~= ARGV[6] then return {'LOST'} end
  local to = tonumber(ARGV[7])
  if to < 0 or to > found.seq then return {'RANGE', text(found.seq)} end
  if found.seq == to and found.state == 'idle' and found.open == '' then
    tick() -- a write, so that waiting for the disk also waits for what is repeated
    return {'OK'}
  end
  local refusal = refused()
  if refusal then return refusal end
  local at = tick()
  redis.call('ZADD', LIST, at, CONVERSATION)
  if to < found.seq then
    local total = share(found, to, at)
    drop(found.segment)
    redis.call('HSET', HERE, 'seq', text(to), 'total', total, 'segment', at, 'base', text(to))
  end
  redis.call('HSET', HERE, 'state', 'idle', 'open', '', 'updated', at)
  list_state(found.state, 'idle', at)
  chain()
  return {'OK'}
end
