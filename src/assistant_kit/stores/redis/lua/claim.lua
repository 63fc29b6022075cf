-- ARGV[6] is the owner, [7] the length of the lease in microseconds, [8] a mark by which this claim can be taken back,
-- [9] to [11] a record to begin a turn with.
local function begins(found)
  if not ARGV[9] then return false end
  if not found then return true end
  return found.state == 'idle' and not locate(found, ARGV[10])
end

-- What a fence that is chained has to be above: all those that this conversation, or one of its name, has ever had.
local function floor(found)
  if not found then return root[4] end
  local known = redis.call('HMGET', HERE, 'claimed', 'updated')
  return math.max(tonumber(known[1] or 0), tonumber(known[2]))
end

local function main()
  local found = conversation()
  local left = found and held(found, ARGV[6])
  if left then return {'BUSY', text(left)} end
  local begin = begins(found)
  if begin then
    if found then check_segment(found) end
    local refusal = refused(floor(found))
    if refusal then return refusal end
  end
  local at, written = tick_of_records(begin)
  if not found then
    found = {seq = 0, total = 0, state = 'idle', open = '', segment = at, base = 0}
    redis.call('ZADD', LIST, at, CONVERSATION)
    redis.call('ZADD', USERS, 0, unescaped(USER))
    redis.call(
      'HSET', HERE, 'seq', 0, 'total', 0, 'state', 'idle', 'open', '', 'segment', at, 'base', 0,
      'created', at, 'updated', at, 'title', ''
    )
    list_state(nil, 'idle', at)
  end
  -- The time is the fence: it grows even if a server that lost its last writes does not remember the last fence. Of a
  -- turn that is chained it is the time of the link, so that the client need not know it.
  redis.call(
    'HSET', HERE, 'fence', written, 'claimed', written, 'owner', ARGV[6], 'until', text(now() + ARGV[7]), 'mark', ARGV[8]
  )
  local lease = {'OK', at, text(found.seq), found.state, found.open, begin and 1 or 0, written}
  if begin then
    store(found, written, at, written, 'open', text(found.seq + 1), 9)
    chain()
  end
  return lease
end
