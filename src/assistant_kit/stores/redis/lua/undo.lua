-- Takes back a claim that nobody has heard of. ARGV[6] is its mark, ARGV[7] the id of the record that it was to begin a
-- turn with, or empty.

-- The last record, if the claim has begun a turn with it. One that a fork shares stays: recovery will find the turn.
local function begun(found)
  if ARGV[7] == '' or found.seq == found.base then return nil end
  if tonumber(redis.call('HGET', key('segment', found.segment), 'refs') or 1) > 1 then return nil end
  local last = redis.call('LINDEX', key('records', found.segment), -1)
  local tokens, fence, length, start = last:match('^(%d+) %d+ (%d+) %d+ (%d+) %d+ ()')
  if fence == found.fence and last:sub(start, start + length - 1) == ARGV[7] then return tokens end
end

local function main()
  local found = conversation()
  if not found or redis.call('HGET', HERE, 'mark') ~= ARGV[6] then return {'OK'} end
  local tokens = begun(found)
  if tokens then
    -- What is to be noted depends on the place, which the client cannot know.
    if root[2] == '1' and ARGV[4] == '' then return {'AUDIT', text(found.seq - 1)} end
    local refusal = refused()
    if refusal then return refusal end
  end
  give_up()
  if tokens then
    redis.call('RPOP', key('records', found.segment))
    redis.call('HDEL', key('ids', found.segment), ARGV[7])
    redis.call('HSET', HERE, 'seq', text(found.seq - 1), 'total', text(found.total - tokens), 'state', 'idle', 'open', '')
    list_state(found.state, 'idle', redis.call('HGET', HERE, 'updated'))
    chain()
  end
  return {'OK'}
end
